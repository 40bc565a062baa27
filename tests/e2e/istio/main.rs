//! The manifests in `envoy/istio/`: the API server accepts them, and each plugin decides as its manifest says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod ecds;
mod manifest;
mod network;
mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Value, json};
use weir_envoy::Error;
use weir_internet::StandIn;
use weir_policy::Policy;
use weir_tests::cases::parallel;
use weir_tests::proxy::{launch, ok, plugin_file};
use weir_tests::{Failures, Proxy, http1, tls};

use manifest::{Manifest, folder, manifests, of_kind};
use schema::Schemas;

/// Kinds that are not Istio's, for which there is no schema here.
const OTHERS: [&str; 2] = ["Kustomization", "NetworkPolicy"];

fn istios() -> Vec<Manifest> {
    manifests().into_iter().filter(|manifest| !OTHERS.contains(&manifest.kind())).collect()
}

#[test]
fn every_manifest_is_valid_by_the_crds() {
    let failures = Failures::default();
    let schemas = Schemas::load();
    let all = istios();
    for manifest in &all {
        failures.same(&manifest.id(), "mistakes", &Vec::new(), &schemas.mistakes(&manifest.document));
    }
    let kinds: BTreeSet<&str> = all.iter().map(Manifest::kind).collect();
    let expected = ["DestinationRule", "Gateway", "ServiceEntry", "Sidecar", "VirtualService", "WasmPlugin"];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), expected);
    eprintln!("{} manifests checked against the schemas of their CRDs", all.len());
}

/// Each place in a manifest is broken in turn, and the check must report each.
#[test]
fn a_wrong_field_type_or_value_is_refused() {
    let failures = Failures::default();
    let schemas = Schemas::load();
    let mut spoilt = BTreeMap::new();
    let mut refuse = |id: &str, what: &'static str, place: &str, document: &Value| {
        *spoilt.entry(what).or_insert(0) += 1;
        failures.check(id, !schemas.mistakes(document).is_empty(), format_args!("{what} at {place:?} is not noticed"));
    };
    for manifest in istios() {
        for place in places(&manifest.document, String::new()) {
            let mut document = manifest.document.clone();
            let value = document.pointer_mut(&place).unwrap();
            // A map of labels may have any key.
            let labels = place.ends_with("/matchLabels") || (manifest.kind(), &*place) == ("Gateway", "/spec/selector");
            if value.is_object() && !labels {
                value["weirUnknown"] = json!("x");
                refuse(&manifest.id(), "an unknown field", &place, &document);
            }
            let mut document = manifest.document.clone();
            let value = document.pointer_mut(&place).unwrap();
            *value = if value.is_string() { json!(7) } else { json!("seven") };
            refuse(&manifest.id(), "a wrong type", &place, &document);
            if CHOICES.iter().any(|field| place.ends_with(&format!("/{field}"))) {
                *document.pointer_mut(&place).unwrap() = json!("Mistyped");
                refuse(&manifest.id(), "a wrong choice", &place, &document);
            }
            let mut document = manifest.document.clone();
            let (parent, field) = place.rsplit_once('/').unwrap_or_default();
            if REQUIRED.contains(&(manifest.kind(), field))
                && document
                    .pointer_mut(parent)
                    .and_then(Value::as_object_mut)
                    .is_some_and(|o| o.remove(field).is_some())
            {
                refuse(&manifest.id(), "a missing field", &place, &document);
            }
        }
        for (kind, place, value) in [
            ("WasmPlugin", "/spec/sha256", json!("0123")),
            ("WasmPlugin", "/spec/priority", json!(5_000_000_000_u64)),
            ("WasmPlugin", "/spec/match/0/ports", json!([{"number": 65536}])),
            ("WasmPlugin", "/apiVersion", json!("extensions.istio.io/v2")),
            ("ServiceEntry", "/apiVersion", json!("extensions.istio.io/v1alpha1")),
        ] {
            let mut document = manifest.document.clone();
            if manifest.kind() == kind {
                let (parent, field) = place.rsplit_once('/').unwrap();
                document.pointer_mut(parent).unwrap()[field] = value;
                refuse(&manifest.id(), "a value out of bounds", place, &document);
            }
        }
    }
    assert_eq!(spoilt.len(), 5, "each way of spoiling was tried");
    eprintln!("spoilt: {spoilt:?}");
}

