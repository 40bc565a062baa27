//! The manifests of `envoy/istio/`.
//!
//! There is no cluster here: `schema` checks manifests as the API server does, and `ecds` builds the resource as istiod
//! and the agent beside Envoy do. Neither may accept more than Istio: what they cannot read fails the test.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// One document of a file.
#[derive(Clone, Debug)]
pub(crate) struct Manifest {
    /// Its path, relative to `envoy/istio/`: `sidecar/mesh.yaml`.
    pub(crate) file: String,
    /// The document.
    pub(crate) document: Value,
}

impl Manifest {
    /// Its kind, such as `WasmPlugin`.
    pub(crate) fn kind(&self) -> &str {
        self.document["kind"].as_str().unwrap_or_default()
    }

    /// Its kind, name and file, for messages.
    pub(crate) fn id(&self) -> String {
        format!("{}: {} {}", self.file, self.kind(), self.document["metadata"]["name"].as_str().unwrap_or_default())
    }
}

/// `envoy/istio/` of this workspace.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../envoy/istio")
}

/// Every document of every YAML file in the folders of [`folder`], kustomizations too.
pub(crate) fn manifests() -> Vec<Manifest> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder()).expect("envoy/istio").flatten() {
        if entry.path().is_dir() {
            files.extend(fs::read_dir(entry.path()).expect("a folder").flatten().map(|file| file.path()));
        } else {
            files.push(entry.path());
        }
    }
    files.sort();
    files.iter().flat_map(|file| read(file)).collect()
}

fn read(file: &Path) -> Vec<Manifest> {
    let name = file.strip_prefix(folder()).expect("below it").display().to_string();
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{name}: {error}"));
    let documents: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    documents.into_iter().map(|document| Manifest { file: name.clone(), document }).collect()
}

/// The manifests of one kind.
pub(crate) fn of_kind(kind: &str) -> Vec<Manifest> {
    manifests().into_iter().filter(|manifest| manifest.kind() == kind).collect()
}
