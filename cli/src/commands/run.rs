//! `weir run`: runs one command under a policy.
//!
//! It starts a proxy for this command alone and points the command to it by variables; with `--isolate` the command has
//! no other way out. The policy is applied as it is written: nothing here widens it, and where Weir cannot keep what was
//! asked for, it starts nothing.

mod bundle;
mod child;
mod environment;
mod isolate;
mod java;
mod job_control;
mod proxy;
mod setup;
mod suggestion;
mod summary;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use clap::Args;
use ipnet::IpNet;
use weir_policy::Tls;

use crate::console::exit::Exit;
use crate::console::interrupt::Interrupt;
use crate::console::table::Table;
use crate::console::terminal::{BAD, FAINT, STRONG, WARNING, count, data, mistake, paint, words};
use crate::document::argument::{self, PolicyArgument};
use crate::document::policy_file::Document;
use crate::document::warnings;
use crate::proxy::error::Error;
use crate::proxy::upstream::network;
use anstyle::Style;
use child::{Child, Ended, Signals};
pub(crate) use isolate::{Isolated, run as isolated};
use proxy::{Parts, Proxy};
use summary::Tally;

const EXAMPLES: &str = "\
Examples:
  weir run --policy policy.jsonc --isolate -- claude
  weir run --policy policy.json --setup 'npm ci' -- npm test
  weir run --policy policy.yaml --isolate -- sh -c 'curl https://pypi.org/simple/'
  WEIR_POLICY=policy.json weir run -- cargo test
  weir run --print-environment

Starts a temporary Envoy, sets the proxy variables, and cleans up on exit. Under a policy with \"tls\": \"inspected\" it \
also creates a CA for this run and makes the command trust it; variables that say otherwise are overridden. Ctrl-C and \
Ctrl-Z reach the command as they would in a shell.

Exit code: the command's own, or 128 and the signal's number if a signal ended it; 126 it cannot be executed; 127 it \
is not there; 1 Envoy did not start or ended early, --isolate is not possible here, or a process of the setup is left; \
2 a mistake in the policy or the command line. A setup that fails ends the run with its code.";

