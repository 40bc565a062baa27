//! A `WasmPlugin` as Envoy gets it: what istiod makes of the manifest, and what the agent in the pod makes of that.
//!
//! Written by what Istio's sources say (pilot/pkg/model/extensions.go and pkg/wasm/convert.go): istiod hands the policy over as
//! text and asks for remote code; the agent fetches that, puts the file's path in its place and takes the variables that were
//! meant for itself out of the VM's environment. A field that is not known here fails the test.

use std::path::Path;

use serde_json::{Map, Value, json};

/// The fields that make a difference to the resource, and those that only say where it goes or how the agent fetches.
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

/// The resource for `document`, whose code the agent has put into `code`.
pub(crate) fn resource(document: &Value, code: &Path) -> Value {
    let spec = document["spec"].as_object().expect("a spec");
    if let Some(unknown) = spec.keys().find(|field| !KNOWN.contains(&field.as_str())) {
        panic!("what istiod makes of {unknown} is not known here");
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

/// The policy as text; an Any without type and value where there is none, or an empty one.
pub(crate) fn configuration(policy: Option<&Value>) -> Value {
    match policy {
        Some(Value::Object(fields)) if !fields.is_empty() => json!({
            "@type": "type.googleapis.com/google.protobuf.StringValue",
            "value": Value::Object(fields.clone()).to_string(),
        }),
        _ => json!({}),
    }
}

/// The variables of the manifest; none at all where it has none, since the agent takes its own out again.
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
