//! `weir up`: a forward proxy with a policy from a file, until it is stopped.
//!
//! The policy in force is always one that the plugin accepted: a file with mistakes changes nothing.
//! No Envoy stays behind, however this ends.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use clap::Args;
use ipnet::IpNet;
use serde_json::Value;
use weir_envoy::{Binary, Launch, Line, Running};

use crate::console::exit::Exit;
use crate::console::interrupt::Interrupt;
use crate::console::terminal::{BAD, FAINT, GOOD, STRONG, WARNING, data, mistake, paint, shown, words};
use crate::document::argument::{self, PolicyArgument};
use crate::document::input::Input;
use crate::document::policy_file::Document;
use crate::follow::{self, Seen, Watched, note_warnings};
use crate::proxy;
use crate::proxy::certificates as ca;
use crate::proxy::error::Error;
use crate::proxy::inspection::Inspection;
use crate::proxy::record::Record;
use crate::proxy::upstream::network;

const EXAMPLES: &str = "\
Examples:
  weir up --policy policy.json
  weir up --policy policy.yaml --listen 0.0.0.0:3128        for sandboxes in other containers
  weir up --policy policy.json --allow-upstream 10.1.2.0/24 an internal registry
  weir up --policy policy.json --json >> audit.jsonl

A change of the file is applied immediately, to open connections too; a policy with a mistake is reported and changes \
nothing. Audit records go to standard output (--json: as the plugin writes them), everything else to standard error. \
\"audit\": {\"log\": \"denied\"} in the policy says which decisions leave a record. Where the policy has \
\"tls\": \"inspected\", clients have to trust the certificate that `weir ca export` prints.

Exit code: 0 stopped by Ctrl-C or SIGTERM; 1 Envoy did not start, or ended by itself; 2 a mistake in the policy or the \
command line.";

/// How often the file and Envoy are looked at.
const TICK: Duration = Duration::from_millis(100);

/// Run a forward proxy under a policy, and apply every change of its file
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Up {
    #[command(flatten)]
    policy: PolicyArgument,
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:3128", value_parser = listener)]
    listen: SocketAddr,
    /// Private network or address that may be reached nevertheless; can be repeated
    #[arg(long, value_name = "CIDR", value_parser = network)]
    allow_upstream: Vec<IpNet>,
    /// Folder of the CA for TLS inspection; created on first use [default: as in `weir ca`]
    #[arg(long, value_name = "DIR")]
    ca: Option<PathBuf>,
    /// Print audit records as JSON
    #[arg(long)]
    json: bool,
}

impl Up {
    pub(crate) fn run(&self) -> Exit {
        self.begin().unwrap_or_else(|exit| exit)
    }

    fn begin(&self) -> Result<Exit, Exit> {
        let path = self.policy.followed_path()?;
        let interrupt = Interrupt::watch().map_err(|error| {
            mistake(format_args!("cannot watch for signals: {error}"));
            Exit::Failure
        })?;
        let (input, document) = argument::read(&path)?;
        let ca =
            if document.policy.inspects() { Some(ca::folder(self.ca.as_deref()).ok_or(Exit::Mistake)?) } else { None };
        let (envoy, inspection) = self.start(document.json(), ca.as_deref(), &interrupt).map_err(|error| {
            mistake(&error);
            if error.to_string().contains("Address already in use") {
                words(format_args!(
                    "  another program listens at {}; name another port: --listen ADDR:PORT, or 0 for a free one",
                    self.listen
                ));
            }
            if error.is_mistake() { Exit::Mistake } else { Exit::Failure }
        })?;
        self.greet(&envoy, &document, inspection.as_ref(), &input.name);
        let watched = Watched::new(path.clone(), Some(input.into_bytes()));
        Ok(Proxy { envoy, inspection, document, watched, path }.run(&interrupt))
    }

    fn start(
        &self,
        policy: &[u8],
        ca: Option<&Path>,
        interrupt: &Interrupt,
    ) -> Result<(Running, Option<Inspection>), Error> {
        let (plugin, binary) = (proxy::plugin()?, Binary::find()?);
        interrupt.hold();
        let json = self.json;
        let launch = Launch::new(plugin).binary(binary);
        let launch = launch.policy(policy).listen(self.listen).on_line(move |line| print_line(line, json));
        let launch = self.allow_upstream.iter().fold(launch, |launch, network| launch.allow_upstream(*network));
        let inspection = ca.map(Inspection::of).transpose()?;
        let launch = match &inspection {
            Some(inspection) => inspection.of_launch(launch),
            None => launch,
        };
        Ok((launch.start()?, inspection))
    }

    fn greet(&self, envoy: &Running, document: &Document, inspection: Option<&Inspection>, name: &str) {
        let address = envoy.address();
        words(format_args!(
            "{} http://{address} (Envoy {}, {name})",
            paint(GOOD, "weir is up:"),
            envoy.binary().version()
        ));
        let reached = if address.ip().is_unspecified() {
            words(format_args!("  {} every network of this machine can reach this port", paint(WARNING, "note:")));
            SocketAddr::from(([127, 0, 0, 1], address.port()))
        } else {
            address
        };
        words(paint(STRONG, format_args!("  export http_proxy=http://{reached} https_proxy=http://{reached}")));
        if inspection.is_some() {
            let ca = self.ca.as_ref().map(|ca| format!(" --ca {}", ca.display())).unwrap_or_default();
            words(format_args!("  TLS is inspected: clients have to trust what `weir ca export{ca}` prints"));
        }
        note_warnings(document, name);
        words(paint(FAINT, "  Ctrl-C stops it; a change of the file is applied immediately"));
    }
}

