//! The two images that hold the plugin, as bytes.
//!
//! Istio's agent reads the module out of either: out of the "compat" variant, which every registry and container tool
//! takes for an ordinary image, and out of the artifact variant, whose layer is the module itself (Wasm Image
//! Specification, `spec-compat.md` and `spec.md` of solo-io/wasm). The bytes come from the module and what is given here
//! alone: no clock, user, machine or commit may have a part in them, or a digest could not be checked by building again.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};

use flate2::{Compression, GzBuilder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// The name under which Istio's agent looks for the module in a layer.
const MODULE: &str = "plugin.wasm";
const TITLE: &str = "org.opencontainers.image.title";

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const WASM_CONFIG: &str = "application/vnd.module.wasm.config.v1+json";
const WASM_LAYER: &str = "application/vnd.module.wasm.content.layer.v1+wasm";

/// What the annotations say of the plugin.
#[derive(Clone, Debug)]
pub(crate) struct About {
    /// `org.opencontainers.image.title`, by which a layout is known as one of ours.
    pub(crate) title: &'static str,
    /// One sentence.
    pub(crate) description: &'static str,
    /// An SPDX expression.
    pub(crate) licenses: &'static str,
    /// The version, and the tag too.
    pub(crate) version: &'static str,
    /// Where the sources are, if that is known.
    pub(crate) source: Option<String>,
}

/// Blobs by the hexadecimal digits of their SHA-256.
pub(crate) type Blobs = BTreeMap<String, Vec<u8>>;

/// One of the two images.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    /// `compat` or `artifact`.
    pub(crate) variant: &'static str,
    /// Its name in the layout.
    pub(crate) tag: String,
    /// The SHA-256 of its manifest, in hexadecimal digits.
    pub(crate) digest: String,
    /// What the index says of it.
    pub(crate) descriptor: Value,
}

/// Both images of one module and the blobs that they are made of.
#[derive(Clone, Debug)]
pub(crate) struct Images {
    pub(crate) compat: Image,
    pub(crate) artifact: Image,
    pub(crate) blobs: Blobs,
}

impl Images {
    /// Makes both images of `module`.
    ///
    /// # Errors
    /// Writing to memory fails, which it does not.
    pub(crate) fn of(module: &[u8], about: &About) -> io::Result<Images> {
        let mut blobs = Blobs::new();
        let compat = compat(module, about, &mut blobs)?;
        let artifact = artifact(module, about, &mut blobs);
        Ok(Images { compat, artifact, blobs })
    }
}

/// The SHA-256 of `bytes` in hexadecimal digits.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// An image as `docker build` makes it, of one layer with one file.
fn compat(module: &[u8], about: &About, blobs: &mut Blobs) -> io::Result<Image> {
    let archive = archive(module)?;
    let diff_id = format!("sha256:{}", sha256(&archive));
    let layer = add(blobs, LAYER, compress(&archive)?);
    // A module runs on every machine, but an image has to name one, and container tools refuse to unpack what is not
    // theirs. Istio's agent does not look.
    let config = json!({
        "architecture": "amd64",
        "config": {},
        "os": "linux",
        "rootfs": { "diff_ids": [diff_id], "type": "layers" },
    });
    let config = add(blobs, CONFIG, text(&config));
    let mut annotations = annotations(about);
    insert(&mut annotations, "module.wasm.image/variant", "compat");
    let manifest = manifest(&annotations, &config, &[layer]);
    Ok(image("compat", about.version.to_owned(), &manifest, about, blobs))
}

/// The image whose layer is the module itself.
fn artifact(module: &[u8], about: &About, blobs: &mut Blobs) -> Image {
    let runtime = json!({ "abiVersions": ["0.2.1"], "config": { "root_ids": ["weir"] }, "type": "envoy_proxy" });
    let config = add(blobs, WASM_CONFIG, text(&runtime));
    // The specification has the configuration as a layer too, and Istio's agent refuses an artifact of any number of
    // layers but two.
    let mut config_layer = config.clone();
    insert(&mut config_layer, "annotations", json!({ TITLE: "runtime-config.json" }));
    let mut module_layer = add(blobs, WASM_LAYER, module.to_owned());
    insert(&mut module_layer, "annotations", json!({ TITLE: MODULE }));
    let manifest = manifest(&annotations(about), &config, &[config_layer, module_layer]);
    image("artifact", format!("{}-artifact", about.version), &manifest, about, blobs)
}

/// A tar archive that holds the module and nothing else.
fn archive(module: &[u8]) -> io::Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_path(MODULE)?;
    header.set_size(module.len() as u64);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_cksum();
    let mut archive = tar::Builder::new(Vec::new());
    archive.append(&header, module)?;
    archive.into_inner()
}

/// Gzip with neither a time, a name nor a system in its header (RFC 1952 section 2.3.1: 255 is unknown).
fn compress(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut gzip = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    gzip.write_all(bytes)?;
    gzip.finish()
}

fn annotations(about: &About) -> Value {
    let mut annotations = json!({
        TITLE: about.title,
        "org.opencontainers.image.description": about.description,
        "org.opencontainers.image.licenses": about.licenses,
        "org.opencontainers.image.version": about.version,
    });
    if let Some(source) = &about.source {
        insert(&mut annotations, "org.opencontainers.image.source", source.as_str());
    }
    annotations
}

fn manifest(annotations: &Value, config: &Value, layers: &[Value]) -> Value {
    json!({
        "annotations": annotations,
        "config": config,
        "layers": layers,
        "mediaType": MANIFEST,
        "schemaVersion": 2,
    })
}

fn image(variant: &'static str, tag: String, manifest: &Value, about: &About, blobs: &mut Blobs) -> Image {
    let bytes = text(manifest);
    let digest = sha256(&bytes);
    let mut descriptor = add(blobs, MANIFEST, bytes);
    let names = json!({ "org.opencontainers.image.ref.name": tag, TITLE: about.title });
    insert(&mut descriptor, "annotations", names);
    Image { variant, tag, digest, descriptor }
}

/// Adds a blob; returns its descriptor.
fn add(blobs: &mut Blobs, media_type: &str, bytes: Vec<u8>) -> Value {
    let digest = sha256(&bytes);
    let descriptor = json!({ "digest": format!("sha256:{digest}"), "mediaType": media_type, "size": bytes.len() });
    blobs.insert(digest, bytes);
    descriptor
}

fn insert(object: &mut Value, key: &str, value: impl Into<Value>) {
    if let Some(object) = object.as_object_mut() {
        object.insert(key.to_owned(), value.into());
    }
}

/// JSON with its keys sorted, whatever order `serde_json` keeps them in: another crate can change that for all.
pub(crate) fn text(value: &Value) -> Vec<u8> {
    let mut value = value.clone();
    value.sort_all_objects();
    value.to_string().into_bytes()
}
