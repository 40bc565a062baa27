//! What a CA creates and refuses, read back by another implementation.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::thread;

use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, RootCertStore};
use tempfile::TempDir;
use x509_parser::extensions::ParsedExtension;

use super::*;
use crate::names::HostName;

const DAY: Duration = Duration::from_hours(24);

fn made(options: &Options) -> (TempDir, CertificateAuthority) {
    let folder = tempfile::tempdir().unwrap();
    let ca = CertificateAuthority::create(&folder.path().join("ca"), options).unwrap();
    (folder, ca)
}

fn der(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

fn name(text: &str) -> HostName {
    HostName::parse(text).unwrap()
}

/// Verifies the certificate `leaf` for `host` as a client that trusts `ca` does.
fn verify(ca: &str, leaf: &str, host: &str) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(der(ca)).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        rustls::client::WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let host = ServerName::try_from(host.to_owned()).unwrap();
    verifier.verify_server_cert(&der(leaf), &[], &host, &[], UnixTime::now()).map(|_| ())
}

#[test]
fn the_certificate_is_a_ca_by_rfc_5280() {
    let (_folder, ca) = made(&Options::default());
    let der = der(ca.certificate_pem());
    let (_, read) = x509_parser::parse_x509_certificate(&der).unwrap();
    let constraints = read.basic_constraints().unwrap().unwrap();
    assert!(constraints.critical && constraints.value.ca && constraints.value.path_len_constraint == Some(0));
    let usage = read.key_usage().unwrap().unwrap();
    assert!(usage.critical);
    assert_eq!(usage.value.flags, 1 << 5 | 1 << 6, "keyCertSign and cRLSign");
    assert!(read.name_constraints().unwrap().is_none());
    assert!(read.raw_serial().len() == 16 && read.raw_serial()[0] < 0x80);
    let days = (read.validity().not_after.timestamp() - read.validity().not_before.timestamp()) / 86_400;
    assert_eq!(days, 365);
    assert!(
        read.extensions().iter().any(|it| matches!(it.parsed_extension(), ParsedExtension::SubjectKeyIdentifier(_)))
    );
}

