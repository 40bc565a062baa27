//! The dependencies that ARCHITECTURE.md draws: which crate may use which, and that no two files of a crate use each
//! other, directly or through others.
//!
//! An arrow is a path in the code (`use`, a type, a call) from one file to another. A module declaration is not an
//! arrow, and code that only tests use is ignored.
#![expect(clippy::unwrap_used, reason = "clippy treats only the test functions themselves as tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use syn::visit::{self, Visit};

/// Every crate, its folder, and the crates of the workspace that it may use outside its tests.
const ROOMS: [(&str, &str, &[&str]); 12] = [
    ("weir-policy", "policy", &[]),
    ("weir-filter", "filter", &["weir-policy"]),
    ("weir-module-build", "module/build", &[]),
    ("weir-module", "module", &[]),
    ("weir-envoy", "envoy", &[]),
    // A tool: no other crate uses it.
    ("weir-configs", "envoy/generator", &["weir-policy"]),
    ("weir-issuer", "issuer", &[]),
    ("weir-internet", "tests/internet", &[]),
    // The demo uses the stand-in for the internet from the tests.
    ("weir", "cli", &["weir-envoy", "weir-internet", "weir-issuer", "weir-module", "weir-policy"]),
    ("weir-cases", "tests/cases", &["weir-policy"]),
    (
        "weir-tests",
        "tests",
        &["weir-cases", "weir-envoy", "weir-internet", "weir-issuer", "weir-module", "weir-policy"],
    ),
    ("weir-bench", "bench", &[]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn metadata() -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--no-deps", "--locked", "--format-version", "1"]).current_dir(root());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn arrows_between_crates_point_one_way() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let names: BTreeSet<&str> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    assert_eq!(names, ROOMS.iter().map(|(name, ..)| *name).collect::<BTreeSet<_>>(), "the crates of the workspace");
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let used: BTreeSet<&str> = package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|dependency| dependency["kind"].is_null())
            .filter_map(|dependency| dependency["name"].as_str())
            .collect();
        let ours: Vec<&str> = used.iter().copied().filter(|used| names.contains(used)).collect();
        let (_, folder, allowed) = ROOMS.iter().find(|(room, ..)| *room == name).unwrap();
        assert!(ours.iter().all(|used| allowed.contains(used)), "{name} uses {ours:?}, and may use {allowed:?}");
        let manifest = package["manifest_path"].as_str().unwrap();
        assert_eq!(Path::new(manifest), root().join(folder).join("Cargo.toml"));
        // The module's exports are its own: it cannot link the SDK, which only a test of the filter's uses.
        assert!(!used.contains("proxy-wasm"), "{name}");
        let in_any_way = package["dependencies"].as_array().unwrap().iter().any(|used| used["name"] == "proxy-wasm");
        assert_eq!(in_any_way, name == "weir-filter", "{name}");
    }
}

/// `cargo run -- demo` is one of the two commands of the README.
#[test]
fn cargo_run_alone_means_weir() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().unwrap();
    let targets = packages.iter().flat_map(|package| package["targets"].as_array().unwrap());
    let binaries = targets.filter(|target| target["kind"].as_array().unwrap().contains(&"bin".into()));
    assert_eq!(binaries.map(|target| target["name"].as_str().unwrap()).collect::<Vec<_>>(), ["weir"]);
}

#[test]
fn files_of_a_crate_form_no_cycle() {
    let mut cycles = Vec::new();
    for (name, folder, _) in ROOMS {
        let source = root().join(folder).join("src");
        let Some(top) = ["lib.rs", "main.rs"].into_iter().find(|file| source.join(file).is_file()) else { continue };
        let house = House::read(&source, top);
        cycles.extend(house.cycles().into_iter().map(|cycle| format!("{name}: {}", cycle.join(", "))));
    }
    assert!(cycles.is_empty(), "files that use each other:\n{}", cycles.join("\n"));
}

/// A reader that misses arrows would find no cycle.
#[test]
fn the_reader_finds_every_kind_of_cycle() {
    for (one, other) in [
        ("use crate::b::B; struct A;", "use crate::a::A; struct B;"),
        ("struct A(super::b::B);", "fn b() { crate::a::call(); }"),
        ("use crate::{b::{B as C}}; struct A;", "impl From<super::a::A> for B {}"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("lib.rs"), "mod a; mod b;").unwrap();
        fs::write(folder.path().join("a.rs"), one).unwrap();
        fs::write(folder.path().join("b.rs"), other).unwrap();
        assert_eq!(House::read(folder.path(), "lib.rs").cycles(), [["a", "b"]], "{one} {other}");
        fs::write(folder.path().join("b.rs"), format!("#[cfg(test)] mod tests {{ {other} }}")).unwrap();
        assert!(House::read(folder.path(), "lib.rs").cycles().is_empty(), "{other} in tests");
    }
}

