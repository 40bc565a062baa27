//! `weir filter`: writes Envoy's filter files from a policy, for an Envoy that somebody else runs.
//!
//! They carry more than the policy (what the plugin may do, where it is), there is one for each kind of filter, and Envoy
//! applies them only when they are replaced by rename. People edit the policy with whatever editor they have; this writes
//! the files from it. It never writes a policy with a mistake.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use clap::Args;
use weir_envoy::{Configuration, Error, ecds};

use crate::console::exit::Exit;
use crate::console::interrupt::Interrupt;
use crate::console::terminal::{mistake, words};
use crate::document::argument::PolicyArgument;
use crate::document::input::{self, Input};
use crate::document::policy_file::Document;
use crate::follow::{self, Seen, Watched};

const EXAMPLES: &str = "\
Examples:
  weir filter --policy policy.json --output /etc/envoy
  weir filter --policy policy.yaml --output /etc/envoy --follow
  mkdir weir-policy && weir filter --policy policy.json --output weir-policy
  kubectl create configmap weir-policy --from-file=weir-policy --dry-run=client -o yaml | kubectl apply -f -

Writes filter.yaml, the HTTP filter (forward-proxy.yaml, inspecting-proxy.yaml, sidecar.yaml), and filter-tls.yaml, \
the network filter for TLS passthrough (sidecar.yaml). Each is written beside its place and renamed, so Envoy applies \
it immediately, to open connections too. They hold the policy as JSON, whatever format it is written in. A policy \
with a mistake is reported, and the files stay as they are. With --follow every change of the policy is applied, \
however it is saved, until the process is stopped; a policy that cannot be used at first is waited for.

Exit code: 0 written, or stopped by Ctrl-C or SIGTERM; 1 not written; 2 a mistake in the policy or the command line.";

/// How often the file is looked at.
const TICK: Duration = Duration::from_millis(100);

/// Write Envoy's filter files, filter.yaml and filter-tls.yaml, from a policy
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Filter {
    #[command(flatten)]
    policy: PolicyArgument,
    /// Folder to write to, which exists and which Envoy watches
    #[arg(long, short, value_name = "DIR", alias = "out")]
    output: PathBuf,
    /// Path of weir.wasm, as Envoy sees it
    #[arg(long, value_name = "PATH", default_value = "/etc/envoy/weir.wasm")]
    plugin: PathBuf,
    /// Keep running, and write the files again whenever the policy changes
    #[arg(long)]
    follow: bool,
}

impl Filter {
    pub(crate) fn run(&self) -> Exit {
        let ran = if self.follow { self.follow() } else { self.write_once() };
        ran.unwrap_or_else(|exit| exit)
    }

    fn write_once(&self) -> Result<Exit, Exit> {
        let input = input::read(&self.policy.path()?).map_err(|unreadable| {
            mistake(unreadable);
            Exit::Mistake
        })?;
        match follow::apply(None, &input, |document| self.write(document)) {
            Some(document) => follow::note_warnings(&document, &input.name),
            None if input.document().is_err() => return Err(Exit::Mistake),
            None => return Err(Exit::Failure),
        }
        Ok(Exit::Success)
    }

    fn write(&self, document: &Document) -> Result<(), Error> {
        ecds::write_both(&self.output, &self.plugin, &Configuration::Text(document.json().to_owned()))
    }

    /// Applies the policy, and then every change of it. A file that cannot be read yet is waited for.
    fn follow(&self) -> Result<Exit, Exit> {
        let path = self.policy.followed_path()?;
        let first = input::read(&path).ok().map(Input::into_bytes);
        let interrupt = Interrupt::watch().map_err(|error| {
            mistake(format_args!("cannot watch for signals: {error}"));
            Exit::Failure
        })?;
        interrupt.hold();
        let apply = |old: Option<&Document>, content: &[u8]| {
            let input = Input::new(&path, content.to_owned());
            let document = follow::apply(old, &input, |document| self.write(document))?;
            follow::note_warnings(&document, &input.name);
            Some(document)
        };
        let mut document = first.as_deref().and_then(|content| apply(None, content));
        let mut watched = Watched::new(path.clone(), first);
        while !interrupt.came() {
            match watched.look() {
                Seen::Same => {}
                Seen::Changed(content) => document = apply(document.as_ref(), &content).or(document),
                Seen::Gone(error) => follow::note_gone(&path.display().to_string(), &error),
            }
            thread::sleep(TICK);
        }
        words("stopped: the policy is no longer followed");
        Ok(Exit::Success)
    }
}
