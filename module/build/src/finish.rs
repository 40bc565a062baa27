//! Makes `weir.wasm` of what the compiler wrote.
//!
//! The SDK exports every callback there is, and Envoy calls each that is exported, once per body chunk too. What
//! `surface.rs` lists is kept, everything else goes, with the code that only it needed, the names and all custom
//! sections. It must never let a module pass that could ask Envoy for more than `surface.rs` lists.
//!
//! The SDK's traits have a default method for every call to Envoy there is, and a vtable keeps each of them in the module
//! although nothing calls it: the plugin makes its calls itself (`filter/src/host.rs`). A trap takes the place of the
//! SDK's own calls, which is how those that are not allowed would end anyway. The plugin's code gets no such grace: where
//! it makes a call that is not allowed, or one by way of the SDK, the build fails.

use std::collections::BTreeSet;
use std::fmt::Write;

use sha2::{Digest, Sha256};
use walrus::ir::{self, Visitor};
use walrus::{ElementItems, ExportItem, FunctionId, FunctionKind, ImportKind, Module, ModuleConfig};

use crate::built::Built;
use crate::error::{Error, Result};
use crate::surface::{CALLBACKS, CALLS};

/// What every module of this ABI exports beside its callbacks.
const ALWAYS: [&str; 4] = ["_initialize", "malloc", "memory", "proxy_abi_version_0_2_1"];

/// Cuts a module down to what `surface.rs` lists.
pub(crate) fn finish(compiled: &[u8]) -> Result<Built> {
    let allowed = allowed();
    let broken = |what: &str, e: &dyn std::fmt::Display| Error::Module(format!("the compiled plugin {what}: {e}"));
    let mut module = config().parse(compiled).map_err(|e| broken("is not a valid module", &e))?;

    publish_own_callbacks(&mut module);
    let superfluous: Vec<_> = module
        .exports
        .iter()
        .filter(|export| !ALWAYS.contains(&export.name.as_str()) && !allowed.contains(&export.name))
        .map(walrus::Export::id)
        .collect();
    for export in superfluous {
        module.exports.delete(export);
    }
    walrus::passes::gc::run(&mut module);
    cut_off_unused_calls(&mut module, &allowed)?;
    walrus::passes::gc::run(&mut module);
    let customs: Vec<_> = module.customs.iter().map(|(id, _)| id).collect();
    for custom in customs {
        module.customs.delete(custom);
    }

    let imports = check_imports(&module, &allowed)?;
    let exports = check_exports(&module)?;
    let bytes = module.emit_wasm();
    // Parsing validates: what is written has to be as valid as what was read.
    config().parse(&bytes).map_err(|e| broken("is not valid any more after cutting it down", &e))?;
    let sha256 = Sha256::digest(&bytes).iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    });
    Ok(Built { bytes, sha256, exports, imports })
}

/// Puts the plugin's own callbacks in the place of the SDK's: in the sources `weir_on_*` stands for `proxy_on_*`, since the
/// SDK has taken that name (`filter/src/stream.rs`).
fn publish_own_callbacks(module: &mut Module) {
    let own: Vec<_> = module
        .exports
        .iter()
        .filter_map(|export| Some((export.id(), format!("proxy_on_{}", export.name.strip_prefix("weir_on_")?))))
        .collect();
    for (id, name) in own {
        // The SDK's; an export that is missing is no mistake here.
        let _ = module.exports.remove(&name);
        module.exports.get_mut(id).name = name;
    }
}

fn config() -> ModuleConfig {
    let mut config = ModuleConfig::new();
    config.generate_name_section(false).generate_producers_section(false).strict_validate(true);
    config
}

/// The names that may be exported or imported.
fn allowed() -> BTreeSet<String> {
    CALLBACKS.iter().chain(CALLS).map(|name| (*name).to_owned()).collect()
}

/// Replaces the SDK's functions that call Envoy: all of its module `hostcalls`, what makes a call that is not allowed
/// after inlining, and the default methods that come down to one of them.
fn cut_off_unused_calls(module: &mut Module, allowed: &BTreeSet<String>) -> Result<()> {
    let refused: BTreeSet<FunctionId> = module
        .imports
        .iter()
        .filter(|import| import.module == "env" && !allowed.contains(&import.name))
        .filter_map(|import| match import.kind {
            ImportKind::Function(id) => Some(id),
            _ => None,
        })
        .collect();
    let in_a_table = module.elements.iter().any(|element| match &element.items {
        ElementItems::Functions(ids) => ids.iter().any(|id| refused.contains(id)),
        ElementItems::Expressions(..) => true,
    });
    if in_a_table {
        return Err(Error::Module("the compiled plugin takes the address of a call that is not allowed".into()));
    }
    let mut callers = callers_of(module, &refused);
    let wrappers =
        module.funcs.iter_local().filter(|(id, _)| module.funcs.get(*id).name.as_deref().is_some_and(is_wrapper));
    callers.extend(wrappers.map(|(id, _)| id));
    // A default method only unwraps what its call returns: where the call traps, the method is a trap too.
    let is_default = |id: &FunctionId| module.funcs.get(*id).name.as_deref().is_some_and(is_default_method);
    callers.extend(callers_of(module, &callers).into_iter().filter(is_default));
    // The method's own callers have to be the SDK as well: what our code calls is no unused default.
    for id in callers.union(&callers_of(module, &callers)) {
        let name = module.funcs.get(*id).name.as_deref().unwrap_or("a function without a name");
        if !is_sdk(name) {
            return Err(Error::Module(format!(
                "the compiled plugin makes a call that is not allowed (module/build/src/surface.rs), in {name}"
            )));
        }
    }
    for id in callers {
        if let FunctionKind::Local(function) = &mut module.funcs.get_mut(id).kind {
            let entry = function.entry_block();
            let mut body = function.builder_mut().instr_seq(entry);
            body.instrs_mut().clear();
            body.unreachable();
        }
    }
    Ok(())
}

