//! A `WasmPlugin` as Envoy receives it: converted by istiod, and then by the agent in the pod.
//!
//! It follows Istio's sources (pilot/pkg/model/extensions.go and pkg/wasm/convert.go): istiod passes the policy as text
//! and refers to remote code; the agent fetches the code, replaces it by the file's path, and removes its own variables
//! from the VM's environment. A field that this file does not know fails the test.

use std::path::Path;

use serde_json::{Map, Value, json};

/// The fields that change the resource, and those that only say where it applies or how the agent fetches.
const KNOWN: [&str; 14] = [
    "url",
    "pluginConfig",
    "pluginName",
    "failStrategy",
    "vmConfig",
    "type",
    "selector",
    "targetRef",
    "targetRefs",
    "match",
    "phase",
    "priority",
    "sha256",
    "imagePullPolicy",
];

/// The resource for `document`, whose code the agent has saved at `code`.
pub(crate) fn resource(document: &Value, code: &Path) -> Value {
    let spec = document["spec"].as_object().expect("a spec");
    if let Some(unknown) = spec.keys().find(|field| !KNOWN.contains(&field.as_str())) {
        panic!("this test does not know how istiod converts {unknown}");
    }
    let metadata = &document["metadata"];
    let name = format!("{}.{}", text(&metadata["namespace"]), text(&metadata["name"]));
    let network = document["spec"]["type"] == "NETWORK";
    let face = if network { "network" } else { "http" };
    json!({
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": format!("extensions.istio.io/wasmplugin/{name}"),
        "typed_config": {
            "@type": format!("type.googleapis.com/envoy.extensions.filters.{face}.wasm.v3.Wasm"),
            "config": plugin(spec, &name, code),
        },
    })
}

fn plugin(spec: &Map<String, Value>, name: &str, code: &Path) -> Value {
    let mut vm = json!({"runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": code}}});
    if let Some(variables) = environment(spec) {
        vm["environment_variables"] = variables;
    }
    let failure_policy = match spec.get("failStrategy").map(text) {
        None | Some("FAIL_CLOSE") => "FAIL_CLOSED",
        Some("FAIL_OPEN") => "FAIL_OPEN",
        Some("FAIL_RELOAD") => "FAIL_RELOAD",
        Some(other) => panic!("failStrategy {other}"),
    };
    json!({
        "name": name,
        "root_id": spec.get("pluginName").map_or("", text),
        "configuration": configuration(spec.get("pluginConfig")),
        "failure_policy": failure_policy,
        "vm_config": vm,
    })
}

/// The policy as text; an Any without type and value if there is none or it is empty.
pub(crate) fn configuration(policy: Option<&Value>) -> Value {
    match policy {
        Some(Value::Object(fields)) if !fields.is_empty() => json!({
            "@type": "type.googleapis.com/google.protobuf.StringValue",
            "value": Value::Object(fields.clone()).to_string(),
        }),
        _ => json!({}),
    }
}

/// The variables of the manifest; none if it has none, because the agent removes its own.
fn environment(spec: &Map<String, Value>) -> Option<Value> {
    let variables = spec.get("vmConfig")?["env"].as_array()?;
    let mut values = Map::new();
    let mut of_the_host = Vec::new();
    for variable in variables {
        match variable.get("valueFrom").map(text) {
            None | Some("INLINE") => {
                let value = variable.get("value").cloned().unwrap_or_else(|| json!(""));
                values.insert(text(&variable["name"]).to_owned(), value);
            }
            Some("HOST") => of_the_host.push(variable["name"].clone()),
            Some(other) => panic!("valueFrom {other}"),
        }
    }
    Some(json!({"key_values": values, "host_env_keys": of_the_host}))
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}
