//! `weir package`, read back as Istio's agent reads an image that it fetched (`pkg/wasm/imagefetcher.go`).

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Folder, Ran, run, weir};

const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const WASM_LAYER: &str = "application/vnd.module.wasm.content.layer.v1+wasm";

/// A module with nothing in it but a custom section that holds `text`.
fn module(text: &str) -> Vec<u8> {
    let mut bytes = b"\0asm\x01\0\0\0\0".to_vec();
    bytes.push(u8::try_from(text.len() + 2).unwrap());
    bytes.extend(b"\x01x");
    bytes.extend(text.as_bytes());
    bytes
}

/// Packages a module that holds `text` at `dir`.
fn package(folder: &Folder, text: &str, dir: &Path) -> Ran {
    let path = folder.0.join(format!("{text}.wasm"));
    fs::write(&path, module(text)).unwrap();
    run(&["package", "--json", "--module", path.to_str().unwrap(), "--output", dir.to_str().unwrap()], "")
}

/// Every file of a folder by its path in it.
fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            files.extend(tree(&path).into_iter().map(|(below, bytes)| (format!("{name}/{below}"), bytes)));
        } else {
            files.insert(name, fs::read(&path).unwrap());
        }
    }
    files
}

fn json_of(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

/// A layout, and which of its blobs were asked for.
struct Layout {
    files: BTreeMap<String, Vec<u8>>,
    read: Vec<String>,
}

/// An image of it.
struct Image {
    digest: String,
    manifest: Value,
    config: Vec<u8>,
    layers: Vec<(String, Vec<u8>)>,
}

impl Layout {
    fn open(folder: &Path) -> Layout {
        let files = tree(folder);
        assert_eq!(json_of(&files["oci-layout"]), json!({ "imageLayoutVersion": "1.0.0" }));
        Layout { files, read: vec!["oci-layout".into(), "index.json".into()] }
    }

    fn tags(&self) -> Vec<String> {
        let index = json_of(&self.files["index.json"]);
        let name =
            |manifest: &Value| manifest["annotations"]["org.opencontainers.image.ref.name"].as_str().map(str::to_owned);
        index["manifests"].as_array().unwrap().iter().map(|manifest| name(manifest).unwrap()).collect()
    }

    /// The blob of a descriptor, which has to be as long and to have the digest that the descriptor says.
    fn blob(&mut self, descriptor: &Value) -> Vec<u8> {
        let digest = descriptor["digest"].as_str().unwrap();
        let path = format!("blobs/{}", digest.replace(':', "/"));
        let bytes = self.files[&path].clone();
        assert_eq!(descriptor["size"], bytes.len(), "{digest}");
        assert_eq!(digest, format!("sha256:{:x}", Hex(&Sha256::digest(&bytes))));
        self.read.push(path);
        bytes
    }

    fn image(&mut self, tag: &str) -> Image {
        let index = json_of(&self.files["index.json"]);
        assert_eq!((&index["schemaVersion"], index.get("config")), (&json!(2), None));
        let manifests = index["manifests"].as_array().unwrap();
        let mut named = manifests.iter().filter(|it| it["annotations"]["org.opencontainers.image.ref.name"] == tag);
        let descriptor = named.next().unwrap();
        assert!(named.next().is_none(), "{tag} is the name of one image");
        assert_eq!(descriptor["mediaType"], "application/vnd.oci.image.manifest.v1+json");
        let manifest = json_of(&self.blob(descriptor));
        assert_eq!((&manifest["schemaVersion"], &manifest["mediaType"]), (&json!(2), &descriptor["mediaType"]));
        let config = self.blob(&manifest["config"]);
        let layers = manifest["layers"].as_array().unwrap().clone();
        let layers = layers.iter().map(|it| (it["mediaType"].as_str().unwrap().to_owned(), self.blob(it))).collect();
        Image { digest: descriptor["digest"].as_str().unwrap().to_owned(), manifest, config, layers }
    }
}

struct Hex<'b>(&'b [u8]);

impl std::fmt::LowerHex for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Image {
    /// What Istio's agent takes for the module: the file of the last layer's archive, or else, of two layers, the one
    /// of the module's own type.
    fn fetch(&self) -> Result<Vec<u8>, String> {
        self.compat().or_else(|compat| self.artifact().map_err(|artifact| format!("{compat}; {artifact}")))
    }

