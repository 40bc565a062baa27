//! The sidecar: a client that knows of no proxy, in a pod whose network leads nowhere but to Envoy.
//!
//! Every way that must be closed is tried twice: as the agent, and as the one user that no rule holds back. The second
//! shows that the way is there, and that the first would have been seen.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "clippy takes only the test functions themselves for tests"
)]

mod breaking;
mod pod;

use pod::Pod;
use weir_tests::Failures;

const POLICY: &str = r#"{
    "name": "sidecar", "internet_access": "on",
    "allowlist": {"domains": ["example.com"]}, "denylist": ["secret.example.com"], "audit": {"log": "all"}
}"#;
const READ_ONLY: &str =
    r#"{"internet_access": "on", "methods": "read-only", "allowlist": {"domains": ["example.com"]}}"#;
const OFF: &str = r#"{"internet_access": "off"}"#;

/// A line of shell that a client in the pod runs, what it must print, and what must arrive outside, requests alone.
struct Check {
    id: &'static str,
    script: &'static str,
    prints: &'static str,
    arrives: &'static [&'static str],
}

impl Check {
    const fn allowed(id: &'static str, script: &'static str, arrives: &'static [&'static str]) -> Check {
        Check { id, script, prints: "200", arrives }
    }

    /// 403 by the plugin, with this reason.
    const fn refused(id: &'static str, script: &'static str, reason: &'static str) -> Check {
        Check { id, script, prints: reason, arrives: &[] }
    }

    const fn cut(id: &'static str, script: &'static str) -> Check {
        Check { id, script, prints: "cut", arrives: &[] }
    }

    fn run(&self, pod: &Pod, failures: &Failures) {
        pod.arrived();
        let ran = pod.agent(&format!("{PRELUDE}\n{}", self.script));
        failures.same(self.id, "what the client says", &self.prints, &ran.stdout.trim());
        let arrived = if self.arrives.is_empty() { pod.arrived() } else { pod.requests() };
        failures.same(self.id, "what arrives", &self.arrives.join("\n"), &arrived.join("\n"));
    }
}

/// `get` prints the status, or the reason of a refusal, or `cut`. `talk ADDRESS PORT BYTES` does the same of what it says by
/// TCP. `udp ADDRESS PORT` prints whether a datagram could be sent.
const PRELUDE: &str = r#"
reason() {
  awk 'NR == 1 { said = $1 ~ /^HTTP/ ? $2 : $1 }
    $1 == "x-weir-decision:" && match($0, /reason=[a-z-]+/) { said = substr($0, RSTART + 7, RLENGTH - 7) }
    END { print said }'
}
get() {
  local answer
  answer=$(curl -s -m 15 -o /dev/null -w '%{http_code}\nx-weir-decision: %header{x-weir-decision}\n' "$@") || { echo cut; return; }
  reason <<< "$answer"
}
talk() {
  local answer
  answer=$( { exec 3<> "/dev/tcp/$1/$2" && printf '%b' "$3" >&3 && timeout 15 cat <&3; } 2> /dev/null )
  [ -z "$answer" ] && echo cut || reason <<< "$answer"
}
udp() { { exec 3> "/dev/udp/$1/$2" && echo datagram >&3; } 2> /dev/null && echo sent || echo refused; }
"#;

