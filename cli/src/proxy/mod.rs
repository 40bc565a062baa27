//! The proxy that some commands start: its plugin, the issuer beside it, and what it logs.

pub(crate) mod certificates;
pub(crate) mod error;
pub(crate) mod inspection;
pub(crate) mod record;
pub(crate) mod upstream;

use weir_envoy::{Plugin, Result};

/// The plugin that this binary carries, or the one that `WEIR_PLUGIN` names.
pub(crate) fn plugin() -> Result<Plugin> {
    Plugin::chosen(weir_module::WASM)
}
