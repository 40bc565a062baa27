//! The sidecar: a client without proxy settings, in a pod whose network leads only to Envoy.
//!
//! The tests try every way that must be blocked twice: as the agent, and as the one user who is exempt from the rules.
//! The second attempt shows that the way exists, and that the first would have been noticed.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "clippy treats only the test functions themselves as tests"
)]

mod breaking;
mod checks;
mod pod;

use checks::{CHECKS, PRELUDE, WAYS};
use pod::Pod;
use weir_tests::Failures;

const POLICY: &str = r#"{
    "name": "sidecar", "internet_access": "on",
    "allowlist": {"domains": ["example.com"]}, "denylist": ["secret.example.com"], "audit": {"log": "all"}
}"#;
const READ_ONLY: &str =
    r#"{"internet_access": "on", "methods": "read-only", "allowlist": {"domains": ["example.com"]}}"#;
const OFF: &str = r#"{"internet_access": "off"}"#;

fn agent(pod: &Pod, script: &str) -> String {
    pod.agent(&format!("{PRELUDE}\n{script}")).stdout.trim().to_owned()
}

/// Checks that the plugin has not trapped so far.
fn no_trap(pod: &Pod) {
    let log = std::fs::read_to_string(pod.path("envoy.log")).expect("a log");
    let signs = ["Function: proxy_on_", "panicked", "the plugin stopped"];
    let bad: Vec<&str> = log.lines().filter(|line| signs.iter().any(|sign| line.contains(sign))).collect();
    assert!(bad.is_empty(), "{bad:?}");
}

#[test]
fn an_agent_that_knows_no_proxy_reaches_what_the_policy_allows_and_nothing_else() {
    let Some(pod) = Pod::started(POLICY) else { return };
    let failures = Failures::default();
    for check in CHECKS {
        check.run(&pod, &failures);
    }
    for (way, arrives) in WAYS {
        pod.arrived();
        pod.agent(&format!("{PRELUDE}\n{way}"));
        failures.same(way, "what arrives of the agent's", &Vec::<String>::new(), &pod.arrived());
        pod.proxy_user(&format!("{PRELUDE}\n{way}"));
        pod.wait_for(arrives, || pod.arrived().iter().any(|line| line == arrives));
    }
    no_trap(&pod);
}

#[test]
fn a_closed_connection_is_logged() {
    let Some(pod) = Pod::started(POLICY) else { return };
    agent(&pod, "get -k https://evil.example/");
    let record = pod.record(|record| record["host"] == "evil.example");
    assert_eq!(
        (&record["reason"], &record["method"], &record["port"]),
        (&"domain-not-allowed".into(), &"TLS".into(), &443.into())
    );
    let line = pod.access(|line| line["sni"] == "evil.example");
    assert!(
        line["decision"].as_str().is_some_and(|decision| decision.starts_with("deny; reason=domain-not-allowed")),
        "{line}"
    );
    assert_eq!(line["dialled"], "20.0.0.2:443");
    agent(&pod, r"talk 20.0.0.1 22 'SSH-2.0-OpenSSH_9.2\r\n'");
    let line = pod.access(|line| line["dialled"] == "20.0.0.1:22");
    assert_eq!((&line["flags"], &line["upstream"]), (&"NR".into(), &serde_json::Value::Null), "{line}");
    agent(&pod, "get http://example.com/private?token=secret");
    let line = pod.access(|line| line["path"] == "/private");
    assert!(!line.to_string().contains("secret"), "{line}");
}

#[test]
fn methods_that_are_restricted_are_restricted_in_the_clear_and_close_tls() {
    let Some(pod) = Pod::started(READ_ONLY) else { return };
    assert_eq!(agent(&pod, "get http://example.com/"), "200");
    assert_eq!(agent(&pod, "get -d x http://example.com/"), "method-not-allowed");
    assert_eq!(agent(&pod, "get https://example.com/"), "cut");
    assert_eq!(pod.record(|record| record["method"] == "TLS")["reason"], "tunnel-not-inspected");
    assert_eq!(pod.requests(), ["20.0.0.1:80 GET http://example.com/"]);
}

