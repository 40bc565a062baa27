//! `weir ca`: creates the CA of TLS inspection and prints its certificate.
//!
//! The private key is never printed, and never replaced unasked.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;
use weir_issuer::{CERTIFICATE_FILE, CertificateAuthority, KEY_FILE, Options};

use crate::console::exit::Exit;
use crate::console::output;
use crate::console::terminal::{FAINT, GOOD, STRONG, WARNING, data, mistake, paint, words};
use crate::proxy::certificates::{failed, folder};

const EXAMPLES: &str = "\
Examples:
  weir ca init                                          create a CA for all names
  weir ca init --name-constraint github.com --name-constraint pypi.org
                                                        clients will accept it for these names only
  weir ca export > weir-ca.pem                          the certificate that clients have to trust
  weir ca export --bundle > bundle.pem                  with the system's CA certificates, for SSL_CERT_FILE

The files are ca.pem (public) and ca-key.pem (private) in $XDG_DATA_HOME/weir/ca, or else ~/.local/share/weir/ca. \
Anyone with the key can impersonate every site to clients that trust ca.pem.

Exit code: 0 done, 1 not done, 2 a mistake in the command line.";

const INIT: &str = "\
Examples:
  weir ca init
  weir ca init --ca /var/lib/weir/ca --days 30 --name-constraint github.com

Exit code: 0 created; 1 not created, for example because there is a CA already; 2 a mistake in the command line.";

const EXPORT: &str = "\
Examples:
  weir ca export > weir-ca.pem
  weir ca export --bundle --output bundle.pem

Exit code: 0 written; 1 not written, for example because there is no CA; 2 a mistake in the command line.";

/// Create the CA that TLS inspection needs, and print the certificate that clients have to trust
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

/// Create a CA
#[derive(Debug, Args)]
#[command(after_help = INIT)]
struct Init {
    /// Folder to create it in [default: see `weir ca --help`]
    #[arg(long, value_name = "DIR", alias = "dir")]
    ca: Option<PathBuf>,
    /// Domain it is valid for, with subdomains; can be repeated [default: all names]
    #[arg(long, value_name = "DOMAIN")]
    name_constraint: Vec<String>,
    /// How long it is valid, in days
    #[arg(long, value_name = "N", default_value_t = Options::default().days, value_parser = clap::value_parser!(u16).range(1..=3650))]
    days: u16,
    /// Replace an existing CA: every client has to trust the new one
    #[arg(long)]
    force: bool,
    /// Print what was created as JSON
    #[arg(long)]
    json: bool,
}

/// Print the certificate that clients have to trust (PEM)
#[derive(Debug, Args)]
#[command(after_help = EXPORT)]
struct Export {
    /// Folder of the CA [default: see `weir ca --help`]
    #[arg(long, value_name = "DIR", alias = "dir")]
    ca: Option<PathBuf>,
    /// Add the system's CA certificates (from `SSL_CERT_FILE` or the usual places)
    #[arg(long)]
    bundle: bool,
    /// File to write [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
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
                "the CA in {} is valid for {constraints} only, and the new one would be valid for all names: repeat \
                 --name-constraint, or remove the folder first",
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

    /// The domains of the CA that is to be replaced, where the new one is to have none.
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
        words(format_args!("{} {}", paint(GOOD, "CA created:"), certificate.display()));
        line("sha256", authority.fingerprint());
        line("expires", &authority.expires());
        let domains = authority.name_constraints();
        line("names", &if domains.is_empty() { "all".to_owned() } else { domains.join(", ") });
        words(format_args!(
            "{} anyone with {} can impersonate these sites to clients that trust this CA: keep it on this machine",
            paint(WARNING, "note:"),
            key.display()
        ));
        let ca = self.ca.as_ref().map(|ca| format!(" --ca {}", ca.display())).unwrap_or_default();
        words(paint(STRONG, format_args!("  weir ca export{ca} > weir-ca.pem")));
        words("  writes the certificate that the sandboxes have to trust; docs/issuer.md says how");
    }
}

impl Export {
    fn run(&self) -> Exit {
        let Some(folder) = folder(self.ca.as_deref()) else { return Exit::Mistake };
        let authority = match CertificateAuthority::load(&folder) {
            Ok(authority) => authority,
            Err(error) => return failed(&error),
        };
        let mut text = String::new();
        if self.bundle {
            let Some(path) = weir_envoy::system_roots() else {
                mistake("this system's CA certificates are at none of the usual places; name them with SSL_CERT_FILE");
                return Exit::Failure;
            };
            match fs::read_to_string(&path) {
                Ok(roots) => text = format!("{}\n", roots.trim_end()),
                Err(error) => {
                    mistake(format_args!("cannot read {}: {error}", path.display()));
                    return Exit::Failure;
                }
            }
        }
        text.push_str(authority.certificate_pem().trim_end());
        text.push('\n');
        output::write(self.output.as_deref(), text.as_bytes())
    }
}
