//! An Envoy with the plugin as HTTP filter and as network filter: the shipped forward proxy, and listeners for TLS
//! passthrough, as in a sidecar or a gateway.
//!
//! `redirected` learns the original destination from the client (PROXY protocol), in place of `original_dst` where the
//! kernel redirects nothing; `intercepted` asks the kernel. `impatient` has a short timeout for the `ClientHello`.
//! `gateway` listens on its own port and sets the origin's port by filter state. `by-name` resolves the name in the
//! `ClientHello`. `echo` has a filter after the plugin that, unlike the TCP proxy, reads without waiting for an upstream.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use weir_cases::ClientHello;
use weir_envoy::{Configuration, Running, ecds};

use crate::http1::dial;
use crate::proxy::plugin_file;
use crate::proxy::{launch, ok};

const LIMIT: Duration = Duration::from_secs(20);
const NETWORK_WASM: &str = "type.googleapis.com/envoy.extensions.filters.network.wasm.v3.Wasm";
const DISCOVERY: &str = "extension_config_discovery.network_filter.weir.";

/// A running Envoy with these listeners.
pub struct Network {
    /// Envoy.
    pub envoy: Running,
    listeners: BTreeMap<String, SocketAddr>,
    folder: TempDir,
}

impl Network {
    /// Starts it with this policy for both filters, and this origin behind the network filter.
    pub fn start(policy: &[u8], origin: SocketAddr) -> Network {
        Network::with(policy, &text(policy), origin, |_| {})
    }

    /// Starts it with a separate configuration for the network filter, whose typed config `change` may change.
    pub fn with(
        policy: &[u8],
        configuration: &Configuration,
        origin: SocketAddr,
        change: impl FnOnce(&mut Value),
    ) -> Network {
        let folder = tempfile::tempdir().expect("a folder");
        let mut typed = typed_config(configuration);
        change(&mut typed);
        write(folder.path(), &typed);
        let more = bootstrap(&folder.path().join("network.json"), origin).to_string();
        let launch = launch().policy(policy).stand_in(origin).arg("--config-yaml").arg(more);
        let envoy = ok(launch.start());
        let mut network = Network { envoy, listeners: BTreeMap::new(), folder };
        network.wait("the network face", |network| {
            network.listeners = listeners(&network.envoy);
            network.listeners.len() == 7 && network.stat(&format!("{DISCOVERY}update_success")) > 0
        });
        network
    }

    /// Replaces the policy of the network filter; returns whether Envoy applied it.
    pub fn set_policy(&self, policy: &[u8]) -> bool {
        let of = |outcome: &str| self.stat(&format!("{DISCOVERY}{outcome}"));
        let before = [of("update_success"), of("update_rejected")];
        write(self.folder.path(), &typed_config(&text(policy)));
        let mut now = before;
        self.wait_for("another policy", || {
            now = [of("update_success"), of("update_rejected")];
            now != before
        });
        now[0] > before[0]
    }

    /// Connects as a client whose connection to this port the kernel redirected.
    pub fn dial(&self, port: u16) -> TcpStream {
        let mut stream = dial(self.listeners["redirected"]);
        stream.write_all(format!("PROXY TCP4 192.0.2.1 192.0.2.2 4321 {port}\r\n").as_bytes()).expect("Envoy reads");
        stream
    }

    /// Connects to a listener by its name.
    pub fn dial_to(&self, listener: &str) -> TcpStream {
        dial(self.listeners[listener])
    }

    /// The address of a listener, by its name.
    pub fn address_of(&self, listener: &str) -> SocketAddr {
        self.listeners[listener]
    }

    /// Sends these bytes and returns everything received.
    pub fn say(&self, port: u16, bytes: &[u8]) -> Vec<u8> {
        say(self.dial(port), bytes)
    }

    /// A counter or gauge; zero if Envoy does not have it yet.
    pub fn stat(&self, name: &str) -> u64 {
        ok(self.envoy.stats(name)).get(name).copied().unwrap_or_default()
    }

