//! The ports of the shipped configurations, compared with scripts, manifests, pages and the command line.

use std::collections::BTreeSet;

use serde_json::Value;
use weir_policy::{Policy, Request};

use crate::{assert_none, below, configurations, file, pages};

/// The ports that the shipped files listen on.
struct Ports {
    proxy: u64,
    admin: u64,
    redirected: u64,
    ready: u64,
}

fn port(document: &Value, place: &str) -> u64 {
    document.pointer(place).and_then(Value::as_u64).unwrap_or_else(|| panic!("no port at {place}"))
}

fn shipped() -> Ports {
    const LISTENERS: &str = "/static_resources/listeners";
    const PORT: &str = "address/socket_address/port_value";
    let read = |name: &str| file(&format!("envoy/{name}.yaml")).documents().remove(0);
    let [forward, inspecting, sidecar] = ["forward-proxy", "inspecting-proxy", "sidecar"].map(read);
    for place in [format!("{LISTENERS}/0/{PORT}"), format!("/admin/{PORT}")] {
        assert_eq!(port(&forward, &place), port(&inspecting, &place), "{place}");
    }
    Ports {
        proxy: port(&forward, &format!("{LISTENERS}/0/{PORT}")),
        admin: port(&forward, &format!("/admin/{PORT}")),
        redirected: port(&sidecar, &format!("{LISTENERS}/0/{PORT}")),
        ready: port(&sidecar, &format!("{LISTENERS}/1/{PORT}")),
    }
}

fn numbers(path: &str, pattern: &str) -> Vec<u64> {
    file(path).all(pattern).iter().map(|digits| digits.parse().expect("a port")).collect()
}

#[test]
fn the_redirect_leads_to_the_sidecar() {
    let Ports { redirected, ready, .. } = shipped();
    let script = "envoy/redirect.sh";
    assert_eq!(numbers(script, r"(?m)^proxy_uid=\d+ port=(\d+)"), [redirected]);
    assert_eq!(numbers(script, r"\bready_port=(\d+)"), [ready]);
    // The script's help names the same ports.
    assert_eq!(numbers(script, r"--port PORT .*\((\d+)\)"), [redirected]);
    assert_eq!(numbers(script, r"--ready-port PORT .*\((\d+)\)"), [ready]);
    let pod = file("envoy/kubernetes/pod.yaml").documents().remove(0);
    let containers = pod.pointer("/spec/initContainers").and_then(Value::as_array).expect("init containers");
    let named: Vec<_> = containers.iter().filter_map(|container| container.pointer("/ports/0")).collect();
    assert_eq!(named, [&serde_json::json!({"name": "ready", "containerPort": ready})]);
}

#[test]
fn the_containers_use_the_port_of_the_proxy() {
    let Ports { proxy, admin, .. } = shipped();
    let asked: BTreeSet<u64> = numbers("envoy/compose/healthy", r"\bask (\d+) ").into_iter().collect();
    assert_eq!(asked, [proxy, admin].into());
    let compose = "envoy/compose/docker-compose.yaml";
    let mut set = numbers(compose, r"http://envoy:(\d+)");
    set.extend(numbers(compose, r"proxyPort=(\d+)"));
    assert!(set.len() >= 3 && set.iter().all(|port| *port == proxy), "{set:?}");
}

#[test]
fn the_command_line_listens_where_the_configurations_do() {
    let Ports { proxy, .. } = shipped();
    let sources = below("cli/src", &[]);
    let defaults: Vec<&str> =
        sources.iter().flat_map(|file| file.all(r#"default_value = "127\.0\.0\.1:(\d+)""#)).collect();
    assert_eq!(defaults, [proxy.to_string()], "the default of `weir up --listen`");
}

/// The `NetworkPolicy` opens the ports that a policy allows by default.
#[test]
fn the_network_opens_the_ports_that_policies_allow() {
    let policy = Policy::from_json(br#"{"internet_access": "on", "allowlist": {"preset": "all"}}"#).expect("a policy");
    let allowed = |port: &u64| {
        let authority = format!("example.com:{port}");
        let request = Request { method: b"GET", authority: authority.as_bytes(), path: b"/", ..Request::default() };
        policy.decide(&request).is_allowed()
    };
    let allowed: BTreeSet<u64> = (1..=65_535).filter(allowed).collect();
    let document = file("envoy/kubernetes/network-policy.yaml").documents().remove(0);
    let rules = document.pointer("/spec/egress").and_then(Value::as_array).expect("egress");
    let outward = rules.iter().find(|rule| rule.pointer("/to/0/ipBlock").is_some()).expect("a rule with addresses");
    let opened: BTreeSet<u64> =
        outward["ports"].as_array().expect("ports").iter().filter_map(|port| port["port"].as_u64()).collect();
    assert_eq!(opened, allowed);
}

/// A port of Weir that a page or a script names must be one of the shipped ones.
#[test]
fn no_page_names_another_port() {
    let Ports { proxy, admin, redirected, ready } = shipped();
    // Examples use 8443 as a port of origins.
    let known = [proxy, admin, redirected, ready, 8443].map(|port| port.to_string());
    let (mut mistakes, mut compared) = (BTreeSet::new(), 0);
    for file in pages().iter().chain(&configurations()) {
        let places = [r"\b(?:PROXY|proxy|envoy|weir):(\d{2,5})\b", r"\bdport (\d{4,5})\b", r"\bport (\d{4,5})\b"];
        for number in places.iter().flat_map(|place| file.all(place)) {
            compared += 1;
            if !known.iter().any(|port| port == number) {
                mistakes.insert(format!("{}: port {number}", file.path));
            }
        }
    }
    assert_none(&mistakes);
    assert!(compared > 10, "{compared}");
}