/// An address and a port.
fn listener(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "write an address and a port, such as 127.0.0.1:3128".to_owned())
}

/// A proxy that runs.
struct Proxy {
    envoy: Running,
    inspection: Option<Inspection>,
    /// The policy in force.
    document: Document,
    watched: Watched,
    path: PathBuf,
}

impl Proxy {
    fn run(mut self, interrupt: &Interrupt) -> Exit {
        while !interrupt.came() {
            if !self.envoy.is_alive() {
                mistake(self.death());
                return Exit::Failure;
            }
            match self.watched.look() {
                Seen::Same => {}
                Seen::Changed(content) => self.reload(content),
                Seen::Gone(error) => follow::note_gone(&self.path.display().to_string(), &error),
            }
            thread::sleep(TICK);
        }
        self.envoy.stop();
        words("weir is down");
        Exit::Success
    }

    fn reload(&mut self, content: Vec<u8>) {
        let input = Input::new(&self.path, content);
        let put_in_force = |document: &Document| self.envoy.set_policy(document.json());
        let Some(document) = follow::apply(Some(&self.document), &input, put_in_force) else { return };
        if document.policy.inspects() && self.inspection.is_none() {
            words(format_args!(
                "  {} this proxy was started without TLS inspection and refuses tunnels that need it: restart it",
                paint(WARNING, "note:")
            ));
        }
        note_warnings(&document, &input.name);
        self.document = document;
    }

    /// Why Envoy ended.
    fn death(&mut self) -> weir_envoy::Error {
        let errors =
            self.envoy.log_lines().into_iter().filter(|line| matches!(line.level.as_str(), "error" | "critical" | ""));
        let mut errors: Vec<String> = errors.map(|line| line.message).collect();
        errors.dedup();
        let errors = errors.split_off(errors.len().saturating_sub(10));
        match self.envoy.wait() {
            Ok(status) => weir_envoy::Error::Exited { status, errors },
            Err(error) => error,
        }
    }
}

/// Prints what is worth seeing of Envoy's logs.
fn print_line(line: &Line<'_>, json: bool) {
    match line {
        Line::Log(entry) => match entry.from_plugin() {
            Some(message) => {
                let Some(record) = Record::parse(message) else { return };
                if json {
                    data(message);
                } else {
                    data(format_args!("{} {}", paint(FAINT, time_of_day()), record.line()));
                }
            }
            // What is wrong with a policy is reported where it was read, what is wrong with Envoy's start by its error.
            None if entry.level == "critical"
                && entry.logger != "config"
                && entry.logger != "wasm"
                && !entry.message.contains("` initializing config") =>
            {
                words(format_args!("{} {}", paint(BAD, "envoy:"), entry.message));
            }
            None => {}
        },
        Line::Access(line) => {
            if let Some(failure) = failure(line).filter(|_| !json) {
                words(format_args!("{} {failure}", paint(FAINT, time_of_day())));
            }
        }
    }
}

/// An allowed request that came to nothing, in words: its name has no public address, say.
fn failure(line: &str) -> Option<String> {
    let access: Value = serde_json::from_str(line).ok()?;
    let text = |field: &str| {
        access.get(field).and_then(Value::as_str).filter(|text| *text != "-").map(|text| shown(text.as_bytes()))
    };
    let status = access.get("status").and_then(Value::as_u64)?;
    if text("decision").is_some_and(|decision| decision.starts_with("deny")) {
        return None;
    }
    let by_envoy = text("flags").is_some() || text("details").is_some_and(|details| details.starts_with("rbac"));
    (status >= 400 && by_envoy).then(|| {
        format!(
            "{} {} {}: {status} from Envoy ({})",
            paint(WARNING, "failed"),
            text("method").unwrap_or_default(),
            text("authority").unwrap_or_default(),
            text("details").or_else(|| text("flags")).unwrap_or_default()
        )
    })
}

/// The time of day in UTC.
fn time_of_day() -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    format!("{:02}:{:02}:{:02}Z", now / 3600 % 24, now / 60 % 60, now % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_told_and_a_refusal_is_not_told_twice() {
        let line = |status: u16, flags: &str, details: &str, decision: &str| {
            format!(
                r#"{{"method":"GET","authority":"a.example","status":{status},"flags":"{flags}","details":"{details}","decision":{decision}}}"#
            )
        };
        assert!(failure(&line(503, "DF", "dns_resolution_failure", "null")).unwrap().contains("503 from Envoy"));
        assert!(failure(&line(502, "DF", "dns_resolution_failure", "\"would-deny; reason=ip-literal\"")).is_some());
        assert!(failure(&line(403, "-", "rbac_access_denied_matched_policy[none]", "null")).is_some());
        assert_eq!(failure(&line(403, "-", "weir", "\"deny; reason=ip-literal\"")), None);
        assert_eq!(failure(&line(404, "-", "via_upstream", "null")), None);
        assert_eq!(failure(&line(200, "-", "via_upstream", "null")), None);
    }
}
