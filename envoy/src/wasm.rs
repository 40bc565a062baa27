//! Makes `dist/weir.wasm` of what the compiler wrote: the same code, without names, custom sections and the linker's own
//! exports.
//!
//! It must never let a module pass that exports or imports more than `filter.yaml` allows: Envoy calls each callback that is
//! exported, once per body chunk too, and an import is a power over Envoy.

use std::collections::BTreeSet;
use std::fmt::Write;

use sha2::{Digest, Sha256};
use walrus::{ExportItem, Module, ModuleConfig};

use crate::config::{FILTER, at, parse};
use crate::ecds::FILTER_YAML;
use crate::error::{Error, Result};

/// What every module of this ABI exports beside its callbacks.
const ALWAYS: [&str; 4] = ["_initialize", "memory", "proxy_abi_version_0_2_1", "proxy_on_memory_allocate"];

/// Without these Envoy refuses the module, or asks nobody and lets everything through.
const NEEDED: [&str; 6] = [
    "memory",
    "proxy_abi_version_0_2_1",
    "proxy_on_configure",
    "proxy_on_memory_allocate",
    "proxy_on_new_connection",
    "proxy_on_request_headers",
];

/// What rustc has the linker export of every module. Nothing uses it.
const LINKER: [&str; 2] = ["__data_end", "__heap_base"];

/// A finished module.
#[derive(Clone, Debug)]
pub(crate) struct Finished {
    pub(crate) bytes: Vec<u8>,
    pub(crate) sha256: String,
    pub(crate) exports: Vec<String>,
    pub(crate) imports: Vec<String>,
}

/// Strips a module and holds it to what `filter.yaml` allows.
pub(crate) fn finish(compiled: &[u8]) -> Result<Finished> {
    let allowed = capabilities()?;
    let mut config = ModuleConfig::new();
    config.generate_name_section(false).generate_producers_section(false).strict_validate(true);
    let mut module = config.parse(compiled).map_err(|e| refused(&format!("is not a valid module: {e}")))?;

    for name in LINKER {
        // Where the linker exports none, there is none to remove.
        let _ = module.exports.remove(name);
    }
    let customs: Vec<_> = module.customs.iter().map(|(id, _)| id).collect();
    for custom in customs {
        module.customs.delete(custom);
    }
    walrus::passes::gc::run(&mut module);

    let exports = check_exports(&module, &allowed)?;
    let imports = check_imports(&module, &allowed)?;
    let bytes = module.emit_wasm();
    // Parsing validates: what is written has to be as valid as what was read.
    config.parse(&bytes).map_err(|e| refused(&format!("is not valid any more when stripped: {e}")))?;
    let sha256 = Sha256::digest(&bytes).iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    });
    Ok(Finished { bytes, sha256, exports, imports })
}

fn refused(why: &str) -> Error {
    Error::Plugin(format!("the compiled plugin {why}"))
}

/// The names under `allowed_capabilities`, callbacks and calls alike.
fn capabilities() -> Result<BTreeSet<String>> {
    let place = "/resources/0/typed_config/config/capability_restriction_config/allowed_capabilities";
    let mut document = parse(FILTER, FILTER_YAML)?;
    let names = at(FILTER, &mut document, place)?;
    let names = names.as_object().ok_or_else(|| Error::Config { file: FILTER, place: place.into() })?;
    Ok(names.keys().cloned().collect())
}

fn check_exports(module: &Module, allowed: &BTreeSet<String>) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for export in module.exports.iter() {
        let name = &export.name;
        if !ALWAYS.contains(&name.as_str()) && !allowed.contains(name) {
            return Err(refused(&format!("exports {name}, which filter.yaml does not allow (allowed_capabilities)")));
        }
        if matches!(export.item, ExportItem::Memory(_)) != (name == "memory") {
            return Err(refused(&format!("exports something else as {name}")));
        }
        names.push(name.clone());
    }
    names.sort();
    match NEEDED.iter().find(|needed| !names.iter().any(|name| name == *needed)) {
        Some(missing) => Err(refused(&format!("does not export {missing}"))),
        None => Ok(names),
    }
}

