//! Connections that the kernel redirects, as in a sidecar: the plugin checks the port that the client dialled, from the
//! kernel (`SO_ORIGINAL_DST`), and Envoy connects to the configured origin, never to the address that the client
//! dialled.
//!
//! The rules are set in a new network namespace, in which this test runs once more.

use std::process::Command;

use super::*;

/// The inner test prints this at its end, because a filter that selects no test succeeds too.
const DONE: &str = "intercepted: done";
const INSIDE: &str = "intercepted::inside_of_a_namespace";

#[test]
fn the_port_behind_a_redirect_is_the_one_that_the_client_wanted() {
    let namespace = ["--user", "--map-root-user", "--net", "--", "sh", "-c"];
    let rule = "ip link set lo up && iptables -t nat -A OUTPUT -p tcp -d 192.0.2.0/24 -j REDIRECT --to-ports 1";
    let tried = Command::new("unshare").args(namespace).arg(rule).output();
    if !tried.as_ref().is_ok_and(|tried| tried.status.success()) {
        let told = tried.map_or_else(|e| e.to_string(), |tried| String::from_utf8_lossy(&tried.stderr).into_owned());
        weir_tests::skipped(format_args!(
            "no connection is redirected by a kernel here ({}): install util-linux, iproute2 and iptables, and let \
             users make user namespaces (in a container: run it with --privileged)",
            told.trim()
        ));
        return;
    }
    // Found outside, because there is no network inside.
    let envoy = ok(weir_envoy::Binary::find());
    let output = Command::new("unshare")
        .args(namespace)
        .arg("ip link set lo up && ip route add local 192.0.2.0/24 dev lo && exec \"$@\"")
        .arg("sh")
        .arg(std::env::current_exe().expect("this test"))
        .args([INSIDE, "--exact", "--ignored", "--nocapture"])
        .env("WEIR_PLUGIN", weir_tests::proxy::plugin_file())
        .env("WEIR_ENVOY", envoy.path())
        .output()
        .expect("unshare");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && stderr.contains(DONE), "{stdout}{stderr}");
}

#[test]
#[ignore = "run by the test above, in a namespace of its own"]
fn inside_of_a_namespace() {
    let origin = Origin::start();
    let network = Network::start(POLICY, origin.address);
    let listener = network.address_of("intercepted");
    // Redirected to the listener; without the rule no process listens there.
    let redirect = |port: u16| {
        let rule = format!("-t nat -A OUTPUT -p tcp -d 192.0.2.0/24 --dport {port} -j REDIRECT --to-ports");
        let status = Command::new("iptables").args(rule.split(' ')).arg(listener.port().to_string()).status();
        assert!(status.expect("iptables").success(), "{rule}");
    };
    for port in [443, 8443, 22] {
        redirect(port);
    }
    let dial = |port: u16| weir_tests::http1::dial(([192, 0, 2, 7], port).into());
    let refused = |reason: &str, port: u16| {
        let record = network.record(|record| record["port"] == port && record["reason"] == reason);
        assert_eq!(record["method"], "TLS");
    };

    // No process listens at 192.0.2.7: a connection that passes has reached the configured origin.
    assert_eq!(say(dial(443), &named("example.com")), b"ok");
    assert_eq!(origin.take_seen(), [named("example.com")]);
    assert_eq!(say(dial(443), &named("evil.example")), b"");
    refused("domain-not-allowed", 443);
    assert_eq!(say(dial(443), &client_hello(None)), b"");
    refused("authority-invalid", 443);
    assert_eq!(say(dial(8443), &named("example.com")), b"");
    refused("port-not-allowed", 8443);
    assert_eq!(say(dial(22), &named("example.com")), b"");
    refused("port-not-allowed", 22);
    // A client that dials the listener itself wants the listener's port, which is not allowed.
    assert_eq!(say(network.dial_to("intercepted"), &named("example.com")), b"");
    refused("port-not-allowed", listener.port());
    assert_eq!((network.upstream_connections(), origin.take_seen()), (1, vec![]));

    let other = br#"{"internet_access": "on", "ports": [8443], "allowlist": {"domains": ["example.com"]}}"#;
    assert!(network.set_policy(other));
    assert_eq!(say(dial(8443), &named("example.com")), b"ok");
    assert_eq!(say(dial(443), &named("example.com")), b"");
    assert_eq!(network.upstream_connections(), 2);
    assert_eq!(signs_of_a_trap(&network), Vec::<String>::new());
    eprintln!("{DONE}");
}
