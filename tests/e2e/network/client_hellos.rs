//! Malformed `ClientHello`s by a raw socket: every case of `tests/data/client-hellos.json`. Nothing of a closed
//! connection may go upstream, and the plugin must not stop.

use std::io::Write;
use std::net::Shutdown;

use super::*;

const POLICY: &[u8] =
    br#"{"internet_access": "on", "allowlist": {"domains": ["example.com"]}, "audit": {"log": "all"}}"#;

#[test]
fn the_table_of_client_hellos() {
    let origin = Origin::start();
    let network = Network::start(POLICY, origin.address);
    let vms = ok(network.envoy.stats("wasm.envoy.wasm.runtime.v8."));
    let (failures, mut told) = (Failures::default(), 0);
    let cases = weir_cases::client_hellos();
    for case in &cases {
        // Shown if the test fails, above all by a timeout.
        eprintln!("{}", case.id);
        let before = network.upstream_connections();
        let mut stream = network.dial(443);
        for piece in case.pieces() {
            // Envoy may close before everything is written.
            if stream.write_all(&piece).is_err() {
                break;
            }
        }
        if case.ends {
            let _ = stream.shutdown(Shutdown::Write);
        }
        let answer = say(stream, b"");
        let passes = case.expect == "passes";
        failures.same(&case.id, "answer", &(if passes { &b"ok"[..] } else { b"" }), &&*answer);
        failures.same(&case.id, "connections upstream", &u64::from(passes), &(network.upstream_connections() - before));
        let (seen, sent) = (origin.take_seen(), case.bytes());
        let arrived = match &*seen {
            [] => !passes,
            // The origin reads once.
            [first] => passes && !first.is_empty() && sent.starts_with(first),
            _ => false,
        };
        failures.check(&case.id, arrived, format_args!("arrived: {seen:?}"));
        // The log is read shortly after it is written: the decisions are the records before a marker.
        network.say(443, &named("marker.example"));
        let mut records = Vec::new();
        network.wait_for(&case.id, || {
            records = network.records().split_off(told);
            records.last().is_some_and(|record| record["host"] == "marker.example")
        });
        told += records.len();
        records.pop();
        let decided: Vec<&str> = records.iter().map(|record| record["reason"].as_str().unwrap_or("passes")).collect();
        let expected = if case.expect == "cut" { vec![] } else { vec![&*case.expect] };
        failures.same(&case.id, "decisions", &expected, &decided);
    }
    failures.same("afterwards", "signs of a trap", &Vec::new(), &signs_of_a_trap(&network));
    failures.same("afterwards", "VMs", &vms, &ok(network.envoy.stats("wasm.envoy.wasm.runtime.v8.")));
    eprintln!("{} ClientHellos", cases.len());
}

/// No bytes, or an incomplete `ClientHello`: the listener closes the connection without calling the plugin.
#[test]
fn a_silent_client_is_closed() {
    let origin = Origin::start();
    let network = Network::start(POLICY, origin.address);
    let whole = named("example.com");
    for said in [&whole[..0], &whole[..1], &whole[..5], &whole[..60], &whole[..whole.len() - 1]] {
        assert_eq!(say(network.dial_to("impatient"), said), b"", "{} bytes", said.len());
    }
    assert_eq!(network.upstream_connections(), 0);
    assert_eq!(origin.take_seen(), Vec::<Vec<u8>>::new());
    assert_eq!(network.records(), Vec::<Value>::new());
    let timeouts =
        ok(network.envoy.stats("listener.")).into_iter().filter(|(name, _)| name.ends_with("pre_cx_timeout"));
    assert_eq!(timeouts.map(|(_, count)| count).sum::<u64>(), 5);
    assert_eq!(signs_of_a_trap(&network), Vec::<String>::new());
}