fn check_imports(module: &Module, allowed: &BTreeSet<String>) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for import in module.imports.iter() {
        if import.module != "env" || !allowed.contains(&import.name) {
            return Err(refused(&format!(
                "imports {}.{}, which filter.yaml does not allow (allowed_capabilities)",
                import.module, import.name
            )));
        }
        names.push(import.name.clone());
    }
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest module with these exports and one import.
    fn module(exports: &[&str], import: (&str, &str)) -> Vec<u8> {
        let mut module = Module::default();
        let memory = module.memories.add_local(false, false, 1, None, None);
        let ty = module.types.add(&[], &[]);
        let (imported, _) = module.add_import_func(import.0, import.1, ty);
        for name in exports {
            if *name == "memory" {
                module.exports.add(name, memory);
            } else {
                let mut builder = walrus::FunctionBuilder::new(&mut module.types, &[], &[]);
                builder.func_body().call(imported);
                let id = builder.finish(vec![], &mut module.funcs);
                module.exports.add(name, id);
            }
        }
        module.customs.add(walrus::RawCustomSection { name: "producers2".into(), data: b"/home/me".to_vec() });
        module.emit_wasm()
    }

    fn refusal(exports: &[&str], import: (&str, &str)) -> String {
        finish(&module(exports, import)).unwrap_err().to_string()
    }

    fn with(name: &'static str) -> Vec<&'static str> {
        NEEDED.into_iter().chain([name]).collect()
    }

    #[test]
    fn what_the_linker_and_the_compiler_add_is_stripped() {
        for added in LINKER.into_iter().chain(["proxy_on_delete"]) {
            let finished = finish(&module(&with(added), ("env", "proxy_log"))).unwrap();
            let mut expected = NEEDED.to_vec();
            expected.extend((added == "proxy_on_delete").then_some(added));
            expected.sort_unstable();
            assert_eq!(finished.exports, expected);
            assert_eq!(finished.imports, ["proxy_log"]);
            assert_eq!(finished.sha256.len(), 64);
            assert!(!finished.bytes.windows(8).any(|w| w == b"/home/me"));
        }
    }

    #[test]
    fn an_export_that_is_not_allowed_is_refused() {
        for name in ["proxy_on_response_body", "proxy_on_log", "malloc", "main"] {
            let error = refusal(&with(name), ("env", "proxy_log"));
            assert!(error.contains(&format!("exports {name}, which filter.yaml does not allow")), "{error}");
        }
    }

    #[test]
    fn an_import_that_is_not_allowed_is_refused() {
        for (module, name) in
            [("wasi_snapshot_preview1", "fd_write"), ("other", "proxy_log"), ("env", "proxy_http_call")]
        {
            let error = refusal(&NEEDED, (module, name));
            assert!(error.contains(&format!("imports {module}.{name}, which filter.yaml does not allow")), "{error}");
        }
    }

    #[test]
    fn an_export_that_is_missing_is_refused() {
        for missing in NEEDED {
            let others: Vec<&str> = NEEDED.into_iter().filter(|name| *name != missing).collect();
            let error = refusal(&others, ("env", "proxy_log"));
            assert_eq!(error, format!("the compiled plugin does not export {missing}"));
        }
    }

    #[test]
    fn only_the_memory_is_exported_as_memory() {
        let mut module = Module::from_buffer(&module(&NEEDED, ("env", "proxy_log"))).unwrap();
        let function = module.exports.get_func("proxy_on_configure").unwrap();
        module.exports.remove("memory").unwrap();
        module.exports.add("memory", function);
        let error = finish(&module.emit_wasm()).unwrap_err().to_string();
        assert_eq!(error, "the compiled plugin exports something else as memory");
    }

    #[test]
    fn finishing_twice_changes_nothing() {
        let once = finish(&module(&NEEDED, ("env", "proxy_log"))).unwrap();
        let twice = finish(&once.bytes).unwrap();
        assert_eq!(once.sha256, twice.sha256);
    }

    #[test]
    fn something_else_is_no_module() {
        assert!(finish(b"hello").unwrap_err().to_string().starts_with("the compiled plugin is not a valid module"));
    }
}
