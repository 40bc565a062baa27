//! The issuer: gives Envoy the certificates for inspecting TLS, signed by a local certificate authority (CA).
//!
//! Envoy requests a certificate by host name (SDS over a Unix socket). The issuer mints a leaf on demand and renews it
//! on the same stream. Envoy keeps the certificates it has, so the issuer may be down for a while: known names keep
//! working, and new ones wait.
//!
//! It must never sign anything but a plain host name, never let a leaf outlive its CA, and never write a private key
//! anywhere but into the CA's own key file and to Envoy.
//!
//! ```no_run
//! use std::path::Path;
//! use weir_issuer::{CertificateAuthority, Issuer, Options};
//!
//! # fn main() -> weir_issuer::Result<()> {
//! let ca = CertificateAuthority::load_or_create(Path::new("/home/me/.local/share/weir/ca"), &Options::default())?;
//! println!("clients have to trust:\n{}", ca.certificate_pem());
//! let issuer = Issuer::start(ca, Path::new("/run/weir/issuer.sock"))?;
//! // ... Envoy runs ...
//! println!("{}", issuer.stats());
//! # Ok(())
//! # }
//! ```

mod ca;
mod cache;
mod error;
mod files;
mod folder;
mod leaf;
mod message;
mod names;
mod sds;
mod serial;
mod settings;
mod socket;
mod stats;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

pub use ca::{CertificateAuthority, Options};
pub use error::{Error, Result};
pub use folder::{CERTIFICATE_FILE, KEY_FILE, default_folder};
pub use leaf::Leaf;
pub use names::{HostName, NameError};
pub use settings::Settings;
pub use stats::Stats;

use sds::Shared;
use socket::Socket;

/// An issuer on its own thread, stopped when this is dropped.
pub struct Issuer {
    shared: Arc<Shared>,
    path: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    server: Option<JoinHandle<()>>,
}

impl Issuer {
    /// Serves certificates of `ca` at a new Unix socket, which only this user can open.
    ///
    /// # Errors
    /// Another process listens there, the path holds something other than a socket, or the system cannot create the
    /// socket or the thread.
    pub fn start(ca: CertificateAuthority, socket: &Path) -> Result<Self> {
        Self::start_with(ca, socket, &Settings::default())
    }

    /// As [`Issuer::start`], with other settings.
    ///
    /// # Errors
    /// As [`Issuer::start`].
    pub fn start_with(ca: CertificateAuthority, socket: &Path, settings: &Settings) -> Result<Self> {
        let failed = |e: io::Error| Error::io("starting the issuer", e);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
        let listener = Socket::bind(socket)?;
        let shared = Arc::new(Shared::new(ca, settings));
        let (stop, stopped) = oneshot::channel::<()>();
        let state = Arc::clone(&shared);
        let server = std::thread::Builder::new()
            .name("weir-issuer".into())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        () = sds::serve(&listener, state) => {}
                        _ = stopped => {}
                    }
                });
            })
            .map_err(failed)?;
        Ok(Self { shared, path: socket.to_owned(), stop: Some(stop), server: Some(server) })
    }

    /// The path it listens at.
    pub fn socket(&self) -> &Path {
        &self.path
    }

    /// Its counters so far.
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(server) = self.server.take() {
            let _ = server.join();
        }
    }
}
