//! An Envoy with the plugin, the stand-in for the internet behind it, and clients for it.
//!
//! The tests of a file share one proxy and take turns with its policy where they can: starting Envoy costs a second,
//! changing its policy some milliseconds.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use weir_envoy::{Configuration, Launch, Plugin, Running, ecds};
use weir_internet::StandIn;

use crate::{http1, http2, tls};

/// How often a VM reports its counters.
const TICK: Duration = Duration::from_secs(1);
/// Long enough for a counter's next tick on a busy machine.
const COUNTERS: Duration = Duration::from_secs(10);
const VMS: &str = "wasm.envoy.wasm.runtime.v8.";

/// A running Envoy with the plugin and its origin.
pub struct Proxy {
    /// Envoy.
    pub envoy: Running,
    /// The origin of every allowed request.
    pub internet: StandIn,
    /// The certificate's folder, if the listener speaks TLS.
    tls: Option<TempDir>,
}

/// The value; an error fails the test with its message.
#[track_caller]
pub fn ok<T, E: Display>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| panic!("{error}"))
}

/// The plugin of this workspace, or the one that `WEIR_PLUGIN` names.
pub fn plugin() -> Plugin {
    ok(Plugin::chosen(weir_module::WASM))
}

/// The file of the same plugin.
pub fn plugin_file() -> PathBuf {
    let path = plugin().path().map_or_else(|| PathBuf::from(weir_module::PATH), Path::to_owned);
    path.canonicalize().expect("the plugin")
}

/// A launch with that plugin.
pub fn launch() -> Launch {
    Launch::new(plugin())
}

/// The plugin's resource with this policy, without one of its capabilities: Envoy fails such a hostcall and logs
/// nothing.
pub fn resource_without(capability: &str, policy: &[u8]) -> Value {
    let plugin = plugin_file();
    let mut typed = ok(ecds::typed_config(&plugin, &Configuration::Text(policy.to_vec())));
    withhold(&mut typed, capability);
    let type_url = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig";
    json!({"@type": type_url, "name": "weir", "typed_config": typed})
}

/// Removes one of the plugin's capabilities from its typed config.
pub fn withhold(typed: &mut Value, capability: &str) {
    let path = "/config/capability_restriction_config/allowed_capabilities";
    let allowed = typed.pointer_mut(path).and_then(Value::as_object_mut).expect("capabilities");
    allowed.remove(capability).expect("it is there");
}

impl Proxy {
    /// Starts one with this policy, without TLS.
    pub fn start(policy: &[u8]) -> Proxy {
        Proxy::with(launch().policy(policy))
    }

    /// Starts this launch, with a stand-in.
    pub fn with(launch: Launch) -> Proxy {
        let internet = ok(StandIn::start());
        let envoy = ok(launch.stand_in(internet.address()).start());
        Proxy { envoy, internet, tls: None }
    }

    /// Starts one with this policy and a listener that speaks TLS.
    pub fn start_tls(policy: &[u8]) -> Proxy {
        let folder = tempfile::tempdir().expect("a folder");
        let (certificate, key) = tls::certificate(folder.path());
        let mut proxy = Proxy::with(launch().policy(policy).tls(certificate, key));
        proxy.tls = Some(folder);
        proxy
    }

    /// Replaces the policy.
    #[track_caller]
    pub fn set_policy(&mut self, policy: &[u8]) {
        if let Err(error) = self.envoy.set_policy(policy) {
            panic!("{}: {error}", String::from_utf8_lossy(policy));
        }
    }

    /// A plain HTTP/1.1 connection.
    pub fn http1(&self) -> http1::Connection {
        http1::Connection::open(self.envoy.address())
    }

    /// A plain HTTP/2 connection.
    pub fn http2(&self) -> http2::Connection {
        http2::Connection::open(self.envoy.address())
    }

    /// HTTP/1.1 over TLS with this server name; empty for none.
    pub fn http1_tls(&self, server_name: &str) -> http1::Connection {
        http1::Connection::over(tls::dial_tls(self.envoy.address(), server_name, "http/1.1"))
    }

    /// HTTP/2 over TLS with this server name; empty for none.
    pub fn http2_tls(&self, server_name: &str) -> http2::Connection {
        http2::Connection::over(tls::dial_tls(self.envoy.address(), server_name, "h2"))
    }

    /// A counter or gauge; zero if Envoy does not have it yet.
    pub fn stat(&self, name: &str) -> u64 {
        ok(self.envoy.stats(name)).get(name).copied().unwrap_or_default()
    }

    /// The plugin's counters, without Envoy's prefix: `weir.allowed`, `weir.denied.ip-literal`, ...
    pub fn counters(&self) -> BTreeMap<String, u64> {
        let stats = ok(self.envoy.stats("wasmcustom."));
        stats
            .into_iter()
            .filter_map(|(name, value)| Some((name.strip_prefix("wasmcustom.")?.to_owned(), value)))
            .collect()
    }

    /// The counters after every VM has reported: each reports once a second.
    pub fn settled_counters(&self) -> BTreeMap<String, u64> {
        let mut counters = self.counters();
        loop {
            std::thread::sleep(TICK + TICK / 2);
            let now = self.counters();
            if now == counters {
                return now;
            }
            counters = now;
        }
    }

    /// Waits until the counters have grown since `before` by exactly `growth`; the error says how they differ.
    pub fn counters_grew(&self, before: &BTreeMap<String, u64>, growth: &BTreeMap<String, u64>) -> Result<(), String> {
        let mut grown = BTreeMap::new();
        let reached = self.wait_for(|proxy| {
            grown = proxy.counters();
            for (name, value) in &mut grown {
                *value -= before.get(name).copied().unwrap_or_default();
            }
            grown.retain(|_, value| *value > 0);
            grown == *growth
        });
        if reached { Ok(()) } else { Err(format!("counters grew by {grown:?}, not by {growth:?}")) }
    }

    /// Polls until something holds.
    pub fn wait_for(&self, mut holds: impl FnMut(&Proxy) -> bool) -> bool {
        let end = Instant::now() + COUNTERS;
        while !holds(self) {
            if Instant::now() > end {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        true
    }

    /// The number of VMs that exist and that were ever created, which must not change while requests are served.
    pub fn vms(&self) -> BTreeMap<String, u64> {
        ok(self.envoy.stats(VMS))
    }

    /// Log lines in which Envoy or the plugin report a trap, or a request that could not be read.
    pub fn signs_of_a_trap(&self) -> Vec<String> {
        let bad = |message: &str| {
            message.contains("Function: proxy_on_")
                || message.contains("the plugin stopped")
                || message.contains("cannot be read")
                || message.contains("panicked")
        };
        self.envoy.log_lines().into_iter().map(|line| line.message).filter(|message| bad(message)).collect()
    }
}
