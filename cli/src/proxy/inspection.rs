//! What an Envoy that inspects TLS needs beside it: the issuer of its certificates, in this process.

use std::path::{Path, PathBuf};

use weir_envoy::{Folder, Launch};
use weir_issuer::{CertificateAuthority, Issuer, Options};

use super::error::Error;

/// An issuer that runs, and its socket in a private folder. It ends after Envoy, which asks it to the end.
pub(crate) struct Inspection {
    certificate: String,
    secret: PathBuf,
    _issuer: Issuer,
    folder: Folder,
}

impl Inspection {
    /// With a CA made for this run alone; its key is in the memory of this process and nowhere else.
    pub(crate) fn for_this_run() -> Result<Inspection, Error> {
        Inspection::start(CertificateAuthority::in_memory(&Options::default())?)
    }

    /// With the CA in `folder`, made there on first use.
    pub(crate) fn of(folder: &Path) -> Result<Inspection, Error> {
        Inspection::start(CertificateAuthority::load_or_create(folder, &Options::default())?)
    }

    fn start(ca: CertificateAuthority) -> Result<Inspection, Error> {
        let folder = Folder::new(None)?;
        let secret = folder.path().join("issuer");
        std::fs::create_dir(&secret).map_err(Error::files("making a folder"))?;
        let certificate = ca.certificate_pem().to_owned();
        let issuer = Issuer::start(ca, &secret.join("issuer.sock"))?;
        Ok(Inspection { certificate, secret, _issuer: issuer, folder })
    }

    /// A launch that is given certificates by this issuer.
    pub(crate) fn of_launch(&self, launch: Launch) -> Launch {
        launch.inspect(self.secret.join("issuer.sock"))
    }

    /// What clients have to trust (PEM).
    pub(crate) fn certificate_pem(&self) -> &str {
        &self.certificate
    }

    /// The private folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The part of it that only Envoy may see: the socket by which Envoy is given certificates and their keys.
    pub(crate) fn secret(&self) -> &Path {
        &self.secret
    }
}
