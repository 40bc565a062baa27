//! Attempts to break the sidecar, successful or not: `attacker.py` has the attacks that need more than a line of shell,
//! and docs/attacks/sidecar.md has the result of each.
//!
//! The tests first show that each blocked way otherwise works: without the rules, or as the user who is exempt from
//! them.

use std::thread;

use crate::pod::{AGENT, PROXY, Pod};
use crate::{POLICY, PRELUDE, READ_ONLY, agent, no_trap};

/// The attacks of `attacker.py` that arrive if no rule blocks them.
const WAYS: &[&str] = &[
    "a foreign source, to one's own address",
    "a foreign source, to ::1",
    "a foreign source, to elsewhere",
    "a group's address",
    "broadcast",
    "broadcast of the link",
    "multicast",
    "multicast by IPv6",
    "UDP-Lite",
    "UDP bound to eth0",
    "UDP bound to the port of DNS",
    "UDP in pieces",
    "ping",
    "ping by IPv6",
    "TCP bound to eth0",
    "MPTCP",
];
const MARKER: &str = "eth0 the marker";

fn attack(way: &str) -> String {
    format!("exec /usr/bin/env python3 $ATTACKER \"{way}\"")
}

#[test]
fn no_packet_leaves_by_a_side_door() {
    let Some(pod) = Pod::started(POLICY) else { return };
    // As container engines set it: every user may ping.
    pod.as_root("echo 0 2147483647 > /proc/sys/net/ipv4/ping_group_range");
    let seen = |pod: &Pod| pod.arrived().iter().any(|line| line == MARKER);
    seen(&pod);
    for user in [AGENT, 0] {
        let ran = pod.as_user(user, &attack("all"));
        assert_eq!(ran.code, Some(0), "{ran:?}");
        // A later datagram of another user arrives after it.
        pod.proxy_user(&format!("{PRELUDE}\nudp 20.0.0.1 9"));
        let mut arrived = Vec::new();
        pod.wait_for("datagram of the other user", || {
            arrived.extend(pod.arrived());
            arrived.iter().any(|line| line == "20.0.0.1:9/udp datagram")
        });
        assert_eq!(arrived, ["20.0.0.1:9/udp datagram"], "user {user}: {}", ran.stdout);
    }
    pod.redirect(&["--remove"]);
    for way in WAYS {
        pod.arrived();
        let ran = pod.agent(&attack(way));
        pod.wait_for(&format!("{way}: {ran:?}"), || seen(&pod));
    }
}

/// To the kernel, a connection that was just reset is still established, and packets from the same port belong to it.
#[test]
fn an_agent_does_not_go_on_with_a_connection_of_envoys() {
    let Some(pod) = Pod::started(POLICY) else { return };
    pod.arrived();
    for _ in 0..3 {
        let ran = pod.agent(&attack("go-on"));
        assert_eq!(ran.stdout, "found\n", "{ran:?}");
        assert!(ran.stderr.contains("ConnectionRefused") || ran.stderr.contains("timed out"), "{ran:?}");
        assert_eq!(pod.arrived(), Vec::<String>::new());
    }
}

/// Envoy queries 127.0.0.11 if a container engine configures it, and a rule redirects that to the engine.
#[test]
fn an_agent_does_not_stand_in_for_a_resolver_on_the_loopback() {
    let Some(pod) = Pod::new(POLICY) else { return };
    std::fs::write(pod.path("resolv.conf"), "nameserver 127.0.0.11\noptions timeout:1 attempts:2\n").expect("a file");
    let engine = "iptables -t nat -A OUTPUT -d 127.0.0.11 -p udp --dport 53 -j DNAT --to-destination 127.0.0.11:5300
        echo 0 > /proc/sys/net/ipv4/ip_unprivileged_port_start";
    assert_eq!(pod.as_root(engine).code, Some(0));
    let asked = |what: &str| {
        let ran = pod.proxy_user("getent ahostsv4 example.com");
        assert!(ran.stdout.starts_with(what), "{what}: {ran:?}");
    };
    let resolver = attack("resolver").replace('"', "") + " 5300";
    thread::scope(|scope| {
        scope.spawn(|| pod.as_root(&resolver));
        pod.wait_for("resolver", || pod.proxy_user("getent ahostsv4 example.com").stdout.starts_with("20.0.0.1"));
        for (rules, finds) in [(true, "20.0.0.1"), (false, "6.6.6.6")] {
            pod.redirect(if rules { &[] } else { &["--remove"] });
            let impostor = scope.spawn(|| pod.agent(&attack("stand-in")));
            pod.wait_for("impostor", || pod.as_root("exec 3<> /dev/tcp/127.0.0.1/7777").code == Some(0));
            for _ in 0..4 {
                asked(finds);
            }
            impostor.join().expect("no panic");
        }
        pod.as_root("printf 'the end' > /dev/udp/127.0.0.11/5300");
    });
}

