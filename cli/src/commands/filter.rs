//! `weir filter`: the files from which an Envoy that somebody else runs reads the plugin, made of a policy.
//!
//! They carry more than the policy (what the plugin may do, where it is), there is one for each face of the plugin, and Envoy
//! takes them up when they are replaced by rename alone. People edit `policy.json` with whatever editor they have; this makes
//! the ones of the other. It never writes a policy with a mistake.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use clap::Args;
use weir_envoy::{Configuration, Error, ecds};

use crate::console::exit::Exit;
use crate::console::interrupt::Interrupt;
use crate::console::terminal::{mistake, words};
use crate::document::input;
use crate::document::policy_file::Document;
use crate::follow::{self, Seen, Watched};

const EXAMPLES: &str = "\
Examples:
  weir filter --policy policy.json --output /etc/envoy
  weir filter --policy policy.json --output /etc/envoy --follow
  weir filter --policy policy.json --output weir-policy
  kubectl create configmap weir-policy --from-file=weir-policy --dry-run=client -o yaml | kubectl apply -f -

Written are filter.yaml, for HTTP (forward-proxy.yaml, inspecting-proxy.yaml, sidecar.yaml), and filter-tls.yaml, for
TLS that nobody opens (sidecar.yaml): each beside its place, and then renamed. Envoy applies them at once, for open
connections too. A policy with a mistake is printed with its mistakes, and the files stay as they are. With --follow
every change of the policy's file is taken up, however it is saved, until the process is stopped; one that cannot be
used at first is waited for.

Exit code: 0 written, or stopped by Ctrl-C or SIGTERM; 1 not written; 2 a mistake in the policy.";

/// How often the file is looked at.
const TICK: Duration = Duration::from_millis(100);

/// Write a policy as the files that Envoy reads, filter.yaml and filter-tls.yaml, and follow changes of its file
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Filter {
    /// Policy document (JSON)
    #[arg(long, short, value_name = "FILE")]
    policy: PathBuf,
    /// Folder to write to, where Envoy watches the files
    #[arg(long, short, value_name = "DIR", alias = "out")]
    output: PathBuf,
    /// Where Envoy finds weir.wasm
    #[arg(long, value_name = "PATH", default_value = "/etc/envoy/weir.wasm")]
    plugin: PathBuf,
    /// Go on, and write it again whenever the policy changes
    #[arg(long)]
    follow: bool,
}

impl Filter {
    pub(crate) fn run(&self) -> Exit {
        if self.follow && self.policy == Path::new("-") {
            mistake("the policy is read again when it changes: name a file, not standard input");
            return Exit::Mistake;
        }
        let input = input::read(&self.policy);
        if self.follow {
            return self.follow(input.ok().map(|input| input.bytes));
        }
        let input = match input {
            Ok(input) => input,
            Err(unreadable) => {
                mistake(unreadable);
                return Exit::Mistake;
            }
        };
        match follow::take_up(None, &input.bytes, &input.name, || self.write(&input.bytes)) {
            Some(document) => {
                follow::note_warnings(&document, &input.name);
                Exit::Success
            }
            None if Document::read(&input.bytes).is_err() => Exit::Mistake,
            None => Exit::Failure,
        }
    }

    fn write(&self, policy: &[u8]) -> Result<(), Error> {
        ecds::write_both(&self.output, &self.plugin, &Configuration::Text(policy.to_owned()))
    }

    /// Takes up `first`, and then every change. Without one the file cannot be read yet.
    fn follow(&self, first: Option<Vec<u8>>) -> Exit {
        let interrupt = match Interrupt::watch() {
            Ok(interrupt) => interrupt,
            Err(error) => {
                mistake(format_args!("cannot watch for signals: {error}"));
                return Exit::Failure;
            }
        };
        interrupt.hold();
        let name = self.policy.display().to_string();
        let take_up = |old: Option<&Document>, content: &[u8]| {
            let document = follow::take_up(old, content, &name, || self.write(content))?;
            follow::note_warnings(&document, &name);
            Some(document)
        };
        let mut document = first.as_deref().and_then(|content| take_up(None, content));
        let mut watched = Watched::new(self.policy.clone(), first);
        while !interrupt.came() {
            match watched.look() {
                Seen::Same => {}
                Seen::Changed(content) => document = take_up(document.as_ref(), &content).or(document),
                Seen::Gone(error) => follow::note_gone(&name, &error),
            }
            thread::sleep(TICK);
        }
        words("the policy is no longer followed");
        Exit::Success
    }
}