const CHECKS: &[Check] = &[
    Check::allowed("http", "get http://example.com/a", &["20.0.0.1:80 GET http://example.com/a"]),
    Check::allowed("https", "get https://example.com/a", &["20.0.0.1:443 GET https://example.com/a"]),
    Check::allowed(
        "https, HTTP/1.1",
        "get --http1.1 https://example.com/a",
        &["20.0.0.1:443 GET https://example.com/a"],
    ),
    Check::allowed(
        "a POST, http and https",
        "get -d x http://example.com/p && get -d x https://example.com/p > /dev/null",
        &["20.0.0.1:80 POST http://example.com/p", "20.0.0.1:443 POST https://example.com/p"],
    ),
    Check::refused("http, another name", "get http://evil.example/", "domain-not-allowed"),
    Check::refused("http, on the denylist", "get -H 'host: secret.example.com' http://20.0.0.1/", "domain-denied"),
    Check::refused("http to an address", "get http://20.0.0.1/", "ip-literal"),
    Check::refused("http, another port", "get http://example.com:8080/", "port-not-allowed"),
    Check::refused("http, no host", "get -H 'host;' http://example.com/", "authority-invalid"),
    Check::refused(
        "http/2 by prior knowledge",
        "get --http2-prior-knowledge http://evil.example/",
        "domain-not-allowed",
    ),
    Check::cut("https, another name", "get -k https://evil.example/"),
    Check::cut("https, another port", "get -k https://example.com:8080/"),
    Check::cut("https, no server name", "get -k https://20.0.0.1/"),
    Check::cut("https by IPv6, no server name", "get -k 'https://[2600:1::1]/'"),
    // What the agent dials is not where it goes.
    Check::allowed(
        "the host of somebody else at one's own address",
        "get -H 'host: example.com' http://20.0.0.2/stolen",
        &["20.0.0.1:80 GET http://example.com/stolen"],
    ),
    Check::allowed(
        "the server name of somebody else at one's own address",
        "get --connect-to example.com:443:20.0.0.2:443 https://example.com/stolen",
        &["20.0.0.1:443 GET https://example.com/stolen"],
    ),
    Check::allowed(
        "the same by IPv6, where nobody listens",
        "get --connect-to 'example.com:443:[2600:dead::1]:443' https://example.com/stolen",
        &["20.0.0.1:443 GET https://example.com/stolen"],
    ),
    Check::refused(
        "a foreign host at an allowed address",
        "get -H 'host: evil.example' http://20.0.0.1/",
        "domain-not-allowed",
    ),
    // Both families are alike.
    Check::allowed("http by IPv6", "get -6 http://example.com/6", &["20.0.0.1:80 GET http://example.com/6"]),
    Check::allowed("https by IPv6", "get -6 https://example.com/6", &["20.0.0.1:443 GET https://example.com/6"]),
    Check::refused("http by IPv6, another name", "get -6 http://evil.example/", "domain-not-allowed"),
    Check::cut("https by IPv6, another name", "get -6 -k https://evil.example/"),
    // Neither TLS nor HTTP.
    Check::cut("TCP 22, the client speaks first", r"talk 20.0.0.1 22 'SSH-2.0-OpenSSH_9.2\r\n'"),
    Check::cut("TCP 22, nobody speaks", "talk 20.0.0.1 22 ''"),
    Check::cut("TCP 22 by IPv6", r"talk 2600:1::1 22 'SSH-2.0-OpenSSH_9.2\r\n'"),
    Check::cut("any bytes to port 443", r"talk 20.0.0.1 443 '\x00\x01\x02\x03\r\n\r\n'"),
    Check::cut("any bytes to port 80", r"talk 20.0.0.1 80 '\x00\x01\x02\x03\r\n\r\n'"),
    // Ways around names.
    Check::refused(
        "CONNECT to a foreign host",
        r"talk 20.0.0.2 80 'CONNECT evil.example:443 HTTP/1.1\r\nhost: evil.example:443\r\n\r\n'",
        "domain-not-allowed",
    ),
    Check::refused(
        "CONNECT to an allowed host",
        r"talk 20.0.0.2 80 'CONNECT example.com:443 HTTP/1.1\r\nhost: example.com:443\r\n\r\n'",
        "403",
    ),
    Check::refused(
        "an absolute target over an allowed Host",
        r"talk 20.0.0.1 80 'GET http://evil.example/ HTTP/1.1\r\nhost: example.com\r\n\r\n'",
        "domain-not-allowed",
    ),
    Check::refused(
        "https without TLS",
        r"talk 20.0.0.1 80 'GET https://example.com/ HTTP/1.1\r\nhost: example.com\r\nconnection: close\r\n\r\n'",
        "400",
    ),
    Check::refused("an allowed name that leads inside", "get http://inside.example.com/", "403"),
    Check::refused("an allowed name that leads to metadata", "get http://metadata.example.com/", "403"),
    Check::cut("an allowed name that leads inside, https", "get -k https://inside.example.com/"),
    // The proxy's own doors.
    Check::cut(
        "the port of the redirect itself, by TLS",
        "get -k --connect-to example.com:443:127.0.0.1:15001 https://example.com/",
    ),
    Check::cut("no admin interface", "get http://127.0.0.1:9901/"),
    Check::allowed("the door for the kubelet leads nowhere", "get http://127.0.0.1:15021/ready", &[]),
    Check::refused("nor by another path", "get -H 'host: example.com' http://127.0.0.1:15021/", "404"),
    // What TCP is not.
    Check::refused("QUIC", "udp 20.0.0.1 443", "refused"),
    Check::refused("QUIC by IPv6", "udp 2600:1::1 443", "refused"),
    Check::refused("any UDP", "udp 20.0.0.1 9", "refused"),
    Check::refused("DNS by another name server", "udp 20.0.0.53 53", "refused"),
    Check::refused("the pod's name server, another port", "udp 10.1.0.1 443", "refused"),
    Check::cut("DNS by TCP, another name server", r"talk 20.0.0.53 53 '\x00\x01x'"),
    Check::refused("the pod's own name server", "getent ahostsv4 example.com | sed -n '1s/ .*//p'", "20.0.0.1"),
];