#[test]
fn the_policy_changes_while_it_runs() {
    let Some(pod) = Pod::started(POLICY) else { return };
    let both = || (agent(&pod, "get http://example.com/"), agent(&pod, "get https://example.com/"));
    let is = |http: &str, https: &str| (http.to_owned(), https.to_owned());
    assert_eq!(both(), is("200", "200"));
    pod.write_policy(OFF);
    pod.wait_for("change to off", || both() == is("access-off", "cut"));
    pod.write_policy(POLICY);
    pod.wait_for("change to on", || both() == is("200", "200"));
    // An invalid policy changes nothing, and the log reports the mistake.
    pod.write_policy(r#"{"internet_access": "onn"}"#);
    pod.wait_for("word about the mistake", || {
        let log = std::fs::read_to_string(pod.path("envoy.log")).expect("a log");
        log.contains(r#"policy: internet_access: "onn""#) && log.matches("update rejected").count() >= 2
    });
    assert_eq!(both(), is("200", "200"));
    assert_eq!(agent(&pod, "get http://evil.example/"), "domain-not-allowed");
    assert_eq!(agent(&pod, "get -k https://evil.example/"), "cut");
}

/// The kubelet replaces a symbolic link to the folder of the files, and not the files.
#[test]
fn a_config_map_changes_it_too() {
    let Some(mut pod) = Pod::new(POLICY) else { return };
    let data = |version: &str, policy: &str| {
        pod.write_policy(policy);
        let script =
            "cd $ETC && mkdir ..$V && mv filter.yaml filter-tls.yaml ..$V && ln -s ..$V ..tmp && mv -T ..tmp ..data";
        pod.as_root(&format!("ETC=/etc/envoy V={version}; {script}"))
    };
    assert_eq!(data("1", POLICY).code, Some(0));
    pod.as_root(
        "cd /etc/envoy && ln -s ..data/filter.yaml filter.yaml && ln -s ..data/filter-tls.yaml filter-tls.yaml",
    );
    pod.redirect(&[]);
    pod.start_envoy();
    assert_eq!(agent(&pod, "get http://example.com/"), "200");
    // Written elsewhere, because the folder holds links.
    let rendered = pod.path("rendered");
    std::fs::create_dir(&rendered).expect("a folder");
    pod::render(&rendered, OFF);
    let script = "cd /etc/envoy && mkdir ..2 && cp $R/*.yaml ..2 && ln -s ..2 ..tmp && mv -T ..tmp ..data";
    let ran = pod.as_root(&format!("R={}; {script}", rendered.display()));
    assert_eq!(ran.code, Some(0), "{ran:?}");
    pod.wait_for("change to off", || {
        agent(&pod, "get http://example.com/") == "access-off" && agent(&pod, "get https://example.com/") == "cut"
    });
}

#[test]
fn without_envoy_nothing_gets_out() {
    let Some(mut pod) = Pod::new(POLICY) else { return };
    pod.redirect(&[]);
    let closed = |pod: &Pod, when: &str| {
        pod.arrived();
        for (way, _) in WAYS.iter().chain(&[("get http://example.com/", ""), ("get https://example.com/", "")]) {
            pod.agent(&format!("{PRELUDE}\n{way}"));
        }
        assert_eq!(pod.arrived(), Vec::<String>::new(), "{when}");
    };
    closed(&pod, "before Envoy starts");
    pod.start_envoy();
    assert_eq!(agent(&pod, "get http://example.com/"), "200");
    pod.kill_envoy();
    closed(&pod, "after Envoy died");
    pod.start_envoy();
    assert_eq!(agent(&pod, "get http://example.com/"), "200");
}

/// The agent's container may run as root, but must not have capabilities.
#[test]
fn neither_an_agent_nor_a_root_without_capabilities_undoes_it() {
    let Some(pod) = Pod::started(POLICY) else { return };
    let attempts = [
        "iptables -F; iptables -t nat -F; iptables -P OUTPUT ACCEPT",
        "iptables-restore < /dev/null; ip6tables -F",
        "unshare --user --map-root-user iptables -t nat -F",
        "unshare --user --map-root-user --net ip link set lo up; nsenter --net=/proc/1/ns/net iptables -F",
        "ip route replace default via 10.1.0.1 table 1; ip rule add table 1; ip link set eth0 down",
        "ip netns exec internet true",
        "setpriv --reuid 1337 --regid 1337 --clear-groups true && setpriv --reuid 1337 curl -m 5 http://evil.example/",
        "pkill -KILL -u 1337; pkill -STOP envoy",
        "curl -m 5 --unix-socket /run/weir/admin.sock -X POST http://x/quitquitquit",
        "echo x > /etc/envoy/filter.yaml; rm -f /etc/envoy/filter.yaml; mv /etc/envoy/sidecar.yaml /etc/envoy/x",
        "bash -c 'exec 3<> /dev/udp/20.0.0.53/53; echo x >&3'",
        // Hand-made packets.
        r#"/usr/bin/env python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, 17).sendto(b"x" * 20, ("20.0.0.1", 9))'"#,
        r#"/usr/bin/env python3 -c 'import socket; socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x800).bind(("eth0", 0))'"#,
        r#"/usr/bin/env python3 -c 'import socket; s = socket.socket(); s.setsockopt(1, 36, 1); s.connect(("20.0.0.1", 22))'"#,
        r#"/usr/bin/env python3 -c 'import socket; s = socket.socket(); s.setsockopt(1, 25, b"eth0"); s.connect(("20.0.0.1", 22))'"#,
        r#"/usr/bin/env python3 -c 'import socket; s = socket.socket(132 and 2, 1, 132); s.connect(("20.0.0.1", 9))'"#,
    ];
    pod.arrived();
    for user in [pod::AGENT, 0] {
        for attempt in attempts {
            pod.as_user(user, attempt);
            let said = (agent(&pod, "get http://example.com/"), agent(&pod, "get http://evil.example/"));
            assert_eq!(said, ("200".to_owned(), "domain-not-allowed".to_owned()), "user {user}: {attempt}");
            assert_eq!(pod.requests(), ["20.0.0.1:80 GET http://example.com/"], "user {user}: {attempt}");
        }
    }
}

#[test]
fn no_client_outside_reaches_in() {
    let Some(pod) = Pod::started(POLICY) else { return };
    let from_outside = |what: &str| pod.outside(&format!("{PRELUDE}\n{what}")).stdout.trim().to_owned();
    for address in ["10.1.0.2", "[fd00:1::2]"] {
        assert_eq!(from_outside(&format!("get http://{address}:15021/ready")), "200", "the kubelet's probe");
        for port in [15001, 9901, 8000] {
            let host = format!("-H 'host: example.com' http://{address}:{port}/");
            assert_eq!(from_outside(&format!("get {host}")), "cut", "{address}:{port}");
        }
    }
    assert_eq!(pod.requests(), Vec::<String>::new());
}

#[test]
fn the_script_can_run_again_and_be_undone() {
    let Some(mut pod) = Pod::new(POLICY) else { return };
    let rules = |pod: &Pod| {
        pod.as_root("iptables-save; ip6tables-save")
            .stdout
            .lines()
            .filter(|line| line.starts_with('-'))
            .collect::<Vec<_>>()
            .join("\n")
    };
    // Other rules stay, after ours.
    pod.as_root("iptables -t nat -A OUTPUT -d 127.0.0.11 -j RETURN; iptables -A OUTPUT -d 192.0.2.1 -j DROP");
    let before = rules(&pod);
    pod.redirect(&[]);
    let once = rules(&pod);
    pod.redirect(&[]);
    assert_eq!(rules(&pod), once);
    assert!(once.contains("-d 127.0.0.11/32 -j RETURN") && once.contains("-d 192.0.2.1/32 -j DROP"), "{once}");
    pod.start_envoy();
    assert_eq!(agent(&pod, "get http://evil.example/"), "domain-not-allowed");
    // No DNS at all.
    pod.redirect(&["--resolver", "none"]);
    assert_eq!(agent(&pod, "getent ahostsv4 example.com"), "");
    assert_eq!(agent(&pod, "get -H 'host: example.com' http://20.0.0.1/"), "200");
    // The agent then needs its own hosts file, whose addresses do not matter: Envoy resolves the name itself.
    std::fs::write(pod.path("agents-hosts"), "192.0.2.1 example.com evil.example\n").expect("a file");
    let with_hosts = |script: &str| {
        let own = format!("mount --bind {} /etc/hosts", pod.path("agents-hosts").display());
        let user = "setpriv --reuid 1000 --regid 1000 --clear-groups --bounding-set=-all --inh-caps=-all";
        let ran = pod.as_root(&format!("unshare --mount bash -c '{own} && exec {user} curl -s -m 15 {script}'"));
        (ran.code, ran.stdout)
    };
    assert_eq!(with_hosts("https://example.com/").1, "20.0.0.1:443 GET https://example.com/\n");
    assert_eq!(with_hosts("http://example.com/").1, "20.0.0.1:80 GET http://example.com/\n");
    assert_eq!(with_hosts("https://evil.example/"), (Some(35), String::new()));
    // A port that is open to the outside.
    pod.redirect(&["--inbound", "15001", "--resolver", "10.1.0.1"]);
    let asked = pod.outside(&format!("{PRELUDE}\nget -H 'host: evil.example' http://10.1.0.2:15001/"));
    assert_eq!(asked.stdout.trim(), "domain-not-allowed");
    pod.redirect(&["--remove"]);
    assert_eq!(rules(&pod), before);
    pod.redirect(&["--remove"]);
    pod.arrived();
    assert_eq!(agent(&pod, "get http://evil.example/"), "200");
}

#[test]
fn the_script_says_what_is_wrong_and_changes_nothing() {
    let Some(pod) = Pod::new(POLICY) else { return };
    for (arguments, says) in [
        (&["--proxy-uid", "0"][..], "root may not be"),
        (&["--proxy-uid", "envoy"], "takes a number"),
        (&["--port"], "takes a value"),
        (&["--resolver", "-j ACCEPT"], "is no address"),
        (&["--resolver", "dns.example"], "is no address"),
        (&["--inbound", "80 -j ACCEPT"], "takes a number"),
        (&["--wrong"], "unknown argument"),
    ] {
        let ran = pod.redirect_may_fail(arguments);
        assert!(ran.code == Some(1) && ran.stderr.contains(says), "{arguments:?}: {ran:?}");
    }
    let ran = pod.redirect_may_fail(&["--help"]);
    assert!(ran.code == Some(0) && ran.stdout.contains("--proxy-uid UID"), "{ran:?}");
    // An options line is not a name server, and a star is not expanded to file names.
    for (line, says) in [("options ndots:1", "no name server"), ("nameserver *", "the resolver \"*\" is no address")] {
        std::fs::write(pod.path("resolv.conf"), format!("{line}\n")).expect("a file");
        let ran = pod.redirect_may_fail(&[]);
        assert!(ran.code == Some(1) && ran.stderr.contains(says), "{line}: {ran:?}");
    }
    std::fs::write(pod.path("resolv.conf"), "nameserver\t10.1.0.1\r\n").expect("a file");
    let ran = pod.as_user(pod::AGENT, &pod.path("redirect.sh").display().to_string());
    assert!(ran.code == Some(1) && ran.stderr.contains("NET_ADMIN"), "{ran:?}");
    assert_eq!(pod.as_root("iptables-save | grep WEIR").stdout, "");
}
