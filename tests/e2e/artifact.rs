//! `weir.wasm` itself: its exports, its imports, its size, and that its bytes depend on the sources alone.
//!
//! This file repeats the lists on purpose. Envoy would call an exported response, body, trailer or log callback for
//! every chunk of every transfer; an import that is not listed is a capability that the plugin does not need.
#![expect(clippy::expect_used, reason = "clippy takes only the test functions themselves for tests")]

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;
use weir_envoy::shipped;
use weir_module_build::{CALLBACKS, CALLS};
use weir_tests::proxy::ok;

/// The functions that Envoy can call, and when it calls them for the HTTP filter and for the network filter.
const EXPORTS: [(&str, &str, &str); 10] = [
    ("_initialize", "once in each VM", "once in each VM"),
    ("memory", "not a call", "not a call"),
    ("proxy_abi_version_0_2_1", "not called", "not called"),
    ("proxy_on_configure", "once for each policy and VM", "once for each policy and VM"),
    ("proxy_on_context_create", "once a request", "once a connection"),
    ("proxy_on_delete", "once a request", "once a connection"),
    ("proxy_on_memory_allocate", "by calls that return data", "by calls that return data"),
    ("proxy_on_new_connection", "never", "once a connection"),
    ("proxy_on_request_headers", "once a request", "never"),
    ("proxy_on_tick", "once a second", "once a second"),
];

const IMPORTS: [&str; 10] = [
    // Closes a refused connection.
    "proxy_close_stream",
    "proxy_define_metric",
    "proxy_get_buffer_bytes",
    "proxy_get_header_map_pairs",
    "proxy_get_property",
    "proxy_increment_metric",
    "proxy_log",
    "proxy_send_local_response",
    "proxy_set_property",
    "proxy_set_tick_period_milliseconds",
];

/// What was reached, and 2 KB; `bench/results/size.txt` lists what takes them. The aim is 200 KB.
const LIMIT: usize = 178_200;

/// The repository.
fn root() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the repository").to_owned()
}

/// Whether it can be a source of the plugin: not a build, the repository's history, or a hidden file.
fn is_source(name: &str) -> bool {
    !name.starts_with('.') && !["target", "dist", "node_modules"].contains(&name)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let name = entry.file_name();
        if !is_source(&name.to_string_lossy()) {
            continue;
        }
        let (from, to) = (entry.path(), to.join(&name));
        if entry.file_type().expect("a type").is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).expect("a copy");
        }
    }
}

#[test]
fn exports_imports_and_size() {
    assert_eq!(weir_module::EXPORTS, EXPORTS.map(|(name, ..)| name));
    assert_eq!(weir_module::IMPORTS, IMPORTS);
    assert_eq!(fs::read(weir_module::PATH).expect("the module"), weir_module::WASM);
    let size = weir_module::WASM.len();
    eprintln!("weir.wasm: {size} bytes, sha256 {}", weir_module::SHA256);
    assert!(size < LIMIT, "{size} bytes, must be below {LIMIT}");
}

/// The capabilities in the filter files are those that the build allows.
#[test]
fn the_filter_allows_what_the_build_does() {
    let mut allowed: Vec<&str> = CALLBACKS.iter().chain(CALLS).copied().collect();
    allowed.sort_unstable();
    for file in [shipped::FILTER, shipped::FILTER_TLS] {
        let document: Value = serde_saphyr::from_str(file.text).expect("YAML");
        let place = "/resources/0/typed_config/config/capability_restriction_config/allowed_capabilities";
        let mut listed: Vec<&String> =
            document.pointer(place).and_then(Value::as_object).expect("capabilities").keys().collect();
        listed.sort_unstable();
        assert_eq!(listed, allowed, "{}", file.name);
    }
}

/// The page tells readers which callbacks a request costs.
#[test]
fn the_page_has_the_exports_of_each_filter() {
    let page = fs::read_to_string(root().join("docs/tls-passthrough.md")).expect("the page");
    let table: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(table, EXPORTS.map(|(name, http, network)| format!("| `{name}` | {http} | {network} |")));
}

#[test]
fn another_folder_gives_the_same_bytes() {
    let folder = tempfile::tempdir().expect("a folder");
    let elsewhere = folder.path().join("a folder of another length");
    copy(&root(), &elsewhere);
    let there = ok(weir_module_build::build(&elsewhere, &elsewhere.join("target")));
    eprintln!("here: sha256 {}\nthere: sha256 {}", weir_module::SHA256, there.sha256);
    assert_eq!(weir_module::SHA256, there.sha256);
    assert!(weir_module::WASM == there.bytes, "same digest only");
    for path in [root(), elsewhere, std::env::home_dir().expect("a home")] {
        let path = format!("{}/", path.display()).into_bytes();
        assert!(
            !there.bytes.windows(path.len()).any(|window| window == path),
            "a path of this machine is in the module"
        );
    }
}