/// Ways out that are open to the one user who is free: nothing else of this file would notice if they were not there.
const WAYS: &[(&str, &str)] = &[
    ("get http://evil.example/", "20.0.0.2:80 GET http://evil.example/"),
    ("get -k https://evil.example/", "20.0.0.2:443 GET https://evil.example/"),
    ("get -6 http://evil.example/", "[2600:1::2]:80 GET http://evil.example/"),
    (r"talk 20.0.0.1 22 'SSH-2.0-x\r\n'", "20.0.0.1:22 connection"),
    (r"talk 2600:1::1 22 'SSH-2.0-x\r\n'", "2600:1::1:22 connection"),
    ("udp 20.0.0.1 443", "20.0.0.1:443/udp datagram"),
    ("udp 2600:1::1 443", "2600:1::1:443/udp datagram"),
    ("udp 20.0.0.1 9", "20.0.0.1:9/udp datagram"),
    ("udp 10.1.0.1 443", "10.1.0.1:443/udp datagram"),
    (r"printf '\0\1\1\0\0\1\0\0\0\0\0\0\4leak\0\0\1\0\1' > /dev/udp/20.0.0.53/53", "20.0.0.53:53/udp asked for leak"),
];

fn agent(pod: &Pod, script: &str) -> String {
    pod.agent(&format!("{PRELUDE}\n{script}")).stdout.trim().to_owned()
}

/// What lets the rest of a pod's life go by without a trap in the plugin.
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
fn what_was_cut_is_written_down() {
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
    // A mistake changes nothing, and the log says which.
    pod.write_policy(r#"{"internet_access": "onn"}"#);
    pod.wait_for("word about the mistake", || {
        let log = std::fs::read_to_string(pod.path("envoy.log")).expect("a log");
        log.contains(r#"policy: internet_access: "onn""#) && log.matches("update rejected").count() >= 2
    });
    assert_eq!(both(), is("200", "200"));
    assert_eq!(agent(&pod, "get http://evil.example/"), "domain-not-allowed");
    assert_eq!(agent(&pod, "get -k https://evil.example/"), "cut");
}

/// The kubelet replaces a symbolic link to the folder that holds the files, and none of the files.
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
    // Made elsewhere: what is in the folder are links.
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

/// The agent's container may run as root: what it must not have is capabilities.
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
        // Packets of one's own making.
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
fn nobody_outside_reaches_in() {
    let Some(pod) = Pod::started(POLICY) else { return };
    let from_outside = |what: &str| pod.outside(&format!("{PRELUDE}\n{what}")).stdout.trim().to_owned();
    for address in ["10.1.0.2", "[fd00:1::2]"] {
        assert_eq!(from_outside(&format!("get http://{address}:15021/ready")), "200", "what the kubelet asks");
        for port in [15001, 9901, 8000] {
            let host = format!("-H 'host: example.com' http://{address}:{port}/");
            assert_eq!(from_outside(&format!("get {host}")), "cut", "{address}:{port}");
        }
    }
    assert_eq!(pod.requests(), Vec::<String>::new());
}

#[test]
fn the_script_may_run_again_and_can_be_taken_back() {
    let Some(mut pod) = Pod::new(POLICY) else { return };
    let rules = |pod: &Pod| {
        pod.as_root("iptables-save; ip6tables-save")
            .stdout
            .lines()
            .filter(|line| line.starts_with('-'))
            .collect::<Vec<_>>()
            .join("\n")
    };
    // Rules of others stay, and come after.
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
    // Names of the agent's own then, whose addresses mean nothing: where it goes is Envoy's to look up.
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
    // A port that may be asked from outside.
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
    // A line that says nothing is no name server, and one with a star names no files.
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