    fn compat(&self) -> Result<Vec<u8>, String> {
        let (media_type, layer) = self.layers.last().ok_or("no layer")?;
        if media_type != OCI_LAYER {
            return Err(format!("invalid media type {media_type}"));
        }
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&layer[..]));
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            if entry.path().unwrap().file_name() == Some("plugin.wasm".as_ref()) {
                let mut module = Vec::new();
                entry.read_to_end(&mut module).unwrap();
                return Ok(module);
            }
        }
        Err("plugin.wasm not found in the archive".into())
    }

    fn artifact(&self) -> Result<Vec<u8>, String> {
        if self.layers.len() != 2 {
            return Err(format!("number of layers must be 2 but got {}", self.layers.len()));
        }
        let layer = self.layers.iter().find(|(media_type, _)| media_type == WASM_LAYER);
        layer.map(|(_, module)| module.clone()).ok_or_else(|| "no such layer".into())
    }
}

#[test]
fn the_plugin_comes_back_out_of_both_images() {
    let folder = Folder::new();
    let dir = folder.0.join("oci");
    let ran = run(&["package", "--json", "--output", dir.to_str().unwrap()], "");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let told = ran.json();
    // Without --module it is the plugin inside of the binary, which has no path.
    assert_eq!(told["module"]["path"], Value::Null);
    let module = weir_module::WASM.to_vec();
    assert_eq!(told["module"]["size"], module.len());
    assert_eq!(told["module"]["sha256"], format!("{:x}", Hex(&Sha256::digest(&module))));

    let mut layout = Layout::open(&dir);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(layout.tags(), [version.to_owned(), format!("{version}-artifact")]);
    for (image, variant) in told["images"].as_array().unwrap().iter().zip(["compat", "artifact"]) {
        let read = layout.image(image["tag"].as_str().unwrap());
        assert_eq!((image["variant"].as_str(), image["digest"].as_str()), (Some(variant), Some(&*read.digest)));
        assert!(read.fetch().unwrap() == module, "{variant}");
        assert_eq!(variant == "compat", read.compat().is_ok());
        assert_eq!(variant == "artifact", read.artifact().is_ok());
    }
    // Nothing is there that no image holds.
    layout.read.sort();
    layout.read.dedup();
    assert_eq!(layout.read, layout.files.keys().cloned().collect::<Vec<_>>());
}

#[test]
fn the_compat_image_has_one_layer_with_one_file_and_no_trace_of_its_making() {
    let folder = Folder::new();
    let dir = folder.0.join("oci");
    assert_eq!(package(&folder, "a", &dir).code, Some(0));
    let image = Layout::open(&dir).image(env!("CARGO_PKG_VERSION"));
    assert_eq!(image.manifest["config"]["mediaType"], "application/vnd.oci.image.config.v1+json");
    assert_eq!(image.layers.len(), 1);
    let (media_type, layer) = &image.layers[0];
    assert_eq!(media_type, OCI_LAYER);
    // RFC 1952 section 2.3: no flags, so no name and no comment; no time; best compression; an unknown system.
    assert_eq!(layer[..10], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 255]);
    // Published digests change with this one: a library that compresses otherwise, or other headers.
    let digest = "2942ee680510f123d6d2dd95454b2d5ab453a0339437f78fe29067c79362adf1";
    assert_eq!(image.manifest["layers"][0]["digest"], format!("sha256:{digest}"));

    let mut tar = Vec::new();
    flate2::read::GzDecoder::new(&layer[..]).read_to_end(&mut tar).unwrap();
    assert_eq!(
        json_of(&image.config)["rootfs"]["diff_ids"],
        json!([format!("sha256:{:x}", Hex(&Sha256::digest(&tar)))])
    );
    let mut archive = tar::Archive::new(&tar[..]);
    let entries: Vec<_> = archive.entries().unwrap().map(Result::unwrap).collect();
    assert_eq!(entries.len(), 1);
    let (entry, header) = (&entries[0], entries[0].header());
    assert_eq!((entry.path().unwrap().to_str(), header.entry_type()), (Some("plugin.wasm"), tar::EntryType::Regular));
    let numbers = (header.mode().unwrap(), header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap());
    assert_eq!(numbers, (0o644, 0, 0, 0));
    assert_eq!((header.username().unwrap(), header.groupname().unwrap()), (Some(""), Some("")));
    for time in ["created", "history"] {
        assert!(json_of(&image.config).get(time).is_none(), "{time}");
    }
}

