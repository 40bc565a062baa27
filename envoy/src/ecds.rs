//! The plugin's resource, `filter.yaml`, made for one module and one policy.
//!
//! The same file that people copy is read and changed by structure. It is written beside its place and renamed, because
//! Envoy watches for the rename; it must never be written in place, where Envoy could read half of it.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::config::{self, at, parse};
use crate::error::{Error, Result};

/// `filter.yaml` as it is shipped.
pub const FILTER_YAML: &str = include_str!("../filter.yaml");

/// `filter-tls.yaml` as it is shipped: the network filter.
pub const FILTER_TLS_YAML: &str = include_str!("../filter-tls.yaml");

const TYPED_CONFIG: &str = "/resources/0/typed_config";

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

/// The typed Wasm filter: what stands in the resource, and in the filter chain where the filter is static.
///
/// # Errors
/// The shipped file lost a place, or a `Struct` is not a JSON object, or a `Text` is not UTF-8 (a protobuf string is).
pub fn typed_config(wasm: &Path, configuration: &Configuration) -> Result<Value> {
    let mut document = parse(config::FILTER, FILTER_YAML)?;
    let filter = at(config::FILTER, &mut document, TYPED_CONFIG)?;
    fill(config::FILTER, filter, wasm, configuration)?;
    Ok(filter.take())
}

/// Puts module and policy into a filter.
fn fill(file: &'static str, filter: &mut Value, wasm: &Path, configuration: &Configuration) -> Result<()> {
    *at(file, filter, "/config/vm_config/code/local/filename")? = json!(wasm);
    let place = at(file, filter, "/config/configuration")?;
    match configuration {
        Configuration::Absent => {
            let config = at(file, filter, "/config")?;
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
    Ok(())
}

/// Writes the resource for `wasm` and `configuration` to `path` at once.
///
/// # Errors
/// As [`typed_config`], and what the file system says.
pub fn write(path: &Path, wasm: &Path, configuration: &Configuration) -> Result<()> {
    let mut document = parse(config::FILTER, FILTER_YAML)?;
    fill(config::FILTER, at(config::FILTER, &mut document, TYPED_CONFIG)?, wasm, configuration)?;
    // Envoy chooses the parser by the ending of the name.
    replace(path, document.to_string().as_bytes())
}

/// Writes `filter.yaml` and `filter-tls.yaml` to `folder`, both with this module and policy, each at once: what the plugin
/// needs on a machine where both of its faces are used.
///
/// # Errors
/// As [`typed_config`], and what the file system says.
pub fn write_both(folder: &Path, wasm: &Path, configuration: &Configuration) -> Result<()> {
    let files = [(config::FILTER, FILTER_YAML), (config::FILTER_TLS, FILTER_TLS_YAML)];
    // Both are made before one is written: a mistake changes neither.
    let mut written = Vec::new();
    for (name, text) in files {
        let mut document = parse(name, text)?;
        fill(name, at(name, &mut document, TYPED_CONFIG)?, wasm, configuration)?;
        written.push((folder.join(name), document.to_string()));
    }
    written.iter().try_for_each(|(path, text)| replace(path, text.as_bytes()))
}

/// Writes a resource that somebody else made, istiod say, to `path` at once. It gets the name by which the filter chain of
/// the shipped configuration asks for the plugin; the plugin's own name stays.
///
/// # Errors
/// It is not an object, and what the file system says.
pub fn write_resource(path: &Path, resource: &Value) -> Result<()> {
    let mut document = parse(config::FILTER, FILTER_YAML)?;
    let place = at(config::FILTER, &mut document, "/resources/0")?;
    let name = place["name"].take();
    *place = resource.clone();
    *at(config::FILTER, place, "/name")? = name;
    replace(path, document.to_string().as_bytes())
}

/// Writes beside and renames, so that a reader sees the old bytes or the new ones and never a part.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut beside = tempfile::Builder::new()
        .prefix(".weir-")
        .tempfile_in(folder)
        .map_err(|e| Error::file("creating a file in", folder, e))?;
    std::io::Write::write_all(&mut beside, bytes).map_err(|e| Error::file("writing", beside.path(), e))?;
    #[cfg(unix)]
    {
        // A temporary file is the owner's alone, and an Envoy may run as another user.
        use std::os::unix::fs::PermissionsExt;
        beside
            .as_file()
            .set_permissions(std::fs::Permissions::from_mode(0o644))
            .map_err(|e| Error::file("making readable", beside.path(), e))?;
    }
    beside.persist(path).map_err(|e| Error::file("replacing", path, e.error))?;
    Ok(())
}
