//! What `weir -V` and `weir --version` print: which sources this binary was built from, and which plugin is inside.
//!
//! It must name what can be checked by building again, and nothing of the machine that built it.

use std::sync::LazyLock;

use weir_envoy::release::{DEFAULT, OLDEST};

/// One line, after the name.
pub(crate) fn short() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let plugin = weir_module::SHA256.get(..12).unwrap_or(weir_module::SHA256);
        let (version, commit) = (env!("CARGO_PKG_VERSION"), env!("WEIR_COMMIT_SHORT"));
        format!("{version} ({commit}, plugin sha256:{plugin})")
    });
    &TEXT
}

/// That line, and the whole of what it shortens.
pub(crate) fn long() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let (short, commit, plugin, size) =
            (short(), env!("WEIR_COMMIT_LONG"), weir_module::SHA256, weir_module::WASM.len());
        format!(
            "{short}\n\
             commit   {commit}\n\
             plugin   sha256:{plugin}, {size} bytes\n\
             envoy    made for {DEFAULT}, runs on {OLDEST} or later"
        )
    });
    &TEXT
}
