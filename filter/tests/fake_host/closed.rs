//! Whatever the host does wrong, the plugin does not panic and lets no request go on that the policy
//! would refuse, or that it could not read.

use crate::host::{Call, Fault, Host, Incoming, Outcome};
use proptest::prelude::*;

const ON: &str = r#"{"internet_access":"on","allowlist":{"domains":["example.com"]},"methods":"read-only"}"#;
/// Every status of the ABI, and two that it does not have.
const STATUSES: [u32; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 13, u32::MAX];

pub(crate) fn faults() -> Vec<Fault> {
    let statuses = STATUSES.into_iter().map(Fault::Status);
    let others = [
        Fault::Bytes(Vec::new()),
        Fault::Bytes(vec![0]),
        Fault::Bytes(vec![0xff; 64]),
        Fault::Null(0),
        Fault::Null(64),
    ];
    statuses.chain(others).collect()
}

/// The request stopped, with the plugin's answer if the host took it.
fn assert_stopped(outcome: &Outcome) {
    assert!(!outcome.goes_on, "{outcome:?}");
    assert_eq!(outcome.calls.iter().filter(|call| **call == Call::Respond).count(), 1, "{outcome:?}");
}

#[test]
fn before_a_policy_everything_is_refused() {
    let host = Host::start();
    let root = host.create_root();
    assert_eq!(host.request(root, &Incoming::get("example.com")).refusal(), "access-off");
    host.tick(root);
}

#[test]
fn without_a_policy_everything_is_refused() {
    for document in ["", " \n", "{}", r#"{"internet_access":"off"}"#] {
        let (host, root) = Host::with_policy(document);
        for incoming in [
            Incoming::get("example.com"),
            Incoming::new("CONNECT", "github.com:443", "").without(":path").more_follows(),
            Incoming::get(""),
        ] {
            assert_eq!(host.request(root, &incoming).refusal(), "access-off", "{document:?}");
        }
    }
}

