//! The certificate authority (CA): the key that every client of this proxy trusts.
//!
//! The holder of the key can impersonate every site to those clients, so it must never be used when other users could
//! have read it, and no `Debug` output or message may contain it.

use std::fmt::{self, Write};
use std::path::Path;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, GeneralSubtree, IsCa, KeyPair,
    KeyUsagePurpose, NameConstraints, PKCS_ECDSA_P256_SHA256,
};
use sha2::{Digest, Sha256};
use time::OffsetDateTime;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use crate::error::{Error, Result};
use crate::files::{self, Locked};
use crate::folder::{CERTIFICATE_FILE, KEY_FILE};
use crate::names::HostName;
use crate::serial::serial;

/// The certificate's validity begins this long before its creation.
const BACKDATED: Duration = Duration::from_hours(1);

/// The settings of a new CA.
#[derive(Clone, Debug)]
pub struct Options {
    /// The only domains (each with its subdomains) for which clients accept this CA's certificates. Empty: all names.
    pub name_constraints: Vec<String>,
    /// How many days it is valid. A year by default: long enough that images that contain it do not break every few
    /// weeks, short enough that a forgotten CA expires by itself.
    pub days: u16,
    /// Replaces an existing CA.
    pub force: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { name_constraints: Vec::new(), days: 365, force: false }
    }
}

/// A CA, ready to sign.
pub struct CertificateAuthority {
    pem: String,
    fingerprint: String,
    signer: rcgen::Issuer<'static, KeyPair>,
    not_after: SystemTime,
    is_root: bool,
    permitted: Vec<String>,
}

impl fmt::Debug for CertificateAuthority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateAuthority")
            .field("not_after", &self.not_after)
            .field("permitted", &self.permitted)
            .finish_non_exhaustive()
    }
}

impl CertificateAuthority {
    /// Creates a CA in `folder`: `ca.pem`, which every user can read, and `ca-key.pem`, which only this user can.
    ///
    /// # Errors
    /// The folder has a CA and [`Options::force`] is not set, a constraint is not a domain, or the files cannot be
    /// written.
    pub fn create(folder: &Path, options: &Options) -> Result<Self> {
        let locked = Locked::new(folder)?;
        if !options.force && (locked.has(CERTIFICATE_FILE) || locked.has(KEY_FILE)) {
            return Err(Error::Exists(folder.to_owned()));
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        Self::write(&locked, folder, key, options)
    }

    /// Makes a new CA whose key is never written down: for one that ends with this process.
    ///
    /// # Errors
    /// A constraint is no domain, or no key can be made.
    pub fn in_memory(options: &Options) -> Result<Self> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = parameters(options)?.self_signed(&key)?;
        Self::new(Path::new("memory"), certificate.pem(), key)
    }

    /// Reads the CA in `folder`.
    ///
    /// # Errors
    /// There is none, other users can read the key, the key does not match the certificate, or the certificate has
    /// expired or is not a CA's.
    pub fn load(folder: &Path) -> Result<Self> {
        let (pem, key) = (files::read_certificate(folder)?, files::read_key(folder)?);
        let key = KeyPair::from_pem(&key).map_err(|e| {
            let reason = format!("is not a usable private key: {e}");
            Error::Unusable { path: folder.join(KEY_FILE), reason }
        })?;
        Self::new(folder, pem, key)
    }

    /// Reads the CA in `folder`, or creates one if there is none. Concurrent processes get the same CA.
    ///
    /// # Errors
    /// As [`CertificateAuthority::load`] and [`CertificateAuthority::create`]. An unusable CA is never replaced.
    pub fn load_or_create(folder: &Path, options: &Options) -> Result<Self> {
        let locked = Locked::new(folder)?;
        match (locked.has(CERTIFICATE_FILE), locked.has(KEY_FILE)) {
            (false, false) => {
                let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
                Self::write(&locked, folder, key, options)
            }
            // An earlier process stopped between writing the two files. The key is valid, and nothing is overwritten.
            (false, true) => {
                let key = KeyPair::from_pem(&files::read_key(folder)?)?;
                Self::write(&locked, folder, key, options)
            }
            _ => Self::load(folder),
        }
    }

    fn write(locked: &Locked<'_>, folder: &Path, key: KeyPair, options: &Options) -> Result<Self> {
        let certificate = parameters(options)?.self_signed(&key)?;
        locked.write_key(&key.serialize_pem())?;
        locked.write_certificate(&certificate.pem())?;
        Self::new(folder, certificate.pem(), key)
    }

