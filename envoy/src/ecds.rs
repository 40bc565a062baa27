//! The plugin's resource, `filter.yaml`, made for one module and one policy.
//!
//! The same file that people copy is read and changed by structure. It is written beside its place and renamed, because
//! Envoy watches for the rename; it must never be written in place, where Envoy could read half of it.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::files::replace;
use crate::shipped::{FILTER, FILTER_TLS, File, Shipped};

const TYPED_CONFIG: &str = "/resources/0/typed_config";
const CONFIG: &str = "/resources/0/typed_config/config";

/// How the policy reaches the plugin. All of these occur in the field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Configuration {
    /// No `configuration` field at all.
    Absent,
    /// An Any without type and value, which is what Istio sends when `pluginConfig` is absent.
    EmptyAny,
    /// A `google.protobuf.StringValue`: the plugin gets these bytes as they are.
    Text(Vec<u8>),
    /// A `google.protobuf.BytesValue`: the plugin gets these bytes as they are, text or not.
    Bytes(Vec<u8>),
    /// A `google.protobuf.Struct` of this JSON object: the plugin gets it encoded.
    Struct(Vec<u8>),
}

/// A filter file with this module and policy.
fn filled(file: File, wasm: &Path, configuration: &Configuration) -> Result<Shipped> {
    let mut filter = Shipped::parse(file)?;
    *filter.at(&format!("{CONFIG}/vm_config/code/local/filename"))? = json!(wasm);
    let place = filter.at(&format!("{CONFIG}/configuration"))?;
    match configuration {
        Configuration::Absent => {
            let config = filter.at(CONFIG)?;
            if let Some(fields) = config.as_object_mut() {
                fields.remove("configuration");
            }
        }
        Configuration::EmptyAny => *place = json!({}),
        Configuration::Text(bytes) => {
            let text = str::from_utf8(bytes)
                .map_err(|_| Error::PolicyRefused(vec!["policy: the document is not UTF-8".into()]))?;
            *place = json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": text});
        }
        Configuration::Bytes(bytes) => {
            let value = STANDARD.encode(bytes);
            *place = json!({"@type": "type.googleapis.com/google.protobuf.BytesValue", "value": value});
        }
        Configuration::Struct(bytes) => {
            let object: Value = serde_json::from_slice(bytes)
                .map_err(|mistake| Error::PolicyRefused(vec![format!("policy: not JSON: {mistake}")]))?;
            *place = json!({"@type": "type.googleapis.com/google.protobuf.Struct", "value": object});
        }
    }
    Ok(filter)
}

/// The typed Wasm filter: what stands in the resource, and in the filter chain where the filter is static.
///
/// # Errors
/// The shipped file lost a place, or a `Struct` is not a JSON object, or a `Text` is not UTF-8 (a protobuf string is).
pub fn typed_config(wasm: &Path, configuration: &Configuration) -> Result<Value> {
    Ok(filled(FILTER, wasm, configuration)?.at(TYPED_CONFIG)?.take())
}

/// Writes the resource for `wasm` and `configuration` to `path` atomically.
///
/// # Errors
/// As [`typed_config`], and what the file system says.
pub fn write(path: &Path, wasm: &Path, configuration: &Configuration) -> Result<()> {
    let filter = filled(FILTER, wasm, configuration)?.into_value();
    // Envoy chooses the parser by the ending of the name.
    replace(path, filter.to_string().as_bytes())
}

/// Writes `filter.yaml` and `filter-tls.yaml` to `folder`, both with this module and policy, each atomically: what the
/// plugin needs on a machine where it is both an HTTP filter and a network filter.
///
/// # Errors
/// As [`typed_config`], and what the file system says.
pub fn write_both(folder: &Path, wasm: &Path, configuration: &Configuration) -> Result<()> {
    // Both are made before one is written: a mistake changes neither.
    let files = [FILTER, FILTER_TLS].map(|file| Ok((file.name, filled(file, wasm, configuration)?.into_value())));
    let files = files.into_iter().collect::<Result<Vec<_>>>()?;
    files.iter().try_for_each(|(name, filter)| replace(&folder.join(name), filter.to_string().as_bytes()))
}

/// Writes a resource that another control plane made, istiod say, to `path` atomically. It gets the name by which the
/// filter chain of the shipped configuration asks for the plugin; the plugin's own name stays.
///
/// # Errors
/// It is not an object, and what the file system says.
pub fn write_resource(path: &Path, resource: &Value) -> Result<()> {
    let mut file = Shipped::parse(FILTER)?;
    let place = file.at("/resources/0")?;
    let name = place["name"].take();
    *place = resource.clone();
    *file.at("/resources/0/name")? = name;
    replace(path, file.into_value().to_string().as_bytes())
}
