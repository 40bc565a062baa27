//! What the proxy did for the command, counted from its access log as it is written.
//!
//! The access log has every request, whatever the policy's `audit` says. It is the clients' bytes: what is printed of it
//! goes through [`shown`].

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};
use weir_envoy::Line;

use super::suggestion::{self, Refused, Sample, host_of};
use crate::console::table::Table;
use crate::console::terminal::{BAD, FAINT, GOOD, STRONG, WARNING, count, paint, shown, words};
use crate::document::policy_file::Document;
use anstyle::Style;

/// Refused hosts that are shown.
const SHOWN: usize = 10;
/// Hosts that are kept: a command that asks for one name after the other must not fill the memory.
const KEPT: usize = 10_000;

/// What happened, as it happens: the proxy's thread writes, the end of the run reads.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Counts>);

/// What happened.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counts {
    allowed: u64,
    /// Tunnels that were opened; requests inside of those that are looked into count by themselves.
    tunnels: u64,
    /// Connections cut inside a tunnel: no TLS, or a name that is not the tunnel's.
    cut: u64,
    /// Connections that the client ended since it does not trust the CA of this run.
    distrusted: u64,
    /// Allowed, and yet nothing came of it: no address, a private one, no connection.
    failed: u64,
    /// Allowed by a policy in audit mode alone: requests, or tunnels.
    would_deny: u64,
    denied: BTreeMap<String, u64>,
    hosts: BTreeSet<String>,
    refused: BTreeMap<Refused, Times>,
}

/// How often something was refused, and the first request of it.
#[derive(Clone, Debug)]
struct Times {
    number: u64,
    first: Sample,
}

/// What one line of the access log says.
#[derive(Debug, PartialEq, Eq)]
enum Outcome<'l> {
    Allowed,
    Tunnel,
    Cut,
    Distrusted,
    Failed,
    Denied(&'l str),
}

