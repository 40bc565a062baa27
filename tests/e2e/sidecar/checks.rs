//! What a client in the pod tries, and what must come of it. It must list every way that the sidecar has to block.

use weir_tests::Failures;

use crate::pod::Pod;

/// A line of shell that a client in the pod runs, what it must print, and which requests must arrive outside.
pub(crate) struct Check {
    id: &'static str,
    script: &'static str,
    prints: &'static str,
    arrives: &'static [&'static str],
}

impl Check {
    const fn allowed(id: &'static str, script: &'static str, arrives: &'static [&'static str]) -> Check {
        Check { id, script, prints: "200", arrives }
    }

    /// The plugin answers 403 with this reason.
    const fn refused(id: &'static str, script: &'static str, reason: &'static str) -> Check {
        Check { id, script, prints: reason, arrives: &[] }
    }

    const fn closed(id: &'static str, script: &'static str) -> Check {
        Check { id, script, prints: "cut", arrives: &[] }
    }

    pub(crate) fn run(&self, pod: &Pod, failures: &Failures) {
        pod.arrived();
        let ran = pod.agent(&format!("{PRELUDE}\n{}", self.script));
        failures.same(self.id, "what the client says", &self.prints, &ran.stdout.trim());
        let arrived = if self.arrives.is_empty() { pod.arrived() } else { pod.requests() };
        failures.same(self.id, "what arrives", &self.arrives.join("\n"), &arrived.join("\n"));
    }
}

/// `get` prints the status, the reason of a refusal, or `cut` if the connection was closed. `talk ADDRESS PORT BYTES`
/// does the same for bytes over TCP. `udp ADDRESS PORT` prints whether a datagram could be sent.
pub(crate) const PRELUDE: &str = r#"
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

pub(crate) const CHECKS: &[Check] = &[
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
    Check::closed("https, another name", "get -k https://evil.example/"),
    Check::closed("https, another port", "get -k https://example.com:8080/"),
    Check::closed("https, no server name", "get -k https://20.0.0.1/"),
    Check::closed("https by IPv6, no server name", "get -k 'https://[2600:1::1]/'"),
    // Envoy does not connect to the address that the agent dials.
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
    // IPv6 behaves like IPv4.
    Check::allowed("http by IPv6", "get -6 http://example.com/6", &["20.0.0.1:80 GET http://example.com/6"]),
    Check::allowed("https by IPv6", "get -6 https://example.com/6", &["20.0.0.1:443 GET https://example.com/6"]),
    Check::refused("http by IPv6, another name", "get -6 http://evil.example/", "domain-not-allowed"),
    Check::closed("https by IPv6, another name", "get -6 -k https://evil.example/"),
    // Neither TLS nor HTTP.
    Check::closed("TCP 22, the client speaks first", r"talk 20.0.0.1 22 'SSH-2.0-OpenSSH_9.2\r\n'"),
    Check::closed("TCP 22, neither side speaks", "talk 20.0.0.1 22 ''"),
    Check::closed("TCP 22 by IPv6", r"talk 2600:1::1 22 'SSH-2.0-OpenSSH_9.2\r\n'"),
    Check::closed("any bytes to port 443", r"talk 20.0.0.1 443 '\x00\x01\x02\x03\r\n\r\n'"),
    Check::closed("any bytes to port 80", r"talk 20.0.0.1 80 '\x00\x01\x02\x03\r\n\r\n'"),
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
    Check::closed("an allowed name that leads inside, https", "get -k https://inside.example.com/"),
    // The proxy's own ports.
    Check::closed(
        "the port of the redirect itself, by TLS",
        "get -k --connect-to example.com:443:127.0.0.1:15001 https://example.com/",
    ),
    Check::closed("no admin interface", "get http://127.0.0.1:9901/"),
    Check::allowed("the kubelet's port only reports readiness", "get http://127.0.0.1:15021/ready", &[]),
    Check::refused("nor by another path", "get -H 'host: example.com' http://127.0.0.1:15021/", "404"),
    // Protocols other than TCP.
    Check::refused("QUIC", "udp 20.0.0.1 443", "refused"),
    Check::refused("QUIC by IPv6", "udp 2600:1::1 443", "refused"),
    Check::refused("any UDP", "udp 20.0.0.1 9", "refused"),
    Check::refused("DNS by another name server", "udp 20.0.0.53 53", "refused"),
    Check::refused("the pod's name server, another port", "udp 10.1.0.1 443", "refused"),
    Check::closed("DNS by TCP, another name server", r"talk 20.0.0.53 53 '\x00\x01x'"),
    Check::refused("the pod's own name server", "getent ahostsv4 example.com | sed -n '1s/ .*//p'", "20.0.0.1"),
];

/// Ways out that are open to the exempt user: no other check would notice if they did not exist.
pub(crate) const WAYS: &[(&str, &str)] = &[
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
