//! One certificate for one host, with a key of its own.

use std::fmt;
use std::time::{Duration, SystemTime};

use rcgen::{
    CertificateParams, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256, SanType,
};
use time::OffsetDateTime;

use crate::ca::CertificateAuthority;
use crate::error::{Error, Result};
use crate::names::HostName;
use crate::serial::serial;

/// A leaf's validity begins this long before its creation, because the clocks of containers and clients differ a
/// little.
const BACKDATED: Duration = Duration::from_mins(10);
/// The longest common name (RFC 5280 appendix A.1, `ub-common-name`).
const LONGEST_COMMON_NAME: usize = 64;
/// The least time between renewals, when the CA's own expiry shortens each leaf further.
const CLOSEST: Duration = Duration::from_secs(1);

/// A certificate for one host name, and its private key.
pub struct Leaf {
    chain: String,
    key: PrivateKey,
    not_after: SystemTime,
    renew_at: SystemTime,
}

/// A key that `Debug` does not print.
struct PrivateKey(String);

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { chain: _, key, not_after, renew_at } = self;
        f.debug_struct("Leaf")
            .field("key", key)
            .field("not_after", not_after)
            .field("renew_at", renew_at)
            .finish_non_exhaustive()
    }
}

impl Leaf {
    /// The certificate, followed by the CA's own if that is not a root (PEM).
    pub fn chain_pem(&self) -> &str {
        &self.chain
    }

    /// The private key (PEM, PKCS #8), for a TLS server alone.
    pub fn key_pem(&self) -> &str {
        &self.key.0
    }

    /// When it expires.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// When another leaf should replace it: after two thirds of its life.
    pub fn renew_at(&self) -> SystemTime {
        self.renew_at
    }

    /// Whether [`Leaf::renew_at`] has come.
    pub(crate) fn is_due(&self) -> bool {
        SystemTime::now() >= self.renew_at
    }
}

impl CertificateAuthority {
    /// Signs a certificate for `name` with a new key, valid for `life` at most.
    ///
    /// # Errors
    /// The CA has expired, or its name constraints do not permit the name.
    pub fn mint(&self, name: &HostName, life: Duration) -> Result<Leaf> {
        if !self.permits(name) {
            return Err(Error::NotPermitted(name.to_string()));
        }
        let now = SystemTime::now();
        let left = self.not_after().duration_since(now).map_err(|_| Error::Expired)?;
        let life = life.min(left);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = parameters(name, now, now + life)?.signed_by(&key, self.signer())?;
        let mut chain = certificate.pem();
        if !self.is_root() {
            chain.push_str(self.certificate_pem());
        }
        Ok(Leaf {
            chain,
            key: PrivateKey(key.serialize_pem()),
            not_after: now + life,
            renew_at: now + (life * 2 / 3).max(CLOSEST),
        })
    }
}

fn parameters(name: &HostName, now: SystemTime, end: SystemTime) -> Result<CertificateParams> {
    let mut parameters = CertificateParams::default();
    parameters.not_before = OffsetDateTime::from(now.checked_sub(BACKDATED).unwrap_or(now));
    parameters.not_after = OffsetDateTime::from(end);
    parameters.serial_number = Some(serial()?);
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    // Clients check the alternative name; the common name is for a person who reads the certificate.
    let shown = if name.as_str().len() > LONGEST_COMMON_NAME { "Weir" } else { name.as_str() };
    parameters.distinguished_name.push(DnType::CommonName, DnValue::Utf8String(shown.to_owned()));
    parameters.subject_alt_names = vec![SanType::DnsName(name.as_str().try_into()?)];
    // An explicit CA:FALSE, which also adds the subject key identifier.
    parameters.is_ca = IsCa::ExplicitNoCa;
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    parameters.use_authority_key_identifier_extension = true;
    Ok(parameters)
}
