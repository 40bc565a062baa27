//! The build of the plugin: the same bytes from any folder.
#![expect(clippy::unwrap_used, reason = "clippy takes only the test functions themselves for tests")]

use std::fs;
use std::path::Path;

use weir_envoy::Plugin;
use weir_envoy::plugin::source_root;

/// Everything but what builds leave.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if ["target", "dist", ".git"].iter().any(|left| name == *left) {
            continue;
        }
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(name));
        } else {
            fs::copy(entry.path(), to.join(name)).unwrap();
        }
    }
}

#[test]
#[ignore = "two cold builds take a minute"]
fn two_folders_give_the_same_bytes() {
    let base = tempfile::tempdir().unwrap();
    let root = source_root().unwrap();
    let folders = ["a", "another/folder with a space"].map(|name| base.path().join(name));
    copy(&root, &folders[0]);
    // Of the copy, since somebody may be editing the original.
    copy(&folders[0], &folders[1]);
    let built = folders.map(|folder| Plugin::build(&folder).unwrap());
    assert_eq!(built[0].sha256, built[1].sha256);
    assert_eq!(fs::read(&built[0].path).unwrap(), fs::read(&built[1].path).unwrap());
    let bytes = fs::read(&built[0].path).unwrap();
    let home = std::env::home_dir().unwrap();
    for path in [base.path(), &home, &root] {
        let path = format!("{}/", path.display()).into_bytes();
        assert!(!bytes.windows(path.len()).any(|window| window == path), "a path of this machine is in the module");
    }
}

#[test]
fn the_module_has_what_envoy_needs_and_no_more() {
    let built = Plugin::build(&source_root().unwrap()).unwrap();
    assert_eq!(
        built.exports,
        [
            "_initialize",
            "malloc",
            "memory",
            "proxy_abi_version_0_2_1",
            "proxy_on_configure",
            "proxy_on_context_create",
            "proxy_on_delete",
            "proxy_on_request_headers",
            "proxy_on_tick",
        ]
    );
    assert!(built.imports.iter().all(|name| name.starts_with("proxy_")), "{:?}", built.imports);
    println!("{} bytes, sha256 {}, imports {:?}", built.size, built.sha256, built.imports);
}