    /// The number of connections to the origin.
    pub fn upstream_connections(&self) -> u64 {
        self.stat("cluster.network_origin.upstream_cx_total")
    }

    /// The plugin's counters that are not zero.
    pub fn counters(&self) -> BTreeMap<String, u64> {
        let stats = ok(self.envoy.stats("wasmcustom.")).into_iter().filter(|(_, value)| *value > 0);
        stats.filter_map(|(name, value)| Some((name.strip_prefix("wasmcustom.")?.to_owned(), value))).collect()
    }

    /// Waits until the counters are these.
    pub fn expect_counters(&self, expected: &BTreeMap<String, u64>) {
        let mut found = BTreeMap::new();
        let end = Instant::now() + LIMIT;
        while Instant::now() < end {
            found = self.counters();
            if found == *expected {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        assert_eq!(&found, expected);
    }

    /// The audit records so far.
    pub fn records(&self) -> Vec<Value> {
        self.envoy.plugin_lines().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits for an audit record, and returns it.
    pub fn record(&self, picks: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        self.wait_for("an audit record", || {
            found = self.records().into_iter().find(&picks);
            found.is_some()
        });
        found.expect("waited for")
    }

    /// Waits for a line of the access log, and returns it.
    pub fn access(&self, picks: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        self.wait_for("a line of the access log", || {
            let lines = self.envoy.access_log_lines();
            found = lines.iter().filter_map(|line| serde_json::from_str(line).ok()).find(&picks);
            found.is_some()
        });
        found.expect("waited for")
    }

    fn wait(&mut self, what: &str, mut holds: impl FnMut(&mut Network) -> bool) {
        let end = Instant::now() + LIMIT;
        while !holds(self) {
            assert!(Instant::now() < end, "no {what}: {:#?}", self.envoy.log_lines());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Polls until something holds.
    pub fn wait_for(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let end = Instant::now() + LIMIT;
        while !holds() {
            assert!(Instant::now() < end, "no {what}: {:#?}", self.envoy.log_lines());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Sends these bytes and returns everything received until the connection ends in any way.
pub fn say(mut stream: TcpStream, bytes: &[u8]) -> Vec<u8> {
    // The peer may close before everything is written.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part) {
            Ok(0) => return answer,
            Ok(length) => answer.extend_from_slice(&part[..length]),
            Err(error) => {
                let waited = matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
                assert!(!waited, "neither answered nor closed: {}", answer.escape_ascii());
                return answer;
            }
        }
    }
}

/// The policy as text.
pub fn text(policy: &[u8]) -> Configuration {
    Configuration::Text(policy.to_vec())
}

/// The typed config of the network filter: the one of `filter.yaml` under its other name.
fn typed_config(configuration: &Configuration) -> Value {
    let mut typed = ok(ecds::typed_config(&plugin_file(), configuration));
    typed["@type"] = NETWORK_WASM.into();
    typed
}

fn write(folder: &Path, typed: &Value) {
    let resource = json!({"resources": [{
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig", "name": "weir", "typed_config": typed,
    }]});
    let beside = folder.join("network.new");
    std::fs::write(&beside, resource.to_string()).expect("a file");
    std::fs::rename(beside, folder.join("network.json")).expect("a file");
}

fn listeners(envoy: &Running) -> BTreeMap<String, SocketAddr> {
    let text = ok(envoy.admin_get("/listeners"));
    let lines = text.lines().filter_map(|line| line.split_once("::"));
    lines.filter_map(|(name, address)| Some((name.to_owned(), address.parse().ok()?))).collect()
}

fn bootstrap(resource: &Path, origin: SocketAddr) -> Value {
    let loopback = json!({"socket_address": {"address": "127.0.0.1", "port_value": 0}});
    let inspector = json!({"name": "tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"}});
    let proxy_protocol = json!({"name": "proxy", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"}});
    let log = |at: &str| {
        json!([{"name": "stdout", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {"json_format": {
                "at": at, "id": "%CONNECTION_ID%", "sni": "%REQUESTED_SERVER_NAME%",
                "upstream": "%UPSTREAM_REMOTE_ADDRESS%", "sent": "%UPSTREAM_WIRE_BYTES_SENT%",
                "decision": "%FILTER_STATE(wasm.weir.decision:PLAIN)%"}}}}])
    };
    let port = |port: u16| {
        json!({"name": "port", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.set_filter_state.v3.Config",
            "on_new_connection": [{"object_key": "envoy.upstream.dynamic_port",
                "format_string": {"text_format_source": {"inline_string": port.to_string()}}}]}})
    };
    let dns = json!({"name": "network", "dns_lookup_family": "V4_ONLY"});
    let by_name = json!({"name": "sni", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig",
        "port_value": 1, "dns_cache_config": dns}});
    let weir = json!({"name": "weir", "config_discovery": {
        "config_source": {"resource_api_version": "V3", "path_config_source": {"path": resource}},
        "type_urls": [NETWORK_WASM]}});
    let tcp = |cluster: &str| {
        json!({"name": "tcp", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": "network", "cluster": cluster, "access_log": log("tcp")}})
    };
    let to_origin = tcp("network_origin");
    let echo = json!({"name": "echo", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.echo.v3.Echo"}});
    let original = json!({"name": "original", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.listener.original_dst.v3.OriginalDst"}});
    let listener = |name: &str, before: &[&Value], filters: &[&Value]| {
        json!({"name": name, "address": loopback, "listener_filters": before, "access_log": log(name),
            "filter_chains": [{"filters": filters}]})
    };
    let mut impatient = listener("impatient", &[&inspector], &[&port(443), &weir, &to_origin]);
    impatient["listener_filters_timeout"] = "0.2s".into();
    json!({"static_resources": {
        "listeners": [
            listener("redirected", &[&proxy_protocol, &inspector], &[&weir, &to_origin]),
            listener("gateway", &[&inspector], &[&port(443), &weir, &to_origin]),
            listener("by-name", &[&inspector], &[&port(origin.port()), &weir, &by_name, &tcp("network_names")]),
            listener("echo", &[&inspector], &[&port(443), &weir, &echo]),
            listener("intercepted", &[&original, &inspector], &[&weir, &to_origin]),
            impatient,
        ],
        "clusters": [{"name": "network_origin", "type": "STATIC", "connect_timeout": "5s", "load_assignment": {
            "cluster_name": "network_origin",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": {
                "address": origin.ip().to_string(), "port_value": origin.port()}}}}]}]}},
            {"name": "network_names", "lb_policy": "CLUSTER_PROVIDED", "cluster_type": {"name": "dynamic", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.clusters.dynamic_forward_proxy.v3.ClusterConfig",
                "dns_cache_config": dns}}}],
    }})
}

/// An origin that records the first bytes of each connection, answers `ok` and closes.
pub struct Origin {
    /// Where it listens.
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Origin {
    /// Starts an origin; its thread ends with the process.
    pub fn start() -> Origin {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&seen);
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let mut first = [0; 4096];
                let length = stream.read(&mut first).unwrap_or_default();
                noted.lock().expect("no panic there").push(first[..length].to_vec());
                let _ = stream.write_all(b"ok").and_then(|()| stream.shutdown(Shutdown::Write));
                // Closing with unread bytes would reset the connection and lose the answer.
                std::thread::spawn(move || std::io::copy(&mut stream, &mut std::io::sink()));
            }
        });
        Origin { address, seen }
    }

    /// The first bytes of each connection since the last call.
    pub fn take_seen(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.seen.lock().expect("no panic there"))
    }
}

/// A `ClientHello` of TLS 1.2 and 1.3 with this server name, which need not be a host; `None` sends no extension.
pub fn client_hello(server_name: Option<&[u8]>) -> Vec<u8> {
    server_name.map(ClientHello::named).unwrap_or_default().bytes()
}
