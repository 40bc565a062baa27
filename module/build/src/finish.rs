//! Makes `weir.wasm` of what the compiler wrote: the same code, without names, custom sections and the exports of the
//! linker.
//!
//! It must never let a module pass that exports anything but what `surface.rs` lists, or imports more: Envoy calls
//! every callback that is exported, once per body chunk too, and an import is a power over Envoy.

use std::fmt::Write;

use sha2::{Digest, Sha256};
use walrus::{ExportItem, Module, ModuleConfig};

use crate::built::Built;
use crate::error::{Error, Result};
use crate::surface::{CALLBACKS, CALLS};

/// What every module of this ABI exports beside its callbacks.
const ALWAYS: [&str; 4] = ["_initialize", "memory", "proxy_abi_version_0_2_1", "proxy_on_memory_allocate"];

/// What rustc has the linker export of every module. Nothing uses it.
const LINKER: [&str; 2] = ["__data_end", "__heap_base"];

/// Strips a module and holds it to what `surface.rs` lists.
pub(crate) fn finish(compiled: &[u8]) -> Result<Built> {
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

    let exports = check_exports(&module)?;
    let imports = check_imports(&module)?;
    let bytes = module.emit_wasm();
    // Parsing validates: what is written has to be as valid as what was read.
    config.parse(&bytes).map_err(|e| refused(&format!("is not valid any more when stripped: {e}")))?;
    let sha256 = Sha256::digest(&bytes).iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    });
    Ok(Built { bytes, sha256, exports, imports })
}

fn refused(why: &str) -> Error {
    Error::Module(format!("the compiled plugin {why}"))
}

/// Nothing else may be exported. Nothing may be missing either: without a callback Envoy asks nobody, and lets
/// everything through.
fn check_exports(module: &Module) -> Result<Vec<String>> {
    let expected = || ALWAYS.iter().chain(CALLBACKS);
    let mut names = Vec::new();
    for export in module.exports.iter() {
        let name = &export.name;
        if !expected().any(|expected| expected == name) {
            return Err(refused(&format!("exports {name}, which is not allowed (module/build/src/surface.rs)")));
        }
        let is_right = match export.item {
            ExportItem::Memory(_) => name == "memory",
            ExportItem::Function(_) => name != "memory",
            _ => false,
        };
        if !is_right {
            return Err(refused(&format!("exports something else as {name}")));
        }
        names.push(name.clone());
    }
    names.sort();
    match expected().find(|expected| !names.iter().any(|name| name == *expected)) {
        Some(missing) => Err(refused(&format!("does not export {missing}"))),
        None => Ok(names),
    }
}

fn check_imports(module: &Module) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for import in module.imports.iter() {
        if import.module != "env" || !CALLS.contains(&import.name.as_str()) {
            return Err(refused(&format!(
                "imports {}.{}, which is not allowed (module/build/src/surface.rs)",
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

    const LOG: (&str, &str) = ("env", "proxy_log");

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

    /// Every export that there has to be.
    fn all() -> Vec<&'static str> {
        let mut all = [&ALWAYS, CALLBACKS].concat();
        all.sort_unstable();
        all
    }

    fn refusal(exports: &[&str], import: (&str, &str)) -> String {
        finish(&module(exports, import)).unwrap_err().to_string()
    }

    #[test]
    fn what_the_linker_and_the_compiler_add_is_stripped() {
        let built = finish(&module(&[all(), LINKER.to_vec()].concat(), LOG)).unwrap();
        assert_eq!(built.exports, all());
        assert_eq!(built.imports, ["proxy_log"]);
        assert_eq!(built.sha256.len(), 64);
        assert!(!built.bytes.windows(8).any(|w| w == b"/home/me"));
    }

    #[test]
    fn an_export_that_is_not_allowed_is_refused() {
        for name in ["proxy_on_response_body", "proxy_on_log", "malloc", "main"] {
            let error = refusal(&[all(), vec![name]].concat(), LOG);
            assert!(error.contains(&format!("exports {name}, which is not allowed")), "{error}");
        }
    }

    #[test]
    fn an_export_that_is_missing_is_refused() {
        for missing in all() {
            let others: Vec<&str> = all().into_iter().filter(|name| *name != missing).collect();
            assert_eq!(refusal(&others, LOG), format!("the compiled plugin does not export {missing}"));
        }
    }

    #[test]
    fn an_export_of_another_kind_is_refused() {
        let plain = module(&all(), LOG);
        let mut swapped = Module::from_buffer(&plain).unwrap();
        let function = swapped.exports.get_func("proxy_on_configure").unwrap();
        swapped.exports.remove("memory").unwrap();
        swapped.exports.add("memory", function);
        let error = finish(&swapped.emit_wasm()).unwrap_err().to_string();
        assert_eq!(error, "the compiled plugin exports something else as memory");

        let mut swapped = Module::from_buffer(&plain).unwrap();
        let memory = swapped.get_memory_id().unwrap();
        swapped.exports.remove("proxy_on_configure").unwrap();
        swapped.exports.add("proxy_on_configure", memory);
        let error = finish(&swapped.emit_wasm()).unwrap_err().to_string();
        assert_eq!(error, "the compiled plugin exports something else as proxy_on_configure");
    }

    #[test]
    fn an_import_that_is_not_allowed_is_refused() {
        for (module, name) in
            [("wasi_snapshot_preview1", "fd_write"), ("other", "proxy_log"), ("env", "proxy_http_call")]
        {
            let error = refusal(&all(), (module, name));
            assert!(error.contains(&format!("imports {module}.{name}, which is not allowed")), "{error}");
        }
    }

    #[test]
    fn finishing_twice_changes_nothing() {
        let once = finish(&module(&all(), LOG)).unwrap();
        let twice = finish(&once.bytes).unwrap();
        assert_eq!(once.sha256, twice.sha256);
    }

    #[test]
    fn something_else_is_no_module() {
        assert!(finish(b"hello").unwrap_err().to_string().starts_with("the compiled plugin is not a valid module"));
    }
}