#[test]
fn the_artifact_is_the_module_beside_its_runtime_configuration() {
    let folder = Folder::new();
    let dir = folder.0.join("oci");
    assert_eq!(package(&folder, "a", &dir).code, Some(0));
    let image = Layout::open(&dir).image(concat!(env!("CARGO_PKG_VERSION"), "-artifact"));
    let config = "application/vnd.module.wasm.config.v1+json";
    assert_eq!(image.manifest["config"]["mediaType"], config);
    let types: Vec<&str> = image.layers.iter().map(|(media_type, _)| media_type.as_str()).collect();
    assert_eq!(types, [config, WASM_LAYER]);
    assert_eq!(image.layers[0].1, image.config);
    assert_eq!(image.layers[1].1, module("a"));
    assert_eq!(image.manifest["layers"][1]["annotations"]["org.opencontainers.image.title"], "plugin.wasm");
    let runtime = json_of(&image.config);
    assert_eq!((&runtime["type"], &runtime["abiVersions"]), (&json!("envoy_proxy"), &json!(["0.2.1"])));
}

#[test]
fn annotations_say_what_it_is() {
    let folder = Folder::new();
    let (dir, path) = (folder.0.join("oci"), folder.0.join("a.wasm"));
    fs::write(&path, module("a")).unwrap();
    let [dir_text, path] = [&dir, &path].map(|path| path.to_str().unwrap());
    let source = "https://git.example.com/weir";
    let ran = run(&["package", "--module", path, "--output", dir_text, "--source", source], "");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let mut layout = Layout::open(&dir);
    for (tag, variant) in layout.tags().iter().zip([json!("compat"), Value::Null]) {
        let image = layout.image(tag);
        let annotations = &image.manifest["annotations"];
        for (name, value) in [
            ("title", "weir"),
            ("version", env!("CARGO_PKG_VERSION")),
            ("licenses", "Apache-2.0"),
            ("description", env!("CARGO_PKG_DESCRIPTION")),
            ("source", source),
        ] {
            assert_eq!(annotations[format!("org.opencontainers.image.{name}")], value);
        }
        assert_eq!(annotations["module.wasm.image/variant"], variant);
        assert!(ran.stdout.contains(&format!(" {tag} {}\n", image.digest)), "{}", ran.stdout);
    }
    let compat = layout.image(env!("CARGO_PKG_VERSION")).digest;
    let plugin = format!("  url: oci://REGISTRY/weir:{}\n  sha256: {}\n", env!("CARGO_PKG_VERSION"), &compat[7..]);
    assert!(ran.stderr.contains(&plugin), "{}", ran.stderr);
    assert!(ran.stderr.contains(&format!("oci:{dir_text}:")), "{}", ran.stderr);
}

#[test]
fn the_same_module_gives_the_same_bytes_in_any_folder() {
    let (one, other) = (Folder::new(), Folder::new());
    assert_eq!(package(&one, "a", &one.0.join("oci")).code, Some(0));
    // Another path, another time, another name, a relative folder, another mask.
    fs::write(other.0.join("b.wasm"), module("a")).unwrap();
    let script = "umask 077; touch -d 2001-02-03 b.wasm; TZ=Asia/Tokyo exec \"$0\" package --module b.wasm";
    let ran = Command::new("sh").args(["-c", script, env!("CARGO_BIN_EXE_weir")]).current_dir(&other.0).output();
    let ran = Ran::from(ran.unwrap());
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(ran.stdout.starts_with("dist/weir-oci\n"), "{}", ran.stdout);
    assert_eq!(tree(&one.0.join("oci")), tree(&other.0.join("dist/weir-oci")));

    // The keys of all that is JSON are sorted: no feature of a library decides.
    for (path, bytes) in tree(&one.0.join("oci")) {
        if let Ok(mut value) = serde_json::from_slice::<Value>(&bytes) {
            value.sort_all_objects();
            assert_eq!(value.to_string().into_bytes(), bytes, "{path}");
        }
    }
}