impl Tally {
    /// Takes a line of Envoy's logs.
    pub(crate) fn add(&self, line: &Line<'_>) {
        if let Line::Access(line) = line
            && let Ok(entry) = serde_json::from_str(line)
        {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).add(&entry);
        }
    }

    /// What has been counted.
    pub(crate) fn counts(&self) -> Counts {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Counts {
    fn add(&mut self, entry: &Value) {
        let text = |field: &str| entry.get(field).and_then(Value::as_str).unwrap_or_default();
        let authority = text("authority");
        match outcome(entry) {
            None => return,
            Some(Outcome::Allowed) => self.allowed += 1,
            Some(Outcome::Tunnel) => self.tunnels += 1,
            Some(Outcome::Cut) => {
                self.cut += 1;
                return;
            }
            Some(Outcome::Distrusted) => {
                self.distrusted += 1;
                return;
            }
            Some(Outcome::Failed) => {
                self.allowed += 1;
                self.failed += 1;
            }
            Some(Outcome::Denied(reason)) => {
                *self.denied.entry(reason.to_owned()).or_default() += 1;
                let (method, path) = (text("method"), text("path"));
                let refused = Refused::new(reason, authority, method, path);
                if let Some(times) = self.refused.get_mut(&refused) {
                    times.number += 1;
                } else if self.refused.len() < KEPT {
                    let server_name = Some(text("sni")).filter(|name| *name != "-").unwrap_or_default();
                    let first = Sample::new(method, path, server_name);
                    self.refused.insert(refused, Times { number: 1, first });
                }
                return;
            }
        }
        if text("decision").starts_with("would-deny") {
            self.would_deny += 1;
        }
        if self.hosts.len() < KEPT {
            self.hosts.insert(host_of(authority));
        }
    }

    fn denied(&self) -> u64 {
        self.denied.values().sum()
    }

    /// What was refused most, of one host and reason the most frequent first.
    fn most_refused(&self) -> Vec<(&Refused, &Times)> {
        let mut refused: Vec<_> = self.refused.iter().collect();
        refused.sort_by_key(|(_, times)| std::cmp::Reverse(times.number));
        refused.truncate(SHOWN);
        refused
    }

    /// Says in a line what the setup did.
    pub(crate) fn print_setup(&self) {
        begin_a_line();
        let hosts: Vec<String> = self.hosts.iter().take(SHOWN).map(|host| shown(host.as_bytes())).collect();
        let more = if self.hosts.len() > SHOWN { ", ..." } else { "" };
        let hosts = if hosts.is_empty() { String::new() } else { format!(": {}{more}", hosts.join(", ")) };
        words(format_args!(
            "{} setup: {}{} through the proxy{hosts}",
            paint(FAINT, "weir:"),
            requests(self.allowed),
            self.tunnels()
        ));
    }

    /// Prints the summary of the command on standard error.
    pub(crate) fn print(&self, document: &Document) {
        let denied = self.denied();
        begin_a_line();
        words(format_args!(
            "{} {} allowed{} ({}), {} denied{}",
            paint(STRONG, "weir:"),
            paint(GOOD, requests(self.allowed)),
            self.tunnels(),
            count(self.hosts.len(), "host", "hosts"),
            paint(if denied == 0 { Style::new() } else { BAD }, denied),
            self.remarks()
        ));
        if denied == 0 {
            return;
        }
        for (reason, times) in &self.denied {
            words(format_args!("  {times:>6} {}", shown(reason.as_bytes())));
        }
        let mut table = Table::new(&["times", "denied", "reason", "to allow it"]);
        for (refused, times) in self.most_refused() {
            let advice = suggestion::suggest(document, refused, &times.first);
            table.row(vec![
                (Style::new(), times.number.to_string()),
                (STRONG, shown(refused.what().as_bytes())),
                (BAD, shown(refused.reason.as_bytes())),
                (if advice.change.is_some() { GOOD } else { FAINT }, shown(advice.text.as_bytes())),
            ]);
        }
        words(table.render());
    }

    fn tunnels(&self) -> String {
        let tunnels = usize::try_from(self.tunnels).unwrap_or(usize::MAX);
        if tunnels == 0 { String::new() } else { format!(" and {}", count(tunnels, "tunnel", "tunnels")) }
    }

    fn remarks(&self) -> String {
        let mut remarks = String::new();
        if self.would_deny > 0 {
            let would = format!("; {} would be, without \"mode\": \"audit\"", self.would_deny);
            remarks = paint(WARNING, would).to_string();
        }
        if self.cut > 0 {
            let cut = count(usize::try_from(self.cut).unwrap_or(usize::MAX), "connection", "connections");
            remarks = format!("{remarks}; {cut} cut inside tunnels");
        }
        if self.distrusted > 0 {
            let often = count(usize::try_from(self.distrusted).unwrap_or(usize::MAX), "time", "times");
            remarks = format!("{remarks}; {often} a client did not trust the CA of this run");
        }
        if self.failed > 0 {
            remarks = format!("{remarks}; {} of the allowed failed at the proxy", self.failed);
        }
        remarks
    }

    /// The summary as JSON.
    pub(crate) fn object(&self, document: &Document) -> Value {
        let refused: Vec<Value> = self
            .most_refused()
            .into_iter()
            .map(|(refused, times)| {
                let advice = suggestion::suggest(document, refused, &times.first);
                json!({
                    "host": refused.host, "port": refused.port, "method": refused.method, "path": refused.path,
                    "reason": refused.reason, "times": times.number, "advice": advice.text, "change": advice.change,
                })
            })
            .collect();
        json!({
            "allowed": self.allowed,
            "tunnels": self.tunnels,
            "cut": self.cut,
            "distrusted": self.distrusted,
            "failed": self.failed,
            "would_deny": self.would_deny,
            "denied": self.denied,
            "hosts": self.hosts,
            "most_denied": refused,
        })
    }
}

/// Leaves the line that the command may have begun: the last line of what it wrote need not have ended, and nobody here
/// sees it. An empty line where it did end sets the summary apart.
fn begin_a_line() {
    if shares_standard_error() {
        words("");
    }
}

/// Whether the command's output is where this process writes its words: both in one terminal, pipe or file. Its standard
/// error always is; in a terminal progress bars and prompts end without a new line.
fn shares_standard_error() -> bool {
    if io::stderr().is_terminal() {
        return true;
    }
    let file = |descriptor: BorrowedFd<'_>| rustix::fs::fstat(descriptor).map(|data| (data.st_dev, data.st_ino));
    file(io::stdout().as_fd()).is_ok_and(|stdout| file(io::stderr().as_fd()) == Ok(stdout))
}

fn requests(number: u64) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), "request", "requests")
}

