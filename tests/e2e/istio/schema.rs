//! The API server's checks of a manifest, by the schemas of Istio's own CRDs (`tests/data/istio/`).
//!
//! Unknown fields are refused, as by `kubectl apply` by default. The rules in CEL (`x-kubernetes-validations`) and the
//! checks of istiod's own webhook are not evaluated.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use jsonschema::Validator;
use serde_json::{Value, json};

/// The kinds that can be checked.
pub(crate) struct Schemas(BTreeMap<String, Validator>);

impl Schemas {
    /// Reads all of `tests/data/istio/`.
    pub(crate) fn load() -> Schemas {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("data/istio");
        let files = fs::read_dir(folder).expect("tests/data/istio").flatten().map(|entry| entry.path());
        let schemas = files.filter(|file| file.extension().is_some_and(|ending| ending == "json")).map(|file| {
            let text = fs::read_to_string(&file).expect("a schema");
            let data: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let kind = data["kind"].as_str().expect("a kind").to_owned();
            let schema = resource(&data);
            let validator = jsonschema::validator_for(&schema).unwrap_or_else(|error| panic!("{kind}: {error}"));
            (kind, validator)
        });
        Schemas(schemas.collect())
    }

    /// The mistakes of a document, each with its place; a kind without a schema is a mistake.
    pub(crate) fn mistakes(&self, document: &Value) -> Vec<String> {
        let kind = document["kind"].as_str().unwrap_or_default();
        let Some(validator) = self.0.get(kind) else { return vec![format!("no schema for the kind {kind:?}")] };
        validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect()
    }
}

fn resource(data: &Value) -> Value {
    let text = json!({"type": "string", "minLength": 1});
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    json!({
        "type": "object",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": false,
        "properties": {
            "apiVersion": {"enum": data["apiVersions"]},
            "kind": {"const": data["kind"]},
            "metadata": {
                "type": "object",
                "required": ["name", "namespace"],
                "additionalProperties": false,
                "properties": {"name": text, "namespace": text, "labels": texts, "annotations": texts},
            },
            "spec": closed(&data["spec"]),
        },
    })
}

/// A structural schema as JSON Schema. A field that it does not name is invalid, unless it preserves unknown fields;
/// and `nullable` is a keyword of the `OpenAPI` specification.
fn closed(schema: &Value) -> Value {
    let mut closed = schema.clone();
    let Some(fields) = closed.as_object_mut() else { return closed };
    if let Some(properties) = fields.get_mut("properties").and_then(Value::as_object_mut) {
        properties.values_mut().for_each(|property| *property = self::closed(property));
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(schema) = fields.get_mut(inner) {
            *schema = self::closed(schema);
        }
    }
    // The parts of oneOf, anyOf, allOf and not only add requirements: fields are declared outside them.
    let keeps_unknown = fields.get("x-kubernetes-preserve-unknown-fields") == Some(&json!(true));
    if fields.get("type") == Some(&json!("object")) && !keeps_unknown && !fields.contains_key("additionalProperties") {
        fields.insert("additionalProperties".into(), json!(false));
    }
    if fields.get("format") == Some(&json!("int32")) {
        fields.entry("minimum").or_insert(json!(i32::MIN));
        fields.entry("maximum").or_insert(json!(i32::MAX));
    }
    if fields.remove("nullable") == Some(json!(true)) {
        return json!({"anyOf": [closed, {"type": "null"}]});
    }
    closed
}
