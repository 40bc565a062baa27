//! The Envoy configurations that people copy, and the launcher that starts them.
//!
//! The YAML files in this folder are the configuration: the CLI, the tests and the benchmarks start those very files
//! and change their parsed structure only as far as a launch needs (ports, paths, a stand-in).
//!
//! ```no_run
//! use std::path::Path;
//! use weir_envoy::{Launch, Plugin};
//!
//! # fn main() -> weir_envoy::Result<()> {
//! let mut envoy = Launch::new(Plugin::at(Path::new("/etc/envoy/weir.wasm"))?)
//!     .policy(br#"{"internet_access": "on", "allowlist": {"domains": ["example.com"]}}"#)
//!     .start()?;
//! // ... requests to envoy.address() ...
//! envoy.set_policy(*b"{}")?;
//! # Ok(())
//! # }
//! ```

mod admin;
mod binary;
pub mod config;
pub mod ecds;
mod error;
mod fetch;
mod files;
mod folder;
mod launch;
mod logs;
mod plugin;
pub mod release;
mod roots;
mod running;
mod search;
pub mod shipped;
mod spawn;

pub use binary::Binary;
pub use ecds::Configuration;
pub use error::{Error, Result};
pub use files::replace;
pub use folder::Folder;
pub use launch::Launch;
pub use logs::{Line, LogLine};
pub use plugin::Plugin;
pub use roots::system_roots;
pub use running::Running;