#[test]
fn another_module_gives_other_digests_and_takes_the_place_of_the_first() {
    let folder = Folder::new();
    let (dir, link) = (folder.0.join("deep/down/oci"), folder.0.join("link"));
    let first = package(&folder, "a", &dir);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    symlink(&dir, &link).unwrap();
    let second = package(&folder, "b", &link);
    assert_eq!(second.code, Some(0), "{}", second.stderr);
    assert!(link.is_symlink());
    for image in 0..2 {
        assert_ne!(first.json()["images"][image]["digest"], second.json()["images"][image]["digest"]);
    }
    let mut layout = Layout::open(&dir);
    for tag in layout.tags() {
        assert_eq!(layout.image(&tag).fetch().unwrap(), module("b"));
    }
    assert_eq!(layout.files.len(), 8, "{:?}", layout.files.keys());
    // Nothing is left beside it, and others can read it as far as the umask lets them.
    assert_eq!(fs::read_dir(dir.parent().unwrap()).unwrap().count(), 1);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), mode(dir.parent().unwrap()));

    let empty = folder.0.join("empty");
    fs::create_dir(&empty).unwrap();
    assert_eq!(package(&folder, "b", &empty).code, Some(0));
    assert_eq!(tree(&empty), layout.files);
}

#[test]
fn what_it_did_not_write_stays() {
    let folder = Folder::new();
    let made = folder.0.join("made");
    assert_eq!(package(&folder, "a", &made).code, Some(0));
    let index = String::from_utf8(fs::read(made.join("index.json")).unwrap()).unwrap();
    let another = index.replacen("\"org.opencontainers.image.title\":\"weir\"", "\"x\":\"y\"", 1);
    assert_ne!(index, another);

    for (name, files, expected) in [
        ("work", &[("notes.txt", "mine")][..], "\"notes.txt\", which is not part of an image layout"),
        ("part", &[("index.json", &index)], "has no \"oci-layout\""),
        ("more", &[("oci-layout", "{}"), ("index.json", &index), ("notes", "mine")], "\"notes\""),
        ("broken", &[("oci-layout", "{}"), ("index.json", "[")], "has an index.json that is none"),
        ("other", &[("oci-layout", "{}"), ("index.json", &another)], "holds another image, sha256:"),
    ] {
        let dir = folder.0.join(name);
        fs::create_dir(&dir).unwrap();
        for (file, content) in files {
            fs::write(dir.join(file), content).unwrap();
        }
        let before = tree(&dir);
        let ran = package(&folder, "b", &dir);
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{name}");
        assert!(ran.stderr.contains(expected) && ran.stderr.contains("--output"), "{name}: {}", ran.stderr);
        assert_eq!(tree(&dir), before, "{name}");
    }

    let file = folder.0.join("file");
    fs::write(&file, "mine").unwrap();
    let ran = package(&folder, "b", &file);
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("is not a folder"), "{}", ran.stderr);
    assert_eq!(fs::read(&file).unwrap(), b"mine");
}

#[test]
fn what_cannot_be_packaged_is_told() {
    let folder = Folder::new();
    let dir = folder.0.join("oci");
    let dir_text = dir.to_str().unwrap();
    let text = folder.write("text.wasm", "(module)");
    let ran = run(&["package", "--module", &text, "--output", dir_text], "");
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("text.wasm is not a WebAssembly module"), "{}", ran.stderr);
    let ran = run(&["package", "--module", "/nowhere/weir.wasm", "--output", dir_text], "");
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("cannot read the plugin /nowhere/weir.wasm: "), "{}", ran.stderr);
    let ran = run(&["package", "--source", "weir", "--output", dir_text], "");
    assert_eq!(ran.code, Some(2));
    let ran = weir().args(["package", "--output", dir_text]).env("WEIR_PLUGIN", "/nowhere/weir.wasm").output().unwrap();
    assert_eq!(ran.status.code(), Some(1));
    assert!(!dir.exists());
}
