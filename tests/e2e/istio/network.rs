//! The plugin of `type: NETWORK`, as istiod and the agent send it to Envoy: TLS passthrough.

use serde_json::{Value, json};
use weir_envoy::Configuration;
use weir_tests::Failures;
use weir_tests::network::{Network, Origin, client_hello};
use weir_tests::proxy::plugin_file;

use crate::{ecds, manifest::of_kind};

/// The server name, the port, and whether the connection passes.
type Case = (&'static str, u16, bool);

const OPEN: [Case; 8] = [
    ("example.com", 443, true),
    ("PyPI.org", 443, true),
    ("files.pythonhosted.org", 443, true),
    ("example.com", 8443, false),
    ("www.example.com", 443, false),
    ("evil.example", 443, false),
    ("kubernetes.default.svc.cluster.local", 443, false),
    ("", 443, false),
];

fn decides(failures: &Failures, id: &str, document: &Value, cases: &[Case]) {
    let mut resource = ecds::resource(document, &plugin_file());
    let config = resource.pointer_mut("/typed_config").unwrap().take();
    let face = "type.googleapis.com/envoy.extensions.filters.network.wasm.v3.Wasm";
    assert_eq!(config.pointer("/@type"), Some(&json!(face)));
    let origin = Origin::start();
    let network = Network::with(b"{}", &Configuration::Absent, origin.address, |typed| *typed = config);
    for (name, port, passes) in cases {
        let said = client_hello(Some(name.as_bytes()).filter(|name| !name.is_empty()));
        let answer = network.say(*port, &said);
        let case = format!("{id}: {name:?} at {port}");
        failures.same(&case, "answer", &(if *passes { &b"ok"[..] } else { b"" }), &&*answer);
        failures.check(&case, origin.take_seen() == if *passes { vec![said] } else { vec![] }, "what the origin saw");
    }
}

#[test]
fn the_network_plugin_decides_as_its_manifest_says() {
    let failures = Failures::default();
    let mut plugins = of_kind("WasmPlugin");
    plugins.retain(|plugin| plugin.document["spec"]["type"] == "NETWORK");
    assert_eq!(plugins.len(), 1, "{plugins:?}");
    let (id, manifest) = (plugins[0].id(), &plugins[0].document);
    decides(&failures, &id, manifest, &OPEN);

    let nothing = OPEN.map(|(name, port, _)| (name, port, false));
    let mut absent = manifest.clone();
    absent["spec"].as_object_mut().unwrap().remove("pluginConfig");
    decides(&failures, "no pluginConfig", &absent, &nothing);

    // Envoy closes connections whose methods the plugin cannot check.
    let mut restricted = manifest.clone();
    restricted["spec"]["pluginConfig"]["methods"] = json!("read-only");
    decides(&failures, "restricted methods", &restricted, &nothing);
}