/// No other process can take Envoy's port for the kubelet, even while Envoy is down.
#[test]
fn an_agent_does_not_take_the_port_that_is_open_to_the_outside() {
    let Some(pod) = Pod::new(POLICY) else { return };
    pod.redirect(&["--inbound", "8000"]);
    let from_outside = |user: u32, address: &str, port: u16| {
        let server = format!("{} {port}", attack("serve").replace('"', ""));
        let ask = format!("{PRELUDE}\nget http://{address}:{port}/");
        thread::scope(|scope| {
            scope.spawn(|| pod.as_user(user, &server));
            let listening = format!("ss -Htln 'sport = {port}'");
            pod.wait_for("listener", || !pod.as_root(&listening).stdout.is_empty());
            let said = pod.outside(&ask.replace("-m 15", "-m 2")).stdout.trim().to_owned();
            // The connection that it waits for.
            pod.as_root(&format!("exec 3<> /dev/tcp/127.0.0.1/{port}"));
            pod.wait_for("end of the listener", || pod.as_root(&listening).stdout.is_empty());
            said
        })
    };
    for address in ["10.1.0.2", "[fd00:1::2]"] {
        assert_eq!(from_outside(AGENT, address, 15021), "cut");
        assert_eq!(from_outside(0, address, 15021), "cut");
        assert_eq!(from_outside(PROXY, address, 15021), "200");
        assert_eq!(from_outside(AGENT, address, 8000), "200", "the port that --inbound opens");
    }
}

/// A network behind the pod, such as that of a container engine in it, cannot route through the pod.
#[test]
fn nothing_goes_through_the_pod() {
    let Some(pod) = Pod::new(POLICY) else { return };
    let behind = "set -e; ip netns add behind; behind() { ip netns exec behind \"$@\"; }
        ip link add inner type veth peer name eth0 netns behind
        ip address add 10.2.0.1/24 dev inner; ip link set inner up; echo 1 > /proc/sys/net/ipv4/ip_forward
        behind ip address add 10.2.0.2/24 dev eth0; behind ip link set eth0 up; behind ip route add default via 10.2.0.1
        ip netns exec internet ip route add 10.2.0.0/24 via 10.1.0.2";
    let ran = pod.as_root(behind);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let ask =
        || pod.as_root("ip netns exec behind curl -s -m 5 -o /dev/null -w '%{http_code}' http://20.0.0.2/").stdout;
    assert_eq!(ask(), "200");
    pod.arrived();
    pod.redirect(&[]);
    assert_eq!(ask(), "000");
    assert_eq!(pod.arrived(), Vec::<String>::new());
    assert_eq!(agent(&pod, "udp 20.0.0.1 9"), "refused");
}

/// Every case of tests/data/attacks.json, to port 80 of another server. The answers are those of the forward proxy,
/// except that Envoy closes connections that are not HTTP; what counts is what arrives.
#[test]
fn the_attacks_on_the_forward_proxy_reach_no_further() {
    let Some(pod) = Pod::started(READ_ONLY) else { return };
    let attacks = weir_cases::attacks();
    let sent: Vec<Vec<u8>> = attacks.iter().map(weir_cases::Attack::bytes).collect();
    std::fs::write(pod.path("attacks.json"), serde_json::to_vec(&sent).expect("JSON")).expect("a file");
    pod.arrived();
    let file = pod.path("attacks.json");
    let ran = pod.agent(&format!("{} {}", attack("raw"), file.display()));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    let told = |reached: &String| {
        let [method, host, path] = reached.split(' ').collect::<Vec<_>>()[..] else { panic!("{reached}") };
        // Python's server reads two leading slashes as one.
        format!("20.0.0.1:80 {method} http://{host}{}", path.replacen("//", "/", 1))
    };
    let mut expected: Vec<String> = attacks.iter().flat_map(|attack| attack.reaches.iter().map(told)).collect();
    let mut arrived = pod.requests();
    expected.sort();
    arrived.sort();
    assert_eq!(arrived, expected);
    no_trap(&pod);
}

/// The sockets of a hot restart have no owner. Any process that connects there gets Envoy's listener, and shut down,
/// that socket can connect anywhere as Envoy's user.
#[test]
fn an_agent_gets_no_socket_of_envoys() {
    let Some(pod) = Pod::started(POLICY) else { return };
    let abstracts = pod.agent("grep -o '@.*' /proc/net/unix").stdout;
    assert_eq!(abstracts, "");
    for user in [AGENT, 0] {
        let ran = pod.as_user(user, &attack("hot-restart"));
        assert!(ran.stderr.contains("ConnectionRefused"), "{ran:?}");
    }
    assert_eq!(pod.arrived(), Vec::<String>::new());
}