/// Whether a mangled name is of the SDK's module `hostcalls`.
fn is_wrapper(name: &str) -> bool {
    name.starts_with("_ZN10proxy_wasm9hostcalls")
        || (name.starts_with("_R") && name.contains("_10proxy_wasm9hostcalls"))
}

/// Whether a mangled name is of a method that the SDK's traits give to whoever implements them.
fn is_default_method(name: &str) -> bool {
    name.starts_with("_ZN10proxy_wasm6traits") || (name.starts_with("_RNvY") && name.contains("_10proxy_wasm6traits"))
}

/// Whether a mangled name is of the crate `proxy_wasm`, in either of rustc's manglings.
fn is_sdk(name: &str) -> bool {
    name.starts_with("_ZN10proxy_wasm") || (name.starts_with("_R") && name.contains("_10proxy_wasm"))
}

fn callers_of(module: &Module, called: &BTreeSet<FunctionId>) -> BTreeSet<FunctionId> {
    struct Finder<'c> {
        called: &'c BTreeSet<FunctionId>,
        found: bool,
    }
    impl Visitor<'_> for Finder<'_> {
        fn visit_function_id(&mut self, id: &FunctionId) {
            self.found |= self.called.contains(id);
        }
    }
    let calls = |function: &walrus::LocalFunction| {
        let mut finder = Finder { called, found: false };
        ir::dfs_in_order(&mut finder, function, function.entry_block());
        finder.found
    };
    module.funcs.iter_local().filter(|(_, function)| calls(function)).map(|(id, _)| id).collect()
}

fn check_imports(module: &Module, allowed: &BTreeSet<String>) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for import in module.imports.iter() {
        if import.module != "env" || !allowed.contains(&import.name) {
            return Err(Error::Module(format!(
                "the compiled plugin imports {}.{}, which is not allowed (module/build/src/surface.rs)",
                import.module, import.name
            )));
        }
        names.push(import.name.clone());
    }
    names.sort();
    Ok(names)
}