    fn new(folder: &Path, pem: String, key: KeyPair) -> Result<Self> {
        let path = folder.join(CERTIFICATE_FILE);
        let unusable = |reason: String| Error::Unusable { path: path.clone(), reason };
        let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes())
            .map_err(|_| unusable("is not a certificate in PEM form".into()))?;
        let certificate = block.parse_x509().map_err(|e| unusable(format!("is not a certificate: {e}")))?;
        check(&certificate, &key).map_err(unusable)?;
        let seconds = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or_default();
        let not_after = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let is_root = certificate.subject().as_raw() == certificate.issuer().as_raw();
        let permitted = permitted(&certificate).map_err(|reason| Error::Unusable { path: path.clone(), reason })?;
        let signer = rcgen::Issuer::from_ca_cert_pem(&pem, key)?;
        let fingerprint = Sha256::digest(&block.contents).iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        Ok(Self { pem, fingerprint, signer, not_after, is_root, permitted })
    }

    /// The certificate that clients have to trust (PEM).
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// When it expires.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// When it expires, in RFC 3339 format, UTC.
    pub fn expires(&self) -> String {
        let at = OffsetDateTime::from(self.not_after);
        format!("{}T{:02}:{:02}:{:02}Z", at.date(), at.hour(), at.minute(), at.second())
    }

    /// The SHA-256 of the certificate in hexadecimal digits, for comparison by two people.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The domains that its name constraints permit; empty means all names.
    pub fn name_constraints(&self) -> &[String] {
        &self.permitted
    }

    /// Whether its name constraints permit `name`.
    pub(crate) fn permits(&self, name: &HostName) -> bool {
        self.permitted.is_empty() || self.permitted.iter().any(|domain| name.is_within(domain))
    }

    pub(crate) fn signer(&self) -> &rcgen::Issuer<'static, KeyPair> {
        &self.signer
    }

    pub(crate) fn is_root(&self) -> bool {
        self.is_root
    }
}

fn parameters(options: &Options) -> Result<CertificateParams> {
    let now = SystemTime::now();
    let end = now + Duration::from_hours(24) * u32::from(options.days);
    let mut parameters = CertificateParams::default();
    parameters.not_before = OffsetDateTime::from(now.checked_sub(BACKDATED).unwrap_or(now));
    parameters.not_after = OffsetDateTime::from(end);
    let serial = serial()?;
    // The serial's first bytes distinguish the CAs that a client may trust over the years: many clients find an issuer
    // by its name alone.
    let mark = serial.to_bytes().iter().take(4).fold(0, |mark, byte| mark << 8 | u32::from(*byte));
    parameters.serial_number = Some(serial);
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::OrganizationName, "Weir");
    parameters.distinguished_name.push(DnType::CommonName, format!("Weir local CA {mark:08x}"));
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters.name_constraints = constraints(&options.name_constraints)?;
    Ok(parameters)
}

fn constraints(domains: &[String]) -> Result<Option<NameConstraints>> {
    if domains.is_empty() {
        return Ok(None);
    }
    let mut permitted = Vec::new();
    for domain in domains {
        let name = HostName::parse(domain)
            .map_err(|reason| Error::Constraint { domain: domain.escape_default().to_string(), reason })?;
        permitted.push(GeneralSubtree::DnsName(name.as_str().to_owned()));
    }
    // A constraint on names does not limit addresses (RFC 5280 section 4.2.1.10), so all addresses are excluded.
    let all = [CidrSubnet::from_v4_prefix([0; 4], 0), CidrSubnet::from_v6_prefix([0; 16], 0)];
    let excluded = all.into_iter().map(GeneralSubtree::IpAddress).collect();
    Ok(Some(NameConstraints { permitted_subtrees: permitted, excluded_subtrees: excluded }))
}

/// Checks that the certificate is a CA's, valid now, and that the key is its own.
fn check(certificate: &X509Certificate<'_>, key: &KeyPair) -> Result<(), String> {
    use rcgen::PublicKeyData;

    if certificate.public_key().raw != key.subject_public_key_info() {
        return Err(format!("and {KEY_FILE} do not belong together"));
    }
    if !certificate.is_ca() {
        return Err("is not a CA certificate (no CA:TRUE)".into());
    }
    let usage = certificate.key_usage().map_err(|e| format!("has an unreadable key usage: {e}"))?;
    if usage.is_some_and(|usage| !usage.value.key_cert_sign()) {
        return Err("may not sign certificates (its key usage lacks keyCertSign)".into());
    }
    let (validity, now) = (certificate.validity(), x509_parser::time::ASN1Time::now());
    if now > validity.not_after {
        return Err(format!("expired on {}; make a new one: weir ca init --force", validity.not_after));
    }
    if now < validity.not_before {
        return Err(format!("is not valid before {}; is the clock right?", validity.not_before));
    }
    Ok(())
}

/// The domains that the certificate's name constraints permit.
fn permitted(certificate: &X509Certificate<'_>) -> Result<Vec<String>, String> {
    let found = certificate.name_constraints().map_err(|e| format!("has unreadable name constraints: {e}"))?;
    let Some(subtrees) = found.and_then(|it| it.value.permitted_subtrees.as_ref()) else { return Ok(Vec::new()) };
    let names = subtrees.iter().filter_map(|subtree| match &subtree.base {
        GeneralName::DNSName(name) => Some(name.trim_start_matches('.').to_ascii_lowercase()),
        _ => None,
    });
    Ok(names.collect())
}

#[cfg(test)]
#[path = "ca_tests.rs"]
mod tests;
