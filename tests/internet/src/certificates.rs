//! Certificates of the stand-in: valid ones for any name, and the invalid ones that a proxy has to refuse.
//!
//! They are generated for one run and kept in memory. No client may trust them unless it gets [`Certificates::ca_pem`].

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use rustls::crypto::ring::sign::any_ecdsa_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use time::{Duration, OffsetDateTime};

/// The most cached names; the cache is emptied beyond that, since a stand-in has few names.
const KEPT: usize = 1024;

/// Generates a certificate for each requested name.
pub(crate) struct Certificates {
    ca: CertifiedIssuer<'static, KeyPair>,
    pem: String,
    made: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificates").finish_non_exhaustive()
    }
}

impl Certificates {
    pub(crate) fn new() -> io::Result<Self> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Weir stand-in for the internet");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let ca = CertifiedIssuer::self_signed(params, key).map_err(io::Error::other)?;
        let pem = ca.pem();
        Ok(Self { ca, pem, made: Mutex::default() })
    }

    pub(crate) fn ca_pem(&self) -> &str {
        &self.pem
    }

    fn make(&self, name: &str) -> Option<CertifiedKey> {
        let shown = if name.starts_with("wrong-name.") { "another.example.net" } else { name };
        let mut params = CertificateParams::new(vec![shown.to_owned()]).ok()?;
        let now = OffsetDateTime::now_utc();
        params.not_before = now - Duration::days(3);
        params.not_after = now + Duration::days(if name.starts_with("expired.") { -1 } else { 1 });
        let key = KeyPair::generate().ok()?;
        let certificate =
            if name.starts_with("self-signed.") { params.self_signed(&key) } else { params.signed_by(&key, &self.ca) };
        let private = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Some(CertifiedKey::new(vec![certificate.ok()?.der().clone()], any_ecdsa_type(&private).ok()?))
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name()?;
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(certificate) = made.get(name) {
            return Some(Arc::clone(certificate));
        }
        let certificate = Arc::new(self.make(name)?);
        if made.len() >= KEPT {
            made.clear();
        }
        made.insert(name.to_owned(), Arc::clone(&certificate));
        Some(certificate)
    }
}
