//! The issuer with a real Envoy: a TLS listener that has no certificate and requests each by name.
#![expect(clippy::unwrap_used, reason = "clippy takes only the test functions themselves for tests")]

mod client;
mod opener;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use client::Client;
use opener::{Opener, Way, memory};
use tempfile::TempDir;
use weir_issuer::{CertificateAuthority, Issuer, Options, Settings};

/// A CA in its own folder, a client that trusts it, and the path of the socket.
struct Setup {
    client: Client,
    ca: PathBuf,
    socket: PathBuf,
    _folder: TempDir,
}

impl Setup {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (ca, socket) = (folder.path().join("ca"), folder.path().join("issuer.sock"));
        let created = CertificateAuthority::create(&ca, &Options::default()).unwrap();
        Self { client: Client::new(created.certificate_pem()), ca, socket, _folder: folder }
    }

    fn issuer(&self, settings: &Settings) -> Issuer {
        Issuer::start_with(CertificateAuthority::load(&self.ca).unwrap(), &self.socket, settings).unwrap()
    }
}

#[test]
fn certificates_are_minted_on_demand_and_kept() {
    for (way, streams) in [(Way::Aggregated, 1), (Way::Delta, 2), (Way::Whole, 2)] {
        let setup = Setup::new();
        let issuer = setup.issuer(&Settings::default());
        let envoy = Opener::start(&setup.socket, way);

        let one = setup.client.get(envoy.address, "one.example").unwrap();
        let again = setup.client.get(envoy.address, "one.example").unwrap();
        let two = setup.client.get(envoy.address, "two.example").unwrap();
        assert!(one.text.ends_with("opened\n"), "{way:?}: {}", one.text);
        assert_eq!(one.serial, again.serial, "{way:?}");
        assert_ne!(one.serial, two.serial, "{way:?}");
        let stats = issuer.stats();
        assert_eq!((stats.minted, stats.cached, stats.streams, stats.rejected), (2, 2, streams, 0), "{way:?}: {stats}");
    }
}

#[test]
fn a_refused_name_ends_in_an_error_and_the_others_go_on() {
    for way in [Way::Aggregated, Way::Delta] {
        let setup = Setup::new();
        let issuer = setup.issuer(&Settings::default());
        let envoy = Opener::start(&setup.socket, way);
        // Envoy requests the name as the client wrote it, or its configured default if there is none. That default must
        // not be `*`, which has another meaning in this protocol: the handshake would hang.
        for name in ["Upper.example", "Upper.example", "127.0.0.1"] {
            let error = setup.client.open(envoy.address, name).unwrap_err().to_string();
            assert!(
                error.contains("HandshakeFailure"),
                "{way:?} {name}: an answer of Envoy, not its time limit: {error}"
            );
            setup.client.open(envoy.address, "plain.example").unwrap();
        }
        let stats = issuer.stats();
        assert_eq!((stats.minted, stats.refused), (1, 3), "{way:?}: {stats}");
        let kept = envoy.stats("on_demand_secret.cert_active");
        assert!(kept.contains("cert_active: 1\n"), "{way:?}: Envoy keeps nothing of a refused name: {kept}");
    }
}

#[test]
fn an_unanswered_handshake_ends_where_only_whole_subscriptions_are_spoken() {
    let setup = Setup::new();
    let issuer = setup.issuer(&Settings::default());
    let envoy = Opener::start(&setup.socket, Way::Whole);
    // This protocol cannot report a missing secret: Envoy waits until the filter chain's time limit.
    setup.client.open(envoy.address, "Upper.example").unwrap_err();
    setup.client.open(envoy.address, "plain.example").unwrap();
    assert_eq!(issuer.stats().refused, 1);
}

#[test]
fn leaves_are_renewed_on_the_same_stream() {
    for way in [Way::Aggregated, Way::Whole] {
        let setup = Setup::new();
        let issuer = setup.issuer(&Settings { leaf_life: Duration::from_secs(6), ..Settings::default() });
        let envoy = Opener::start(&setup.socket, way);
        let first = setup.client.get(envoy.address, "one.example").unwrap().serial;
        let mut serials = vec![first];
        let end = Instant::now() + Duration::from_mins(1);
        while serials.len() < 3 && Instant::now() < end {
            // An expired leaf would fail here.
            let now = setup.client.get(envoy.address, "one.example").unwrap().serial;
            if !serials.contains(&now) {
                serials.push(now);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        let stats = issuer.stats();
        assert_eq!(serials.len(), 3, "{way:?}: {stats}");
        assert_eq!((stats.streams, stats.minted, stats.rejected), (1, stats.renewed + 1, 0), "{way:?}: {stats}");
    }
}

#[test]
fn envoy_goes_on_without_the_issuer_and_finds_it_again() {
    let setup = Setup::new();
    // Envoy may start first.
    let envoy = Opener::start(&setup.socket, Way::Aggregated);
    setup.client.open(envoy.address, "early.example").unwrap_err();
    let issuer = setup.issuer(&Settings::default());
    let end = Instant::now() + Duration::from_mins(1);
    while let Err(error) = setup.client.open(envoy.address, "early.example") {
        assert!(Instant::now() < end, "{error}");
    }
    let before = setup.client.get(envoy.address, "known.example").unwrap().serial;

    drop(issuer);
    assert!(!setup.socket.exists());
    for _ in 0..10 {
        assert_eq!(setup.client.get(envoy.address, "known.example").unwrap().serial, before);
    }
    setup.client.open(envoy.address, "new.example").unwrap_err();

    let _issuer = setup.issuer(&Settings::default());
    let back = Instant::now();
    let end = back + Duration::from_mins(1);
    loop {
        setup.client.open(envoy.address, "known.example").unwrap();
        match setup.client.open(envoy.address, "other.example") {
            Ok(_) => break,
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
    }
    println!("a new name works again {:?} after the issuer is back", back.elapsed());
    // The name that failed meanwhile works too.
    setup.client.open(envoy.address, "new.example").unwrap();
}

#[test]
fn a_thousand_names() {
    for way in [Way::Aggregated, Way::Delta, Way::Whole] {
        let setup = Setup::new();
        let issuer = setup.issuer(&Settings::default());
        let envoy = Opener::start(&setup.socket, way);
        setup.client.open(envoy.address, "warm.example").unwrap();

        let own = std::process::id();
        let before = (envoy.memory(), memory(own));
        let began = Instant::now();
        for number in 0..1000 {
            setup.client.open(envoy.address, &format!("n{number}.example")).unwrap();
        }
        let took = began.elapsed();
        let after = (envoy.memory(), memory(own));
        println!(
            "{way:?}: a thousand names in {took:.1?}; KiB of Envoy {} -> {}, of issuer and client {} -> {}",
            before.0, after.0, before.1, after.1
        );
        assert_eq!(issuer.stats().minted, 1001);
        assert!(envoy.stats("ssl.handshake").contains("ssl.handshake: 1001\n"));
    }
}