/// The files of one crate by module path, and what each uses.
struct House {
    arrows: BTreeMap<String, BTreeSet<String>>,
}

impl House {
    fn read(source: &Path, top: &str) -> House {
        let mut files = BTreeMap::new();
        read_module(source, &source.join(top), &mut Vec::new(), &mut files);
        let modules: BTreeSet<Vec<String>> = files.keys().cloned().collect();
        let name = |module: &[String]| if module.is_empty() { "(root)".to_owned() } else { module.join("::") };
        let arrows = files.iter().map(|(module, file)| {
            let mut paths = Paths { module, modules: &modules, inner: Vec::new(), used: BTreeSet::new() };
            paths.visit_file(file);
            paths.used.remove(module);
            (name(module), paths.used.iter().map(|used| name(used)).collect())
        });
        House { arrows: arrows.collect() }
    }

    /// The cycles: every set of files that reach each other.
    fn cycles(&self) -> Vec<Vec<String>> {
        let reach: BTreeMap<&String, BTreeSet<&String>> =
            self.arrows.keys().map(|from| (from, self.reachable(from))).collect();
        let mut cycles: Vec<Vec<String>> = Vec::new();
        for (from, seen) in &reach {
            let cycle: Vec<String> = seen
                .iter()
                .filter(|to| reach.get(*to).is_some_and(|back| back.contains(from)))
                .map(|to| (*to).clone())
                .collect();
            if cycle.len() > 1 && !cycles.contains(&cycle) {
                cycles.push(cycle);
            }
        }
        cycles
    }

    fn reachable(&self, from: &String) -> BTreeSet<&String> {
        let mut seen = BTreeSet::new();
        let mut next: Vec<&String> = self.arrows.get(from).into_iter().flatten().collect();
        while let Some(file) = next.pop() {
            if seen.insert(file) {
                next.extend(self.arrows.get(file).into_iter().flatten());
            }
        }
        seen
    }
}

fn read_module(folder: &Path, path: &Path, module: &mut Vec<String>, files: &mut BTreeMap<Vec<String>, syn::File>) {
    let file = syn::parse_file(&fs::read_to_string(path).unwrap()).unwrap();
    for item in &file.items {
        if let syn::Item::Mod(child) = item
            && child.content.is_none()
            && !is_of_tests(&child.attrs)
        {
            let name = child.ident.to_string();
            let flat = folder.join(format!("{name}.rs"));
            let path = if flat.is_file() { flat } else { folder.join(&name).join("mod.rs") };
            module.push(name.clone());
            read_module(&folder.join(&name), &path, module, files);
            module.pop();
        }
    }
    files.insert(module.clone(), file);
}

fn is_of_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<syn::Ident>().is_ok_and(|condition| condition == "test")
    })
}

/// Collects what a file uses from its own crate.
struct Paths<'a> {
    module: &'a Vec<String>,
    modules: &'a BTreeSet<Vec<String>>,
    /// The inline modules around the current place in the file.
    inner: Vec<String>,
    used: BTreeSet<Vec<String>>,
}

impl Paths<'_> {
    /// Resolves a path as written, and notes the file that it leads to.
    fn take(&mut self, segments: &[String]) {
        let mut rest = segments;
        let mut at = match rest.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("self" | "super") => [&self.module[..], &self.inner].concat(),
            // A child module by its bare name.
            Some(child) if self.modules.contains(&[&self.module[..], &[child.to_owned()]].concat()) => {
                self.module.clone()
            }
            _ => return,
        };
        while let Some((first, after)) = rest.split_first() {
            match first.as_str() {
                "crate" | "self" => {}
                "super" => drop(at.pop()),
                name => {
                    let deeper = [&at[..], &[name.to_owned()]].concat();
                    if !self.modules.contains(&deeper) {
                        break;
                    }
                    at = deeper;
                }
            }
            rest = after;
        }
        while !self.modules.contains(&at) {
            at.pop();
        }
        self.used.insert(at);
    }

    fn take_tree(&mut self, tree: &syn::UseTree, prefix: &[String]) {
        let with = |ident: &syn::Ident| [prefix, &[ident.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.take_tree(&path.tree, &with(&path.ident)),
            syn::UseTree::Name(name) => self.take(&with(&name.ident)),
            syn::UseTree::Rename(rename) => self.take(&with(&rename.ident)),
            syn::UseTree::Glob(_) => self.take(prefix),
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.take_tree(tree, prefix)),
        }
    }
}

impl<'ast> Visit<'ast> for Paths<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_of_tests(&item.attrs) {
            self.inner.push(item.ident.to_string());
            visit::visit_item_mod(self, item);
            self.inner.pop();
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.take_tree(&item.tree, &[]);
    }

    // Visibilities such as `pub(super)` are not arrows.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            let segments: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.take(&segments);
        }
        visit::visit_path(self, path);
    }
}
