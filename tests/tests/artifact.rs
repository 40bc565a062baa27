//! `dist/weir.wasm` itself: what Envoy can call of it, what it can call of Envoy, its size, and that its bytes depend on
//! the sources alone.
//!
//! The lists stand here a second time on purpose. A response, body, trailer or log callback among the exports would be
//! called for every chunk of every transfer; an import that is not listed is a power that the plugin does not need.
#![expect(clippy::expect_used, reason = "clippy takes only the test functions themselves for tests")]

use std::fs;
use std::path::Path;

use weir_envoy::{Plugin, plugin};
use weir_tests::proxy::ok;

/// What Envoy can call, and when it does so for the HTTP filter and for the network filter.
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

/// What is no source, or none of the plugin's: builds, the repository's own history, and whatever hides.
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
    let built = ok(Plugin::build(&ok(plugin::source_root())));
    assert_eq!(built.exports, EXPORTS.map(|(name, ..)| name));
    assert_eq!(built.imports, IMPORTS);
    assert_eq!(fs::metadata(&built.path).expect("the module").len(), built.size as u64);
    eprintln!("{}: {} bytes, sha256 {}", built.path.display(), built.size, built.sha256);
    assert!(built.size < LIMIT, "{} bytes, must be below {LIMIT}", built.size);
}

/// What a request must not pay for is what a reader looks for in the page.
#[test]
fn the_page_has_the_exports_of_each_filter() {
    let page = fs::read_to_string(ok(plugin::source_root()).join("docs/tls-passthrough.md")).expect("the page");
    let table: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    assert_eq!(table, EXPORTS.map(|(name, http, network)| format!("| `{name}` | {http} | {network} |")));
}

#[test]
fn another_folder_gives_the_same_bytes() {
    let root = ok(plugin::source_root());
    let folder = tempfile::tempdir().expect("a folder");
    let elsewhere = folder.path().join("a folder of another length");
    copy(&root, &elsewhere);
    let [here, there] = [&root, &elsewhere].map(|root| ok(Plugin::build(root)));
    assert_ne!(here.path, there.path);
    eprintln!("{}: sha256 {}", here.path.display(), here.sha256);
    eprintln!("{}: sha256 {}", there.path.display(), there.sha256);
    assert_eq!(here.sha256, there.sha256);
    let bytes = fs::read(there.path).expect("the module");
    assert!(fs::read(here.path).expect("the module") == bytes, "same digest only");
    for path in [root.as_path(), &elsewhere, &std::env::home_dir().expect("a home")] {
        let path = format!("{}/", path.display()).into_bytes();
        assert!(!bytes.windows(path.len()).any(|window| window == path), "a path of this machine is in the module");
    }
}