/// Fields whose values the CRDs enumerate.
const CHOICES: [&str; 6] = ["type", "phase", "failStrategy", "imagePullPolicy", "resolution", "mode"];
const REQUIRED: [(&str, &str); 9] = [
    ("WasmPlugin", "url"),
    ("WasmPlugin", "spec"),
    ("WasmPlugin", "number"),
    ("ServiceEntry", "hosts"),
    ("Sidecar", "hosts"),
    ("Gateway", "port"),
    ("Gateway", "protocol"),
    ("DestinationRule", "host"),
    ("VirtualService", "host"),
];

/// JSON pointers to every place in a document, except inside policies, which their own parser checks.
fn places(value: &Value, at: String) -> Vec<String> {
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(_) if at.ends_with("/pluginConfig") => Vec::new(),
        Value::Object(fields) => fields.iter().map(|(name, value)| (name.clone(), value)).collect(),
        Value::Array(entries) => entries.iter().enumerate().map(|(at, value)| (at.to_string(), value)).collect(),
        _ => Vec::new(),
    };
    let mut places: Vec<String> =
        inner.into_iter().flat_map(|(name, value)| places(value, format!("{at}/{name}"))).collect();
    if !at.ends_with("/pluginConfig") {
        places.push(at);
    }
    places
}

#[test]
fn kustomizations_name_what_is_there() {
    let failures = Failures::default();
    let schemas = Schemas::load();
    let root = ok(fs::read_to_string(folder().join("kustomization.yaml")));
    for manifest in of_kind("Kustomization") {
        let listed = manifest.document["resources"].as_array().unwrap();
        let mut listed: Vec<String> = listed.iter().map(|name| name.as_str().unwrap().to_owned()).collect();
        let here = folder().join(&manifest.file).with_file_name("");
        let mut present: Vec<String> =
            fs::read_dir(&here).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap()).collect();
        present.retain(|name| name != "kustomization.yaml");
        if manifest.file == "kustomization.yaml" {
            // One is active, the others are comments beside it.
            failures.same("kustomization.yaml", "picked", &1, &listed.len());
            listed.extend(
                root.lines().filter_map(|line| line.strip_prefix("# - ")?.split(' ').next()).map(str::to_owned),
            );
        }
        listed.sort();
        present.sort();
        failures.same(&manifest.file, "resources", &present, &listed);

        for patch in manifest.document["patches"].as_array().into_iter().flatten() {
            let changes: Vec<Value> = serde_saphyr::from_str(patch["patch"].as_str().unwrap()).unwrap();
            for mut plugin in of_kind(patch["target"]["kind"].as_str().unwrap()) {
                for change in &changes {
                    failures.same(&manifest.file, "operation", &json!("replace"), &change["op"]);
                    // `replace` needs an existing value.
                    *plugin.document.pointer_mut(change["path"].as_str().unwrap()).unwrap() = change["value"].clone();
                }
                failures.same(&plugin.id(), "mistakes once patched", &Vec::new(), &schemas.mistakes(&plugin.document));
            }
        }
    }
}

/// The values that a manifest must have, for the reasons in its comments.
#[test]
fn plugins_fail_closed_and_are_pinned() {
    let failures = Failures::default();
    for plugin in of_kind("WasmPlugin") {
        let id = plugin.id();
        let spec = &plugin.document["spec"];
        failures.same(&id, "failStrategy", &json!("FAIL_RELOAD"), &spec["failStrategy"]);
        failures.same(&id, "match", &json!("CLIENT"), &spec["match"][0]["mode"]);
        failures.same(&id, "digest", &Some(64), &spec["sha256"].as_str().map(str::len));
        if spec["type"] == "NETWORK" {
            failures.same(&id, "ports", &json!([{"number": 443}]), &spec["match"][0]["ports"]);
        }
        // kubectl reads YAML 1.1, where these words are booleans; the parser of this test does not.
        let text = ok(fs::read_to_string(folder().join(&plugin.file)));
        for line in text.lines().filter(|line| !line.trim_start().starts_with('#')) {
            let value = line.rsplit(": ").next().unwrap_or_default().trim();
            failures.check(&id, !["on", "off", "yes", "no", "y", "n"].contains(&value), format_args!("bare {line:?}"));
        }
    }
    for entry in of_kind("ServiceEntry") {
        failures.same(&entry.id(), "resolution", &json!("DNS"), &entry.document["spec"]["resolution"]);
    }
    for sidecar in of_kind("Sidecar") {
        let mode = &sidecar.document["spec"]["outboundTrafficPolicy"]["mode"];
        failures.same(&sidecar.id(), "outboundTrafficPolicy", &json!("REGISTRY_ONLY"), mode);
    }
    for rule in of_kind("DestinationRule") {
        let spec = &rule.document["spec"];
        let Some(levels) = spec["trafficPolicy"]["portLevelSettings"].as_array() else { continue };
        for level in levels {
            let expected = json!({
                "mode": "SIMPLE", "caCertificates": "system", "sni": spec["host"], "subjectAltNames": [spec["host"]],
            });
            failures.same(&rule.id(), "TLS to the origin", &expected, &level["tls"]);
        }
    }
}