fn check_exports(module: &Module) -> Result<Vec<String>> {
    let mut names: Vec<String> = module.exports.iter().map(|export| export.name.clone()).collect();
    names.sort();
    // Without the last two Envoy would ask nobody, and let everything through.
    let wanted = ["malloc", "memory", "proxy_abi_version_0_2_1", "proxy_on_configure"];
    for wanted in wanted.into_iter().chain(["proxy_on_new_connection", "proxy_on_request_headers"]) {
        if !names.iter().any(|name| name == wanted) {
            return Err(Error::Module(format!("the compiled plugin does not export {wanted}")));
        }
    }
    if module.exports.iter().any(|export| export.name == "memory" && !matches!(export.item, ExportItem::Memory(_))) {
        return Err(Error::Module("the compiled plugin exports something as memory that is none".into()));
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The smallest module with these exports and one import.
    fn module(exports: &[&str], import: (&str, &str)) -> Vec<u8> {
        let mut module = Module::with_config(config());
        let memory = module.memories.add_local(false, false, 1, None, None);
        let ty = module.types.add(&[], &[]);
        let (imported, _) = module.add_import_func(import.0, import.1, ty);
        let function = |module: &mut Module, calls: bool| {
            let mut builder = walrus::FunctionBuilder::new(&mut module.types, &[], &[]);
            if calls {
                builder.func_body().call(imported);
            }
            builder.finish(vec![], &mut module.funcs)
        };
        for name in exports {
            if *name == "memory" {
                module.exports.add(name, memory);
            } else {
                let id = function(&mut module, *name == "proxy_on_configure" || *name == "proxy_on_response_body");
                module.exports.add(name, id);
            }
        }
        module.customs.add(walrus::RawCustomSection { name: "producers2".into(), data: b"/home/me".to_vec() });
        module.emit_wasm()
    }

    const NEEDED: [&str; 6] = [
        "memory",
        "malloc",
        "proxy_abi_version_0_2_1",
        "proxy_on_configure",
        "proxy_on_new_connection",
        "proxy_on_request_headers",
    ];

    #[test]
    fn what_is_not_allowed_goes() {
        let mut exports = NEEDED.to_vec();
        exports.extend(["proxy_on_response_body", "proxy_on_log", "proxy_on_delete"]);
        let finished = finish(&module(&exports, ("env", "proxy_log"))).unwrap();
        assert_eq!(
            finished.exports,
            [
                "malloc",
                "memory",
                "proxy_abi_version_0_2_1",
                "proxy_on_configure",
                "proxy_on_delete",
                "proxy_on_new_connection",
                "proxy_on_request_headers"
            ]
        );
        assert_eq!(finished.imports, ["proxy_log"]);
        assert_eq!(finished.sha256.len(), 64);
        assert!(!finished.bytes.windows(8).any(|w| w == b"/home/me"));
    }

    #[test]
    fn an_import_that_is_not_allowed_is_refused() {
        for import in [("wasi_snapshot_preview1", "fd_write"), ("other", "proxy_log")] {
            let error = finish(&module(&NEEDED, import)).unwrap_err().to_string();
            assert!(error.contains(&format!("imports {}.{}", import.0, import.1)), "{error}");
        }
        let error = finish(&module(&NEEDED, ("env", "proxy_http_call"))).unwrap_err().to_string();
        assert!(error.contains("makes a call that is not allowed"), "{error}");
    }

    #[test]
    fn the_sdks_unused_defaults_are_cut_off() {
        let plain = module(&NEEDED, ("env", "proxy_http_call"));
        let named = |name: &str| {
            let mut module = config().parse(&plain).unwrap();
            let id = module.exports.get_func("proxy_on_configure").unwrap();
            module.funcs.get_mut(id).name = Some(name.into());
            cut_off_unused_calls(&mut module, &BTreeSet::new()).map(|()| {
                walrus::passes::gc::run(&mut module);
                module.imports.iter().count()
            })
        };
        assert_eq!(named("_ZN10proxy_wasm6traits11HttpContext18reset_http_request17h0E").unwrap(), 0);
        assert_eq!(named("_RNvCs1234_10proxy_wasm9hostcalls").unwrap(), 0);
        assert!(named("_ZN11weir_filter4root17h0E").is_err());
        assert!(named("_RNvCs1234_11weir_filter4root").is_err());
    }

    #[test]
    fn a_default_method_is_cut_off_with_its_call() {
        let is_trap = |name: &str| {
            let mut module = config().parse(&module(&NEEDED, ("env", "proxy_http_call"))).unwrap();
            let wrapper = module.exports.get_func("proxy_on_configure").unwrap();
            module.funcs.get_mut(wrapper).name = Some("_ZN10proxy_wasm9hostcalls18dispatch_http_call17h0E".into());
            let mut caller = walrus::FunctionBuilder::new(&mut module.types, &[], &[]);
            caller.name(name.into()).func_body().call(wrapper);
            let caller = caller.finish(vec![], &mut module.funcs);
            cut_off_unused_calls(&mut module, &BTreeSet::new()).unwrap();
            let FunctionKind::Local(caller) = &module.funcs.get(caller).kind else { panic!("an import") };
            matches!(caller.block(caller.entry_block()).instrs.as_slice(), [(ir::Instr::Unreachable(_), _)])
        };
        assert!(is_trap("_ZN10proxy_wasm6traits7Context18dispatch_http_call17h0E"));
        assert!(is_trap("_RNvYNtCs1_11weir_filter4RootNtNtCs2_10proxy_wasm6traits7Context18dispatch_http_call"));
        assert!(!is_trap("_ZN10proxy_wasm10dispatcher10Dispatcher21on_http_call_response17h0E"));
    }

    #[test]
    fn a_callback_that_is_missing_is_refused() {
        for missing in ["proxy_on_new_connection", "proxy_on_request_headers"] {
            let others: Vec<&str> = NEEDED.into_iter().filter(|name| *name != missing).collect();
            let error = finish(&module(&others, ("env", "proxy_log"))).unwrap_err().to_string();
            assert_eq!(error, format!("the compiled plugin does not export {missing}"));
        }
    }

    #[test]
    fn the_plugins_own_callback_takes_the_place_of_the_sdks() {
        let mut exports = NEEDED.to_vec();
        exports.push("weir_on_new_connection");
        let plain = module(&exports, ("env", "proxy_log"));
        let own = config().parse(&plain).unwrap().exports.get_func("weir_on_new_connection").unwrap();
        let mut published = config().parse(&plain).unwrap();
        publish_own_callbacks(&mut published);
        assert_eq!(published.exports.get_func("proxy_on_new_connection").unwrap().index(), own.index());
        assert_eq!(published.exports.iter().filter(|export| export.name.contains("_on_new_")).count(), 1);
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