#[test]
fn after_a_refused_first_policy_everything_is_refused() {
    let host = Host::start();
    let root = host.create_root();
    assert!(!host.configure(root, br#"{"internet_access":"on","allowlist":{"preset":"all"},"x":1}"#));
    assert_eq!(host.request(root, &Incoming::get("example.com")).refusal(), "access-off");
}

#[test]
fn a_refused_policy_changes_nothing() {
    let (host, root) = Host::with_policy(ON);
    for document in [&b"{"[..], b"\xff", br#"{"internet_access":"off","x":1}"#, b"null", b"[]", b"0"] {
        assert!(!host.configure(root, document));
        assert!(host.request(root, &Incoming::get("example.com")).goes_on);
        assert_eq!(host.request(root, &Incoming::get("evil.example")).refusal(), "domain-not-allowed");
    }
}

#[test]
fn a_configuration_that_cannot_be_read_is_refused() {
    for fault in faults() {
        let host = Host::start();
        let root = host.create_root();
        host.fail(Call::Buffer, fault.clone());
        assert!(!host.configure(root, ON.as_bytes()), "{fault:?}");
        assert_eq!(host.take_log().len(), 1, "{fault:?}");
        assert_eq!(host.request(root, &Incoming::get("example.com")).refusal(), "access-off");
    }
}

#[test]
fn a_part_of_a_configuration_is_not_a_policy() {
    let host = Host::start();
    let root = host.create_root();
    let whole = format!("{ON}    ");
    host.fail(Call::Buffer, Fault::Bytes(ON.as_bytes().to_vec()));
    assert!(!host.configure(root, whole.as_bytes()));
    assert_eq!(host.request(root, &Incoming::get("example.com")).refusal(), "access-off");
}

#[test]
fn headers_that_cannot_be_read_are_refused() {
    for document in [ON, r#"{"internet_access":"on","allowlist":{"preset":"all"},"ports":"any"}"#] {
        let (host, root) = Host::with_policy(document);
        for fault in faults() {
            host.fail(Call::Pairs, fault.clone());
            let outcome = host.request(root, &Incoming::get("example.com"));
            assert_eq!(outcome.refusal(), "authority-invalid", "{fault:?}");
        }
        host.heal();
        assert!(host.request(root, &Incoming::get("example.com")).goes_on);
    }
}

#[test]
fn a_transport_that_cannot_be_told_is_refused() {
    let (host, root) = Host::with_policy(
        r#"{"internet_access":"on","allowlist":{"preset":"all","domains":["192.0.2.7"]},"tls":"inspected"}"#,
    );
    // Status 1 says that there is none, as Envoy does of a TLS version in cleartext.
    let statuses = STATUSES.into_iter().filter(|status| *status != 1).map(Fault::Status);
    for fault in statuses.chain([Fault::Null(64)]) {
        host.fail(Call::GetProperty, fault);
        for authority in ["example.com", "192.0.2.7"] {
            for incoming in [Incoming::get(authority), Incoming::get(authority).inside_tls(authority)] {
                assert_eq!(host.request(root, &incoming).refusal(), "authority-invalid");
            }
        }
    }
}

#[test]
fn each_hostcall_may_fail_in_each_way() {
    let refused = [
        Incoming::get("evil.example"),
        Incoming::new("POST", "example.com", "/"),
        Incoming::get(b"\xff\xfe"),
        Incoming::new("CONNECT", "example.com:443", "").without(":path").more_follows(),
    ];
    for tls in ["passthrough", "inspected"] {
        let document = ON.replace("\"methods\"", &format!(r#""audit":{{"log":"all"}},"tls":"{tls}","methods""#));
        for call in Call::ALL {
            for fault in faults() {
                let host = Host::start();
                let root = host.create_root();
                host.fail(call, fault.clone());
                let configured = host.configure(root, document.as_bytes());
                assert_eq!(configured, call != Call::Buffer, "{call:?} {fault:?}");
                for incoming in refused.iter().take(if tls == "inspected" { 3 } else { 4 }) {
                    assert_stopped(&host.request(root, incoming));
                }
                // Other policies would let this one go on; here it must only not panic.
                host.request(root, &Incoming::get("example.com").inside_tls("example.com"));
                host.tick(root);
                host.delete(root);
            }
        }
    }
}

#[test]
fn a_tunnel_to_be_inspected_that_cannot_be_announced_is_refused() {
    let connect = Incoming::new("CONNECT", "example.com:443", "").without(":path").more_follows();
    let document =
        |more: &str| format!(r#"{{"internet_access":"on","allowlist":{{"domains":["example.com"]}}{more}}}"#);
    for status in STATUSES {
        let (host, root) = Host::with_policy(&document(r#","tls":"inspected","methods":"read-only""#));
        assert!(host.request(root, &connect).goes_on);
        host.fail(Call::SetProperty, Fault::Status(status));
        assert_eq!(host.request(root, &connect).refusal(), "tunnel-not-inspected", "{status}");
        assert!(host.request(root, &Incoming::get("example.com")).goes_on, "there is nothing to announce");
        host.tick(root);
        let expected = [("weir.allowed".to_owned(), 2), ("weir.denied.tunnel-not-inspected".to_owned(), 1)];
        assert_eq!(Vec::from_iter(host.counters()), expected);

        // Nobody has to look into this one, whether or not it is announced.
        let (host, root) = Host::with_policy(&document(""));
        host.fail(Call::SetProperty, Fault::Status(status));
        assert!(host.request(root, &connect).goes_on);

        let (host, root) = Host::with_policy(&document(r#","tls":"inspected","mode":"audit""#));
        host.fail(Call::SetProperty, Fault::Status(status));
        let outcome = host.request(root, &connect);
        assert!(outcome.goes_on && outcome.tunnel.is_none(), "{outcome:?}");
        assert!(outcome.log.iter().any(|(_, line)| line.contains(r#""decision":"would-deny","reason":"tunnel-not"#)));
    }
}

#[test]
fn an_answer_that_the_host_does_not_take_still_stops_the_request() {
    let (host, root) = Host::with_policy(ON);
    for status in STATUSES {
        host.fail(Call::Respond, Fault::Status(status));
        let outcome = host.request(root, &Incoming::get("evil.example"));
        assert_stopped(&outcome);
        assert_eq!(outcome.response, None);
    }
}

#[test]
fn a_header_map_cut_short_or_too_long_is_refused() {
    let (host, root) = Host::with_policy(ON);
    let incoming = Incoming::get("example.com").with("x-odd", b"\x00\xff").with("", "");
    let pairs = incoming.pairs();
    assert!(host.request_as(root, &incoming, pairs.clone()).goes_on);
    for length in 0..pairs.len() {
        let outcome = host.request_as(root, &incoming, pairs[..length].to_vec());
        assert_eq!(outcome.refusal(), "authority-invalid", "{length} bytes");
    }
    for more in [&b"\0"[..], b"x", b"\0\0\0\0"] {
        let outcome = host.request_as(root, &incoming, [&pairs, more].concat());
        assert_eq!(outcome.refusal(), "authority-invalid", "{more:?}");
    }
}

#[test]
fn a_header_map_whose_numbers_lie_is_refused() {
    let (host, root) = Host::with_policy(ON);
    let incoming = Incoming::get("example.com");
    let pairs = incoming.pairs();
    let numbers = 1 + 2 * incoming.headers.len();
    for index in 0..numbers {
        let at = index * 4;
        let number = u32::from_le_bytes(pairs[at..at + 4].try_into().unwrap());
        for lie in [number + 1, number.wrapping_sub(1), 0x2000_0000, i32::MAX as u32, u32::MAX] {
            let mut lying = pairs.clone();
            lying[at..at + 4].copy_from_slice(&lie.to_le_bytes());
            let outcome = host.request_as(root, &incoming, lying);
            assert_eq!(outcome.refusal(), "authority-invalid", "number {index} is {lie}");
        }
    }
}

#[test]
fn a_header_map_without_its_terminators_is_refused() {
    let (host, root) = Host::with_policy(ON);
    let incoming = Incoming::get("example.com");
    let pairs = incoming.pairs();
    let mut at = 4 + 8 * incoming.headers.len();
    for part in incoming.headers.iter().flat_map(|(name, value)| [name, value]) {
        at += part.len();
        let mut other = pairs.clone();
        other[at] = b'x';
        let outcome = host.request_as(root, &incoming, other);
        assert_eq!(outcome.refusal(), "authority-invalid", "byte {at}");
        at += 1;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn random_bytes_are_no_header_map(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let (host, root) = Host::with_policy(ON);
        let outcome = host.request_as(root, &Incoming::get("example.com"), bytes);
        prop_assert_eq!(outcome.refusal(), "authority-invalid");
    }

    /// One byte changed: what goes on still names the one host that is allowed.
    #[test]
    fn a_changed_byte_lets_nothing_else_through(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let (host, root) = Host::with_policy(ON);
        let incoming = Incoming::get("evil.example");
        let mut pairs = incoming.pairs();
        let at = at.index(pairs.len());
        pairs[at] = byte;
        assert_stopped(&host.request_as(root, &incoming, pairs));
    }

    /// Any bytes in any header that is read: the plugin survives, and the refusal is well formed.
    #[test]
    fn any_bytes_in_any_header(
        method in prop::collection::vec(any::<u8>(), 0..40),
        authority in prop::collection::vec(any::<u8>(), 0..300),
        path in prop::collection::vec(any::<u8>(), 0..40),
        name in prop::sample::select(vec![
            "content-length", "transfer-encoding", "content-type", "upgrade", "x-request-id", "host",
            "x-http-method-override", ":protocol",
        ]),
        value in prop::collection::vec(any::<u8>(), 0..300),
        inspected in any::<bool>(),
        server_name in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let tls = if inspected { "inspected" } else { "passthrough" };
        let (host, root) = Host::with_policy(&ON.replace("{\"internet", &format!(r#"{{"tls":"{tls}","internet"#)));
        let incoming = Incoming::new(method, authority, path).with(name, value).inside_tls(server_name);
        let outcome = host.request(root, &incoming);
        outcome.refusal();
        outcome.audit_record();
        outcome.response.unwrap().json();
        prop_assert!(host.request(root, &Incoming::get("example.com").inside_tls("example.com")).goes_on);
    }
}
