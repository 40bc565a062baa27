//! An Envoy with one TLS listener that gets its certificates from an issuer, and nothing else.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use weir_envoy::Binary;

/// How Envoy requests certificates from the issuer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    /// One stream for all names, as in the shipped configuration.
    Aggregated,
    /// One stream for each name, `DeltaSecrets`.
    Delta,
    /// One stream for each name, `StreamSecrets`.
    Whole,
}

pub(crate) struct Opener {
    child: Child,
    admin: SocketAddr,
    /// The address of its TLS listener.
    pub(crate) address: SocketAddr,
    _folder: TempDir,
}

impl Opener {
    pub(crate) fn start(issuer: &Path, way: Way) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("envoy.json");
        fs::write(&config, configuration(issuer, way).to_string()).unwrap();
        let address_file = folder.path().join("admin");
        let child = Command::new(Binary::find().unwrap().path())
            .arg("--config-path")
            .arg(&config)
            .arg("--admin-address-path")
            .arg(&address_file)
            .args(["--disable-hot-restart", "--concurrency", "2", "--log-level", "error"])
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let unknown = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut opener = Self { child, admin: unknown, address: unknown, _folder: folder };
        opener.admin = until(|| {
            let ended = opener.child.try_wait().unwrap();
            assert!(ended.is_none(), "Envoy ended before it was ready; what it said is above");
            fs::read_to_string(&address_file).ok()?.trim().parse().ok()
        });
        opener.address = until(|| {
            // The answer is one chunk, after its length.
            let answer = ask(opener.admin, "/listeners?format=json")?;
            let listeners: Value = serde_json::from_str(answer.get(answer.find('{')?..=answer.rfind('}')?)?).ok()?;
            let address = listeners.pointer("/listener_statuses/0/local_address/socket_address")?;
            let port = u16::try_from(address.get("port_value")?.as_u64()?).ok()?;
            Some(SocketAddr::from(([127, 0, 0, 1], port)))
        });
        opener
    }

    /// The counters whose name matches.
    pub(crate) fn stats(&self, pattern: &str) -> String {
        ask(self.admin, &format!("/stats?usedonly&filter={pattern}")).unwrap()
    }

    /// Resident memory in KiB.
    pub(crate) fn memory(&self) -> u64 {
        memory(self.child.id())
    }
}

/// Resident memory of a process in KiB.
pub(crate) fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

impl Drop for Opener {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn until<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "Envoy does not become ready");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn ask(admin: SocketAddr, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(admin).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer.split_once("\r\n\r\n")?.1.to_owned())
}

fn configuration(issuer: &Path, way: Way) -> Value {
    let http = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "opened",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "opened\n"}}}
        ]}]},
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]
    });
    let api = |api_type: &str| {
        json!({"api_type": api_type, "transport_api_version": "V3", "set_node_on_first_message_only": true,
            "grpc_services": [{"envoy_grpc": {"cluster_name": "issuer", "retry_policy": {
                "retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"}}}}]})
    };
    let (source, dynamic) = match way {
        Way::Aggregated => (json!({"resource_api_version": "V3", "ads": {}}), json!({"ads_config": api("DELTA_GRPC")})),
        Way::Delta => (json!({"resource_api_version": "V3", "api_config_source": api("DELTA_GRPC")}), json!({})),
        Way::Whole => (json!({"resource_api_version": "V3", "api_config_source": api("GRPC")}), json!({})),
    };
    let selector = json!({
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.cert_selectors.on_demand_secret.v3.Config",
        "config_source": source,
        "certificate_mapper": {"name": "sni", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.cert_mappers.sni.v3.SNI",
            "default_value": "(no server name)"}}
    });
    json!({
        "node": {"id": "test", "cluster": "test"},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}},
        "dynamic_resources": dynamic,
        "static_resources": {
            "listeners": [{
                "name": "opener",
                "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
                "listener_filters": [{"name": "tls_inspector", "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"}}],
                "filter_chains": [{
                    "transport_socket_connect_timeout": "3s",
                    "transport_socket": {"name": "tls", "typed_config": {
                        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                        "disable_stateless_session_resumption": true,
                        "disable_stateful_session_resumption": true,
                        "common_tls_context": {"custom_tls_certificate_selector": {
                            "name": "on_demand", "typed_config": selector}}}},
                    "filters": [{"name": "http", "typed_config": http}]
                }]
            }],
            "clusters": [{
                "name": "issuer",
                "type": "STATIC",
                "connect_timeout": "1s",
                "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                    "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                    "explicit_http_config": {"http2_protocol_options": {}}}},
                "load_assignment": {"cluster_name": "issuer", "endpoints": [{"lb_endpoints": [
                    {"endpoint": {"address": {"pipe": {"path": issuer}}}}]}]}
            }]
        }
    })
}
