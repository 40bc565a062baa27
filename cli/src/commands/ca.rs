//! `weir ca`: the certificate authority of TLS inspection, made and handed out.
//!
//! The private key is never printed, and never replaced unasked.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use weir_issuer::{CERTIFICATE_FILE, CertificateAuthority, KEY_FILE, Options};

use crate::console::exit::Exit;
use crate::console::terminal::{FAINT, GOOD, STRONG, WARNING, data, mistake, paint, words};
use crate::proxy::certificates::{failed, folder};

const EXAMPLES: &str = "\
Examples:
  weir ca init                                          make one, for all names
  weir ca init --name-constraint github.com --name-constraint pypi.org
                                                        clients will believe it for these alone
  weir ca export > weir-ca.pem                          what clients have to trust
  weir ca export --bundle > bundle.pem                  the system's roots and ours, for SSL_CERT_FILE and the like

The files are ca.pem (for everybody) and ca-key.pem (for you alone) in $XDG_DATA_HOME/weir/ca, or else
~/.local/share/weir/ca. Whoever has the key can impersonate every site to clients that trust ca.pem.

Exit code: 0 done, 1 not done, 2 a mistake in the command line.";

/// Make the certificate authority that TLS inspection needs, and print what clients have to trust
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Ca {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(Init),
    Export(Export),
}

/// Make a certificate authority
#[derive(Debug, Args)]
struct Init {
    /// Folder to make it in
    #[arg(long, value_name = "DIR", alias = "dir")]
    ca: Option<PathBuf>,
    /// Domain that it is for, with all below it; can be repeated. Without one it is for all names
    #[arg(long, value_name = "DOMAIN")]
    name_constraint: Vec<String>,
    /// Days it is valid
    #[arg(long, value_name = "N", default_value_t = Options::default().days, value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: u16,
    /// Replace one that is there: every client has to trust the new one
    #[arg(long)]
    force: bool,
    /// Print what was made as JSON
    #[arg(long)]
    json: bool,
}

/// Print the certificate that clients have to trust (PEM)
#[derive(Debug, Args)]
struct Export {
    /// Folder of the authority
    #[arg(long, value_name = "DIR", alias = "dir")]
    ca: Option<PathBuf>,
    /// Print the system's roots too (from `SSL_CERT_FILE` or the usual places)
    #[arg(long)]
    bundle: bool,
}

impl Ca {
    pub(crate) fn run(&self) -> Exit {
        match &self.command {
            Command::Init(init) => init.run(),
            Command::Export(export) => export.run(),
        }
    }
}

impl Init {
    fn run(&self) -> Exit {
        let Some(folder) = folder(self.ca.as_deref()) else { return Exit::Mistake };
        if let Some(constraints) = self.lost_constraints(&folder) {
            mistake(format_args!(
                "the authority in {} is for {constraints} alone, and the new one would be for all names: say \
                 --name-constraint again, or remove the folder first",
                folder.display()
            ));
            return Exit::Mistake;
        }
        let options = Options { name_constraints: self.name_constraint.clone(), days: self.days, force: self.force };
        match CertificateAuthority::create(&folder, &options) {
            Ok(authority) => self.tell(&folder, &authority),
            Err(error) => return failed(&error),
        }
        Exit::Success
    }

    /// The domains of the authority that is to be replaced, where the new one is to have none.
    fn lost_constraints(&self, folder: &Path) -> Option<String> {
        if !self.force || !self.name_constraint.is_empty() {
            return None;
        }
        let authority = CertificateAuthority::load(folder).ok()?;
        let constraints = authority.name_constraints().join(", ");
        (!constraints.is_empty()).then_some(constraints)
    }

    fn tell(&self, folder: &Path, authority: &CertificateAuthority) {
        let (certificate, key) = (folder.join(CERTIFICATE_FILE), folder.join(KEY_FILE));
        if self.json {
            data(json!({
                "certificate": certificate,
                "key": key,
                "sha256": authority.fingerprint(),
                "expires": authority.expires(),
                "name_constraints": authority.name_constraints(),
            }));
            return;
        }
        let line = |name: &str, text: &str| words(format_args!("  {} {text}", paint(FAINT, format_args!("{name:8}"))));
        words(format_args!("{} {}", paint(GOOD, "a new authority:"), certificate.display()));
        line("sha256", authority.fingerprint());
        line("expires", &authority.expires());
        let domains = authority.name_constraints();
        line("names", &if domains.is_empty() { "all".to_owned() } else { domains.join(", ") });
        words(format_args!(
            "{} {} impersonates every such site to whoever trusts this authority: it stays on this machine",
            paint(WARNING, "note:"),
            key.display()
        ));
        let ca = self.ca.as_ref().map(|ca| format!(" --ca {}", ca.display())).unwrap_or_default();
        words(paint(STRONG, format_args!("  weir ca export{ca} > weir-ca.pem")));
        words("  is what the sandboxes have to trust; docs/issuer.md says how");
    }
}

impl Export {
    fn run(&self) -> Exit {
        let Some(folder) = folder(self.ca.as_deref()) else { return Exit::Mistake };
        let authority = match CertificateAuthority::load(&folder) {
            Ok(authority) => authority,
            Err(error) => return failed(&error),
        };
        if self.bundle {
            let Some(path) = weir_envoy::system_roots() else {
                mistake("this machine's roots are in none of the usual places: name their file with SSL_CERT_FILE");
                return Exit::Failure;
            };
            match fs::read_to_string(&path) {
                Ok(roots) => data(roots.trim_end()),
                Err(error) => {
                    mistake(format_args!("reading {}: {error}", path.display()));
                    return Exit::Failure;
                }
            }
        }
        data(authority.certificate_pem().trim_end());
        Exit::Success
    }
}
