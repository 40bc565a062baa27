//! Generates the plugin's ECDS resource, `filter.yaml`, for one module and one policy.
//!
//! It parses the shipped file and changes its structure. The result is written to a temporary file and renamed, because
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

/// The typed Wasm filter: the content of the resource, or of the filter chain where the filter is static.
///
/// # Errors
/// The shipped file lacks a place, a `Struct` is not a JSON object, or a `Text` is not UTF-8, as a protobuf string must
/// be.
pub fn typed_config(wasm: &Path, configuration: &Configuration) -> Result<Value> {
    Ok(filled(FILTER, wasm, configuration)?.at(TYPED_CONFIG)?.take())
}

/// Writes the resource for `wasm` and `configuration` to `path` atomically.
///
/// # Errors
/// As [`typed_config`], or the file system fails.
pub fn write(path: &Path, wasm: &Path, configuration: &Configuration) -> Result<()> {
    let filter = filled(FILTER, wasm, configuration)?.into_value();
    // Envoy chooses the parser by the file extension.
    replace(path, filter.to_string().as_bytes())
}

/// Writes `filter.yaml` and `filter-tls.yaml` to `folder`, each atomically, with this module and policy: for a machine
/// where the plugin is both an HTTP filter and a network filter.
///
/// # Errors
/// As [`typed_config`], or the file system fails.
pub fn write_both(folder: &Path, wasm: &Path, configuration: &Configuration) -> Result<()> {
    // Both are generated before either is written, so that an error changes neither.
    let files = [FILTER, FILTER_TLS].map(|file| Ok((file.name, filled(file, wasm, configuration)?.into_value())));
    let files = files.into_iter().collect::<Result<Vec<_>>>()?;
    files.iter().try_for_each(|(name, filter)| replace(&folder.join(name), filter.to_string().as_bytes()))
}

/// Writes a resource from another control plane, such as istiod, to `path` atomically. It gets the name under which the
/// filter chain of the shipped configuration requests the plugin; the plugin's own name stays.
///
/// # Errors
/// It is not an object, or the file system fails.
pub fn write_resource(path: &Path, resource: &Value) -> Result<()> {
    let mut file = Shipped::parse(FILTER)?;
    let place = file.at("/resources/0")?;
    let name = place["name"].take();
    *place = resource.clone();
    *file.at("/resources/0/name")? = name;
    replace(path, file.into_value().to_string().as_bytes())
}
