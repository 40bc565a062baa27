//! The issuer behind a real Envoy: a TLS listener that has no certificate of its own and asks for each by name.
#![expect(clippy::unwrap_used, reason = "clippy takes only the test functions themselves for tests")]

#[path = "issuer/client.rs"]
mod client;
#[path = "issuer/opener.rs"]
mod opener;

use std::time::Instant;

use client::Client;
use opener::{Opener, memory};
use weir_envoy::issuer::{CertificateAuthority, Issuer, Options, Settings};

#[test]
fn certificates_are_minted_on_demand_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, socket) = (folder.path().join("ca"), folder.path().join("issuer.sock"));
    let authority = CertificateAuthority::load_or_create(&ca, &Options::default()).unwrap();
    let client = Client::new(authority.certificate_pem());
    let issuer = Issuer::start_with(authority, &socket, &Settings::default()).unwrap();
    let envoy = Opener::start(&socket);

    let one = client.get(envoy.address, "one.example").unwrap();
    let again = client.get(envoy.address, "one.example").unwrap();
    let two = client.get(envoy.address, "two.example").unwrap();
    assert!(one.text.ends_with("opened\n"), "{}", one.text);
    assert_eq!(one.serial, again.serial);
    assert_ne!(one.serial, two.serial);
    let stats = issuer.stats();
    assert_eq!((stats.minted, stats.cached, stats.streams), (2, 2, 2), "{stats}");
}

#[test]
fn a_thousand_names() {
    let folder = tempfile::tempdir().unwrap();
    let (ca, socket) = (folder.path().join("ca"), folder.path().join("issuer.sock"));
    let authority = CertificateAuthority::load_or_create(&ca, &Options::default()).unwrap();
    let client = Client::new(authority.certificate_pem());
    let issuer = Issuer::start(authority, &socket).unwrap();
    let envoy = Opener::start(&socket);
    client.open(envoy.address, "warm.example").unwrap();

    let before = (envoy.memory(), memory(std::process::id()));
    let began = Instant::now();
    for number in 0..1000 {
        client.open(envoy.address, &format!("n{number}.example")).unwrap();
    }
    let took = began.elapsed();
    let after = (envoy.memory(), memory(std::process::id()));
    println!(
        "a thousand names in {took:?}; KiB of Envoy {} -> {}, of issuer and client {} -> {}",
        before.0, after.0, before.1, after.1
    );
    assert_eq!(issuer.stats().minted, 1001);
    assert!(envoy.stats("ssl.handshake").contains("ssl.handshake: 1001"));
}