/// Run a command under a policy: a temporary proxy, its variables, and a summary at the end
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Run {
    #[command(flatten)]
    policy: PolicyArgument,
    /// Shell command to run first, with full internet access; nothing of it outlives it
    #[arg(long, value_name = "COMMAND")]
    setup: Option<OsString>,
    /// Leave the command no way out but the proxy (Linux, as root or with user namespaces)
    #[arg(long)]
    isolate: bool,
    /// Private network or address that may be reached nevertheless; can be repeated
    #[arg(long, value_name = "CIDR", value_parser = network)]
    allow_upstream: Vec<IpNet>,
    /// CA certificates (PEM) that origins are checked against [default: the system's]
    #[arg(long, value_name = "FILE")]
    roots: Option<PathBuf>,
    /// Print no summary
    #[arg(long)]
    no_summary: bool,
    /// Write the summary to this file as JSON
    #[arg(long, value_name = "FILE")]
    summary_json: Option<PathBuf>,
    /// Print the variables that the command gets and who reads them, and exit
    #[arg(long)]
    print_environment: bool,
    /// The command and its arguments, after --
    #[arg(last = true, required_unless_present = "print_environment", value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// Why a run ended before its time, reported already.
struct Told(Exit);

impl Run {
    pub(crate) fn run(&self) -> Exit {
        if self.print_environment {
            print_environment();
            return Exit::Success;
        }
        self.begin().unwrap_or_else(|Told(exit)| exit)
    }

    fn begin(&self) -> Result<Exit, Told> {
        let failed = |what: &str| {
            let what = what.to_owned();
            move |error: io::Error| {
                mistake(format_args!("{what}: {error}"));
                Told(Exit::Failure)
            }
        };
        let path = self.policy.path().map_err(Told)?;
        let document = read_policy(&path)?;
        // Before anything runs: a summary that cannot be written should not be known at the end.
        let summary_file = self.summary_json.as_ref().map(|path| {
            File::create(path).map_err(|error| {
                mistake(format_args!("cannot write {}: {error}", path.display()));
                Told(Exit::Mistake)
            })
        });
        let summary_file = summary_file.transpose()?;
        let interrupt = Interrupt::watch().map_err(failed("cannot watch for signals"))?;
        let signals = Signals::watch().map_err(failed("cannot watch for signals"))?;
        if self.setup.is_some() {
            setup::adopt(false).map_err(failed("no setup"))?;
        }
        let parts = Parts::find(&self.allow_upstream, self.roots.clone()).map_err(|error| told(&error))?;
        note_what_tunnels_hide(&document, &path);
        let mut session = Session { parts, isolate: self.isolate, signals, interrupt };
        if let Some(setup) = &self.setup {
            session.set_up(setup, self.no_summary)?;
        }
        let tally = Arc::new(Tally::default());
        let tls = if document.policy.inspects() { Tls::Inspected } else { Tls::Passthrough };
        let (ended, proxy_died) = session.command(&self.command, document.json(), tls, &tally)?;
        let counts = tally.counts();
        if !self.no_summary {
            counts.print(&document);
        }
        let mut exit = ended.code();
        if let Some(mut file) = summary_file
            && let Err(error) = writeln!(file, "{:#}", counts.object(&document))
        {
            mistake(format_args!("cannot write the summary: {error}"));
            exit = exit.max(1);
        }
        if proxy_died {
            exit = exit.max(1);
        }
        Ok(Exit::Command(exit))
    }
}

fn read_policy(path: &Path) -> Result<Document, Told> {
    if path == Path::new("-") {
        mistake("standard input belongs to the command; name the policy's file: --policy FILE");
        return Err(Told(Exit::Mistake));
    }
    argument::read(path).map(|(_, document)| document).map_err(Told)
}

/// Repeats what `weir check` says of methods in tunnels that are not inspected: the policy stays as it is written.
fn note_what_tunnels_hide(document: &Document, path: &Path) {
    let hidden: Vec<_> = warnings::warnings(document).into_iter().filter(|it| it.code == "https-refused").collect();
    for warning in &hidden {
        words(format_args!("{} {}: {}", paint(WARNING, "weir: note:"), path.display(), warning.message));
    }
    if !hidden.is_empty() {
        words("  to inspect tunnels, write \"tls\": \"inspected\" into the policy");
    }
}

fn print_environment() {
    let mut table = Table::new(&["variable", "value", "read by"]);
    for [name, value, read_by] in environment::table() {
        table.row(vec![(STRONG, name.into()), (Style::new(), value.into()), (FAINT, read_by.into())]);
    }
    data(table.render());
}

/// What a run works with.
struct Session {
    parts: Parts,
    isolate: bool,
    signals: Signals,
    interrupt: Interrupt,
}

impl Session {
    /// Runs the setup, and ends everything of it.
    fn set_up(&mut self, setup: &OsString, quiet: bool) -> Result<(), Told> {
        let failed = |error: io::Error| {
            mistake(format_args!("a process of the setup could not be ended, so the command is not started: {error}"));
            Told(Exit::Failure)
        };
        let unreadable = |error: io::Error| {
            mistake(format_args!("Envoy or the plugin cannot be read: {error}"));
            Told(Exit::Failure)
        };
        let before = self.parts.state().map_err(unreadable)?;
        setup::adopt(true).map_err(failed)?;
        let tally = Arc::new(Tally::default());
        let policy = setup::policy(self.parts.allow_upstream());
        // By its path: an entry of the PATH may lead to the current folder.
        let shell = ["/bin/sh".into(), "-c".into(), setup.clone()];
        let (ended, proxy_died) = self.command(&shell, &policy, Tls::Passthrough, &tally)?;
        // Its proxy has been stopped by now, and with it every connection.
        let killed = setup::sweep().map_err(failed)?;
        setup::adopt(false).map_err(failed)?;
        // Now that nothing of it runs any more. The command's proxy would be what the setup made of it.
        if self.parts.state().map_err(unreadable)? != before {
            mistake("Envoy or the plugin was changed while the setup ran, so the command is not started");
            return Err(Told(Exit::Failure));
        }
        if !quiet {
            tally.counts().print_setup();
            if killed > 0 {
                let processes = count(killed, "process", "processes");
                words(format_args!("{} setup: {processes} left in the background, ended", paint(FAINT, "weir:")));
            }
        }
        let code = if proxy_died { ended.code().max(1) } else { ended.code() };
        if code != 0 {
            mistake(format_args!("the setup ended with {code}, so the command is not started"));
            return Err(Told(Exit::Command(code)));
        }
        Ok(())
    }

    /// Runs one command with a proxy of its own. Says whether the proxy died meanwhile, too.
    fn command(
        &mut self,
        command: &[OsString],
        policy: &[u8],
        tls: Tls,
        tally: &Arc<Tally>,
    ) -> Result<(Ended, bool), Told> {
        self.interrupt.hold();
        let lines = Arc::clone(tally);
        let mut proxy =
            Proxy::start(&self.parts, policy, tls, move |line| lines.add(line)).map_err(|error| told(&error))?;
        if self.interrupt.came() {
            return Err(Told(Exit::Command(128 + 15)));
        }
        let attended = self.attend(command, &mut proxy);
        // The access log is written a little behind, and whole once Envoy has ended.
        let death = proxy.stop();
        let (ended, told) = attended?;
        // The command may be over before anybody sees that its proxy was, above all on a busy machine.
        if let Some(death) = death.as_ref().filter(|_| !told) {
            tell_death(death, "the command has ended too");
        }
        Ok((ended, death.is_some()))
    }

    /// Runs the command beside its proxy. Says whether the end of that has been told.
    fn attend(&mut self, arguments: &[OsString], proxy: &mut Proxy) -> Result<(Ended, bool), Told> {
        let variables = environment::variables(proxy.address(), proxy.trust());
        let (name, rest) = arguments.split_first().ok_or(Told(Exit::Mistake))?;
        let cannot_start = |error: io::Error| {
            mistake(format_args!("cannot run {}: {error}", name.display()));
            Told(Exit::Command(child::code_of(&error)))
        };
        let failed = |error: io::Error| {
            mistake(error);
            Told(Exit::Failure)
        };
        let (mut command, link) = if self.isolate {
            let (command, link) = isolate::command(arguments, proxy.address(), &proxy.hidden()).map_err(failed)?;
            (command, Some(link))
        } else {
            let mut command = Command::new(name);
            command.args(rest);
            (command, None)
        };
        command.envs(variables);
        let child = Child::start(command).map_err(cannot_start)?;
        // Kept until the command has ended, or the proxy: its port may be somebody else's then.
        let mut bridge = link.and_then(|link| link.bridge(proxy.address()));
        let mut told = false;
        let ended = child.wait(&mut self.signals, || {
            if !told && !proxy.is_alive() {
                told = true;
                drop(bridge.take());
                tell_death(&proxy.death(), "the command goes on, and reaches nothing through it");
            }
        });
        Ok((ended.map_err(failed)?, told))
    }
}

fn tell_death(death: &str, then: &str) {
    words(format_args!("{} {death}; {then}", paint(BAD, "weir: the proxy is gone:")));
}

fn told(error: &Error) -> Told {
    mistake(error);
    Told(if error.is_mistake() { Exit::Mistake } else { Exit::Failure })
}