#[test]
fn a_leaf_is_a_server_certificate_for_one_name_by_rfc_5280() {
    let (_folder, ca) = made(&Options::default());
    let leaf = ca.mint(&name("one.example"), DAY).unwrap();
    let der = der(leaf.chain_pem());
    let (_, read) = x509_parser::parse_x509_certificate(&der).unwrap();
    let names = read.subject_alternative_name().unwrap().unwrap();
    assert_eq!(names.value.general_names, [GeneralName::DNSName("one.example")]);
    assert!(!read.is_ca());
    let (usage, extended) = (read.key_usage().unwrap().unwrap(), read.extended_key_usage().unwrap().unwrap());
    assert_eq!(usage.value.flags, 1, "digitalSignature");
    let extended = extended.value;
    assert!(extended.server_auth && !extended.client_auth && !extended.any && extended.other.is_empty());
    assert!(read.raw_serial().len() == 16 && (0x40..0x80).contains(&read.raw_serial()[0]));
    let found =
        |wanted: fn(&ParsedExtension<'_>) -> bool| read.extensions().iter().any(|it| wanted(it.parsed_extension()));
    assert!(found(|it| matches!(it, ParsedExtension::AuthorityKeyIdentifier(_))));
    assert!(found(|it| matches!(it, ParsedExtension::SubjectKeyIdentifier(_))));
    let life = read.validity().not_after.timestamp() - read.validity().not_before.timestamp();
    assert_eq!(life, 86_400 + 600);
    verify(ca.certificate_pem(), leaf.chain_pem(), "one.example").unwrap();
    verify(ca.certificate_pem(), leaf.chain_pem(), "two.example").unwrap_err();
    let other = ca.mint(&name("one.example"), DAY).unwrap();
    assert_ne!(leaf.key_pem(), other.key_pem());
    assert!(!format!("{leaf:?} {ca:?}").contains("PRIVATE"));
}

#[test]
fn an_authority_in_memory_signs_as_others_do() {
    let authority = CertificateAuthority::in_memory(&Options::default()).unwrap();
    let leaf = authority.mint(&name("one.example"), DAY).unwrap();
    verify(authority.certificate_pem(), leaf.chain_pem(), "one.example").unwrap();
}

#[test]
fn the_longest_name_gets_a_leaf() {
    let (_folder, ca) = made(&Options::default());
    let long = format!("{0}.{0}.{0}.{1}", "a".repeat(63), "b".repeat(61));
    let leaf = ca.mint(&name(&long), DAY).unwrap();
    verify(ca.certificate_pem(), leaf.chain_pem(), &long).unwrap();
}

#[test]
fn a_constrained_ca_is_accepted_for_its_names_alone() {
    let (_folder, mut ca) = made(&Options { name_constraints: vec!["example.com".into()], ..Options::default() });
    assert_eq!(ca.name_constraints(), ["example.com"]);
    for host in ["example.com", "a.b.example.com"] {
        let leaf = ca.mint(&name(host), DAY).unwrap();
        verify(ca.certificate_pem(), leaf.chain_pem(), host).unwrap();
    }
    for host in ["example.org", "evilexample.com", "com"] {
        assert!(matches!(ca.mint(&name(host), DAY), Err(Error::NotPermitted(_))), "{host}");
    }
    // A thief of the key would skip our own check.
    ca.permitted.clear();
    let forged = ca.mint(&name("example.org"), DAY).unwrap();
    let error = verify(ca.certificate_pem(), forged.chain_pem(), "example.org").unwrap_err();
    assert!(matches!(&error, rustls::Error::InvalidCertificate(CertificateError::Other(_))), "{error:?}");
    assert!(error.to_string().contains("NameConstraintViolation"), "{error}");
}

#[test]
fn a_leaf_never_outlives_its_ca() {
    let (_folder, mut ca) = made(&Options { days: 1, ..Options::default() });
    let leaf = ca.mint(&name("a.example"), DAY * 3).unwrap();
    assert!(leaf.not_after() <= ca.not_after());
    let read = der(leaf.chain_pem());
    let (_, read) = x509_parser::parse_x509_certificate(&read).unwrap();
    let end = read.validity().not_after.timestamp();
    assert!(u64::try_from(end).unwrap() <= ca.not_after().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs());
    ca.not_after = SystemTime::now() - Duration::from_secs(1);
    assert!(matches!(ca.mint(&name("a.example"), DAY), Err(Error::Expired)));
}

#[test]
fn unusable_ca_files_are_refused() {
    let (folder, ca) = made(&Options::default());
    let path = folder.path().join("ca");
    let refused = || CertificateAuthority::load(&path).unwrap_err().to_string();
    let mode = |file: &str, mode| fs::set_permissions(path.join(file), Permissions::from_mode(mode)).unwrap();

    for bits in [0o640, 0o604, 0o620, 0o601] {
        mode(KEY_FILE, bits);
        let error = refused();
        assert!(error.contains(&format!("chmod 0600 {}", path.join(KEY_FILE).display())), "{error}");
    }
    mode(KEY_FILE, 0o600);
    mode("", 0o755);
    let error = refused();
    assert!(error.contains("mode 0755") && error.contains("chmod 0700"), "{error}");
    mode("", 0o700);

    let key = fs::read_to_string(path.join(KEY_FILE)).unwrap();
    fs::write(path.join(KEY_FILE), KeyPair::generate().unwrap().serialize_pem()).unwrap();
    assert!(refused().contains("do not belong together"));
    fs::write(path.join(KEY_FILE), "no key").unwrap();
    assert!(refused().contains("ca-key.pem is not a usable private key"));
    fs::write(path.join(KEY_FILE), &key).unwrap();

    let pair = KeyPair::from_pem(&key).unwrap();
    let put = |change: &dyn Fn(&mut CertificateParams)| {
        let mut parameters = parameters(&Options::default()).unwrap();
        change(&mut parameters);
        fs::write(path.join(CERTIFICATE_FILE), parameters.self_signed(&pair).unwrap().pem()).unwrap();
    };
    put(&|it| it.is_ca = IsCa::NoCa);
    assert!(refused().contains("no CA:TRUE"));
    put(&|it| it.key_usages = vec![KeyUsagePurpose::CrlSign]);
    assert!(refused().contains("keyCertSign"));
    put(&|it| it.not_after = it.not_before);
    assert!(refused().contains("expired"));
    put(&|it| it.not_before = OffsetDateTime::now_utc() + DAY);
    assert!(refused().contains("not valid before"));
    fs::write(path.join(CERTIFICATE_FILE), "no certificate").unwrap();
    assert!(refused().contains("ca.pem is not a certificate"));
    CertificateAuthority::load_or_create(&path, &Options::default()).unwrap_err();
    assert_eq!(fs::read_to_string(path.join(KEY_FILE)).unwrap(), key, "unusable files are not replaced");

    fs::write(path.join(CERTIFICATE_FILE), ca.certificate_pem()).unwrap();
    CertificateAuthority::load(&path).unwrap();
    assert!(matches!(CertificateAuthority::create(&path, &Options::default()), Err(Error::Exists(_))));
    let forced = CertificateAuthority::create(&path, &Options { force: true, ..Options::default() }).unwrap();
    assert_ne!(forced.fingerprint(), ca.fingerprint());
    assert_eq!(CertificateAuthority::load(&path).unwrap().fingerprint(), forced.fingerprint());
}

#[test]
fn concurrent_starts_get_the_same_ca() {
    let folder = tempfile::tempdir().unwrap();
    let ca = folder.path().join("data/weir/ca");
    let fingerprint =
        || CertificateAuthority::load_or_create(&ca, &Options::default()).map(|ca| ca.fingerprint().to_owned());
    let made: Vec<String> = thread::scope(|scope| {
        let threads: Vec<_> = (0..16).map(|_| scope.spawn(fingerprint)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap().unwrap()).collect()
    });
    assert!(made.iter().all(|one| *one == made[0]), "{made:?}");
    let mut files: Vec<_> = fs::read_dir(&ca).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, [KEY_FILE, CERTIFICATE_FILE], "no other file is left");
}

#[test]
fn an_interrupted_creation_completes_with_the_same_key() {
    let (folder, _) = made(&Options::default());
    let ca = folder.path().join("ca");
    let key = fs::read_to_string(ca.join(KEY_FILE)).unwrap();
    fs::remove_file(ca.join(CERTIFICATE_FILE)).unwrap();
    CertificateAuthority::load_or_create(&ca, &Options::default()).unwrap();
    assert_eq!(fs::read_to_string(ca.join(KEY_FILE)).unwrap(), key);
}