fn outcome(entry: &Value) -> Option<Outcome<'_>> {
    let text = |field: &str| entry.get(field).and_then(Value::as_str).filter(|text| *text != "-").unwrap_or_default();
    if let Some(reason) = text("details").strip_prefix("weir.denied.") {
        return Some(Outcome::Denied(reason));
    }
    // The listeners behind a tunnel write of connections.
    if entry.get("tunnel").is_some() {
        let distrusted =
            ["UNKNOWN_CA", "CERTIFICATE_UNKNOWN", "BAD_CERTIFICATE"].iter().any(|alert| text("tls").contains(alert));
        return match (text("details"), distrusted) {
            ("", true) => Some(Outcome::Distrusted),
            // A client that hung up.
            ("", false) if text("flags").is_empty() => None,
            _ => Some(Outcome::Cut),
        };
    }
    let status = entry.get("status").and_then(Value::as_u64)?;
    // Without a method Envoy could not read a request at all, so nobody decided one.
    if text("method").is_empty() {
        return None;
    }
    if text("method") == "CONNECT" && status < 400 {
        return Some(Outcome::Tunnel);
    }
    let by_envoy = !text("flags").is_empty() || text("details").starts_with("rbac");
    Some(if status >= 400 && by_envoy { Outcome::Failed } else { Outcome::Allowed })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(lines: &[&str]) -> Counts {
        let tally = Tally::default();
        for line in lines {
            tally.add(&Line::Access(line));
        }
        tally.counts()
    }

    #[test]
    fn a_line_counts_once() {
        let counts = counted(&[
            r#"{"method":"GET","authority":"A.example:80","status":200,"flags":"-","details":"via_upstream","decision":null}"#,
            r#"{"method":"GET","authority":"a.example","status":404,"flags":"-","details":"via_upstream","decision":"allow; host=\"a.example\""}"#,
            r#"{"method":"GET","authority":"b.example","status":502,"flags":"DF","details":"dns_resolution_failure","decision":null}"#,
            r#"{"method":"GET","authority":"c.example","status":403,"flags":"-","details":"weir.denied.domain-not-allowed","decision":null}"#,
            r#"{"method":"GET","authority":"c.example","status":403,"flags":"-","details":"weir.denied.domain-not-allowed","decision":null}"#,
            r#"{"method":"GET","authority":"d.example","status":200,"flags":"-","details":"via_upstream","decision":"would-deny; reason=ip-literal"}"#,
            r#"{"method":"CONNECT","authority":"b.example:443","status":200,"flags":"-","details":"via_upstream","decision":null}"#,
            r#"{"tunnel":"b.example","sni":"evil.example","flags":"-","details":"rbac_access_denied","tls":"-"}"#,
            r#"{"tunnel":null,"sni":"b.example","flags":"-","details":null,"tls":"TLS_error:|system_library:Connection_reset_by_peer"}"#,
            r#"{"tunnel":null,"sni":"b.example","flags":"-","details":null,"tls":"TLS_error:|SSL_routines:TLSV1_ALERT_UNKNOWN_CA"}"#,
            r#"{"method":"-","authority":null,"status":400,"flags":"DPE","details":"http1.codec_error"}"#,
            "no JSON",
        ]);
        assert_eq!((counts.tunnels, counts.cut, counts.distrusted), (1, 1, 1));
        assert_eq!((counts.allowed, counts.failed, counts.would_deny, counts.denied()), (4, 1, 1, 2));
        assert_eq!(counts.hosts.iter().collect::<Vec<_>>(), ["a.example", "b.example", "d.example"]);
        assert_eq!(counts.most_refused()[0].1.number, 2);
    }

    #[test]
    fn what_would_be_denied_counts_as_what_it_was() {
        let counts = counted(&[
            r#"{"method":"CONNECT","authority":"a.example:443","status":200,"flags":"-","details":"via_upstream","decision":"would-deny; reason=domain-not-allowed"}"#,
            r#"{"method":"CONNECT","authority":"b.example:443","status":502,"flags":"DF","details":"dns_resolution_failure","decision":"would-deny; reason=domain-not-allowed"}"#,
            r#"{"method":"GET","authority":"c.example","status":200,"flags":"-","details":"via_upstream","decision":"would-deny; reason=domain-not-allowed"}"#,
        ]);
        assert_eq!((counts.tunnels, counts.allowed, counts.failed, counts.would_deny), (1, 2, 1, 3));
    }
}