#[test]
fn policies_are_policies() {
    let failures = Failures::default();
    let mut read = 0;
    for plugin in of_kind("WasmPlugin") {
        let Some(policy) = plugin.document["spec"].get("pluginConfig") else { continue };
        read += 1;
        if let Err(mistakes) = Policy::from_json(policy.to_string().as_bytes()) {
            failures.add(&plugin.id(), mistakes.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "));
        }
    }
    assert_eq!(read, 3, "policies");
}

/// Method, authority and path, and the refusal's reason, if any.
type Case = (&'static str, &'static str, &'static str, Option<&'static str>);

const OPEN_AND_READ_ONLY: [Case; 10] = [
    ("GET", "example.com", "/", None),
    ("HEAD", "example.com", "/a", None),
    ("GET", "api.github.com", "/repos/istio/istio", None),
    ("POST", "example.com", "/", Some("method-not-allowed")),
    ("GET", "api.github.com", "/gists", Some("path-not-allowed")),
    ("GET", "www.example.com", "/", Some("domain-not-allowed")),
    ("GET", "evil.example", "/", Some("domain-not-allowed")),
    ("GET", "10.0.0.1", "/", Some("ip-literal")),
    ("GET", "kubernetes.default.svc.cluster.local", "/", Some("special-name")),
    ("GET", "example.com:8443", "/", Some("port-not-allowed")),
];
const CLOSED: [Case; 3] = [
    ("GET", "example.com", "/", Some("access-off")),
    ("HEAD", "api.github.com", "/repos/istio/istio", Some("access-off")),
    ("GET", "10.0.0.1", "/", Some("access-off")),
];

/// A proxy that starts with the plugin as istiod sends it. At a gateway clients use TLS.
fn proxy(document: &Value, gateway: bool) -> (Proxy, Option<tempfile::TempDir>) {
    let resource = ecds::resource(document, &plugin_file());
    let launch = launch().resource(resource);
    if !gateway {
        return (Proxy::with(launch), None);
    }
    let certificates = tempfile::tempdir().unwrap();
    let (certificate, key) = tls::certificate(certificates.path());
    (Proxy::with(launch.tls(certificate, key)), Some(certificates))
}

fn decides(failures: &Failures, id: &str, document: &Value, gateway: bool, cases: &[Case]) {
    let (proxy, _certificates) = proxy(document, gateway);
    for (method, authority, path, reason) in cases {
        let mut connection =
            if gateway { proxy.http1_tls("example.com") } else { http1::Connection::open(proxy.envoy.address()) };
        let request = format!("{method} {path} HTTP/1.1\r\nhost: {authority}\r\n\r\n");
        let outcome = connection.exchange(method.as_bytes(), request.as_bytes());
        let case = format!("{id}: {method} {authority}{path}");
        let told = outcome.answer().and_then(|answer| answer.reason());
        failures.same(&case, "reason", reason, &told);
        let status = if reason.is_some() { 403 } else { 200 };
        failures.check(&case, outcome.status() == Some(status), &outcome);
    }
    let allowed = cases.iter().filter(|case| case.3.is_none()).count();
    failures.same(id, "requests at the stand-in", &allowed, &proxy.internet.take_received().len());
}

#[test]
fn every_http_plugin_decides_as_its_manifest_says() {
    let failures = Failures::default();
    let mut plugins = of_kind("WasmPlugin");
    plugins.retain(|plugin| plugin.document["spec"]["type"] == "HTTP");
    let names: Vec<&str> = plugins.iter().map(|plugin| plugin.document["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["weir-closed", "weir-egress", "weir-sidecar"], "each has a row below");
    parallel(&plugins, |plugin| {
        let (gateway, cases) = match plugin.document["metadata"]["name"].as_str().unwrap() {
            "weir-closed" => (false, &CLOSED[..]),
            "weir-egress" => (true, &OPEN_AND_READ_ONLY[..]),
            _ => (false, &OPEN_AND_READ_ONLY[..]),
        };
        decides(&failures, &plugin.id(), &plugin.document, gateway, cases);
    });
}

/// Common changes of a manifest, and their effect on the resource.
#[test]
fn other_shapes_of_a_plugin_decide_alike() {
    let failures = Failures::default();
    let sidecar = of_kind("WasmPlugin").into_iter().find(|plugin| plugin.file.starts_with("sidecar/")).unwrap();
    let with = |field: &str, value: Value| {
        let mut document = sidecar.document.clone();
        document["spec"][field] = value;
        document
    };
    let environment = json!({"env": [
        {"name": "INLINE", "value": "x"},
        {"name": "WITHOUT_A_VALUE"},
        {"name": "HOME", "valueFrom": "HOST"},
    ]});
    let mut absent = sidecar.document.clone();
    absent["spec"].as_object_mut().unwrap().remove("pluginConfig");
    let shapes = [
        ("vmConfig.env", with("vmConfig", environment), &OPEN_AND_READ_ONLY[..]),
        ("pluginName", with("pluginName", json!("weir")), &OPEN_AND_READ_ONLY),
        ("FAIL_CLOSE", with("failStrategy", json!("FAIL_CLOSE")), &OPEN_AND_READ_ONLY),
        ("no pluginConfig", absent, &CLOSED),
        ("an empty pluginConfig", with("pluginConfig", json!({})), &CLOSED),
    ];
    let schemas = Schemas::load();
    parallel(&shapes, |(id, document, cases)| {
        failures.same(id, "mistakes", &Vec::new(), &schemas.mistakes(document));
        decides(&failures, id, document, false, cases);
    });
}

/// The resource itself, compared with what Istio's sources make of such a manifest.
#[test]
fn the_resource_is_what_istiod_and_the_agent_make() {
    let document = json!({
        "metadata": {"name": "weir", "namespace": "agents"},
        "spec": {
            "url": "oci://registry.example.com/weir:0.1.0",
            "pluginConfig": {"ports": [443], "internet_access": "on"},
            "failStrategy": "FAIL_CLOSE",
            "imagePullPolicy": "Always",
            "vmConfig": {"env": [{"name": "A", "value": "b"}, {"name": "C", "valueFrom": "HOST"}]},
        },
    });
    let resource = ecds::resource(&document, "/var/lib/istio/data/plugin.wasm".as_ref());
    let plugin = json!({
        "name": "agents.weir",
        "root_id": "",
        "configuration": {
            "@type": "type.googleapis.com/google.protobuf.StringValue",
            "value": r#"{"internet_access":"on","ports":[443]}"#,
        },
        "failure_policy": "FAIL_CLOSED",
        "vm_config": {
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"local": {"filename": "/var/lib/istio/data/plugin.wasm"}},
            "environment_variables": {"key_values": {"A": "b"}, "host_env_keys": ["C"]},
        },
    });
    assert_eq!(
        resource,
        json!({
            "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            "name": "extensions.istio.io/wasmplugin/agents.weir",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm", "config": plugin},
        })
    );
}

#[test]
fn a_policy_with_a_mistake_is_refused() {
    let mut plugin = of_kind("WasmPlugin").into_iter().find(|plugin| plugin.file.starts_with("sidecar/")).unwrap();
    // `internet_access: on` without quotes is a boolean in YAML 1.1.
    plugin.document["spec"]["pluginConfig"]["internet_access"] = json!(true);
    let resource = ecds::resource(&plugin.document, &plugin_file());
    let internet = ok(StandIn::start());
    match launch().resource(resource).stand_in(internet.address()).start() {
        Err(Error::PolicyRefused(lines)) => {
            assert!(lines.iter().any(|line| line.starts_with("policy: internet_access: ")), "{lines:?}");
        }
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("an invalid policy was accepted"),
    }
}

/// For a host on the mesh's own list the policy must decide, not a gap between the two lists.
#[test]
fn every_host_of_the_mesh_is_in_the_policy() {
    let failures = Failures::default();
    let mut hosts = 0;
    for entry in of_kind("ServiceEntry") {
        let room = entry.file.split('/').next().unwrap().to_owned();
        let plugin = of_kind("WasmPlugin").into_iter().find(|plugin| plugin.file.starts_with(&room)).unwrap();
        let policy = Policy::from_json(plugin.document["spec"]["pluginConfig"].to_string().as_bytes()).unwrap();
        let allowed: BTreeSet<String> =
            policy.entries().map(|entry| entry.text().trim_start_matches('=').to_owned()).collect();
        let listed = entry.document["spec"]["hosts"].as_array().unwrap();
        let listed: BTreeSet<String> = listed.iter().map(|host| host.as_str().unwrap().to_owned()).collect();
        failures.same(&entry.id(), "hosts", &allowed, &listed);
        hosts += listed.len();
    }
    assert_eq!(hosts, 7, "hosts compared");
}
