//! The Envoy configurations that people copy, and the launcher that starts them.
//!
//! `forward-proxy.yaml` and `filter.yaml` in this folder are the configuration: the CLI, the tests and the benchmarks
//! start those very files, changed by structure only as far as a start needs it (ports, paths, a stand-in).
//!
//! ```no_run
//! use weir_envoy::{Launch, Plugin, StandIn};
//!
//! # fn main() -> weir_envoy::Result<()> {
//! let plugin = Plugin::locate()?;
//! let internet = StandIn::start()?;
//! let mut envoy = Launch::new(plugin.path())
//!     .policy(br#"{"internet_access": "on", "allowlist": {"domains": ["example.com"]}}"#)
//!     .stand_in(internet.address())
//!     .start()?;
//! // ... requests to envoy.address() ...
//! assert_eq!(internet.take_received().len(), 1);
//! envoy.set_policy(*b"{}")?;
//! # Ok(())
//! # }
//! ```

mod admin;
pub mod binary;
pub mod config;
pub mod ecds;
mod error;
mod folder;
pub mod issuer;
mod launch;
mod logs;
pub mod plugin;
mod roots;
mod running;
mod spawn;
pub mod stand_in;
mod wasm;

pub use binary::Binary;
pub use ecds::Configuration;
pub use error::{Error, Result};
pub use folder::Folder;
pub use issuer::{CertificateAuthority, Issuer};
pub use launch::Launch;
pub use logs::{Line, LogLine};

pub use plugin::{Built, Plugin};
pub use roots::system_roots;
pub use running::Running;
pub use stand_in::{Received, StandIn, Transport};
