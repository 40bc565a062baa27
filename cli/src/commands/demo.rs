//! `weir demo`: the plugin at work in a real Envoy, shown on a scripted session.
//!
//! Nothing leaves this machine: every request that is allowed goes to a stand-in. Nothing of the
//! table is written here beforehand: it comes from the responses and from the plugin's audit records,
//! and what the script expects is compared with it.

mod client;
mod script;

use std::time::{Duration, Instant};

use anstyle::Style;
use clap::Args;
use weir_envoy::{Binary, Launch, LogLine, Running};
use weir_internet::StandIn;
use weir_policy::Policy;

use crate::console::exit::Exit;
use crate::console::interrupt::Interrupt;
use crate::console::table::Table;
use crate::console::terminal::{BAD, FAINT, GOOD, STRONG, data, mistake, paint, words};
use crate::proxy;
use crate::proxy::error::Error;
use crate::proxy::inspection::Inspection;
use crate::proxy::record::Record;
use client::{Answer, Client};
use script::{Expected, Row};

const EXAMPLES: &str = "\
Examples:
  weir demo
  WEIR_ENVOY=/usr/bin/envoy weir demo       uses this Envoy
  WEIR_PLUGIN=weir.wasm weir demo           uses this build of the plugin

Fetches Envoy if there is none. No request leaves this machine: what is allowed goes to a stand-in.

Exit code: 0 every decision was as expected; 1 one was not, and is named; 2 a mistake in the command line.";

/// How long the plugin's record may come after the answer.
const RECORD_LIMIT: Duration = Duration::from_secs(5);

/// Watch the plugin decide a scripted session in a real Envoy
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Demo {}

impl Demo {
    #[expect(clippy::unused_self, reason = "as every subcommand")]
    pub(crate) fn run(&self) -> Exit {
        match Session::start().and_then(Session::play) {
            Ok(failures) if failures.is_empty() => Exit::Success,
            Ok(failures) => {
                for failure in failures {
                    mistake(failure);
                }
                Exit::Failure
            }
            Err(Stopped::Envoy(error)) => {
                mistake(error);
                Exit::Failure
            }
            Err(Stopped::Client(error)) => {
                mistake(error);
                Exit::Failure
            }
            Err(Stopped::Interrupt) => {
                words("stopped before its end");
                Exit::Failure
            }
        }
    }
}

/// Why the session did not come to its end.
enum Stopped {
    Envoy(Error),
    Client(String),
    Interrupt,
}

impl From<Error> for Stopped {
    fn from(error: Error) -> Stopped {
        Stopped::Envoy(error)
    }
}

struct Session {
    envoy: Running,
    _inspection: Inspection,
    internet: StandIn,
    client: Client,
    interrupt: Interrupt,
    failures: Vec<String>,
    /// How many rows were played.
    rows: usize,
    /// Whether the policy in force has tunnels looked into.
    inspects: bool,
}

fn inspects(policy: &str) -> bool {
    Policy::from_json(policy.as_bytes()).is_ok_and(|policy| policy.inspects())
}

impl Session {
    fn start() -> Result<Session, Stopped> {
        let interrupt = Interrupt::watch().map_err(Error::files("watching for signals"))?;
        let plugin = proxy::plugin().map_err(Error::from)?;
        words(paint(FAINT, "looking for Envoy, and fetching it if there is none ..."));
        let binary = Binary::find().map_err(Error::from)?;
        interrupt.hold();
        let started = Instant::now();
        let internet = StandIn::with_tls().map_err(Error::files("starting the stand-in"))?;
        let inspection = Inspection::for_this_run()?;
        let origins = internet.ca_pem().unwrap_or_default();
        let roots = inspection.folder().join("origins.pem");
        std::fs::write(&roots, origins).map_err(Error::files("writing what the stand-in is trusted by"))?;
        let client = Client::trusting(&[inspection.certificate_pem(), origins]).map_err(Stopped::Client)?;
        let launch = Launch::new(plugin).binary(binary).policy(script::FIRST_POLICY);
        let launch = inspection.of_launch(launch).origin_roots(roots);
        let envoy = launch.stand_in(internet.address()).start().map_err(Error::from)?;
        words(paint(
            FAINT,
            format_args!(
                "Envoy {} runs the plugin after {} ms",
                envoy.binary().version(),
                started.elapsed().as_millis()
            ),
        ));
        Ok(Session {
            envoy,
            _inspection: inspection,
            internet,
            client,
            interrupt,
            failures: Vec::new(),
            rows: 0,
            inspects: inspects(script::FIRST_POLICY),
        })
    }

    /// Plays the script; returns what came out otherwise than it must.
    fn play(mut self) -> Result<Vec<String>, Stopped> {
        data(format_args!("\n{}\n{}\n", paint(STRONG, "The policy"), script::FIRST_POLICY));
        self.table(script::FIRST)?;
        data(format_args!("\n{}", paint(STRONG, "The audit records of it, from Envoy's log")));
        for line in self.records() {
            data(line);
        }
        for (title, policy, rows) in script::LATER {
            self.envoy.set_policy(policy.as_bytes()).map_err(Error::from)?;
            self.inspects = inspects(policy);
            data(format_args!("\n{}\n{policy}\n", paint(STRONG, title)));
            self.table(rows)?;
        }
        if self.failures.is_empty() {
            data(format_args!("\n{} all {} requests came out as they must", paint(GOOD, "ok"), self.rows));
        }
        self.envoy.stop();
        Ok(self.failures)
    }

    fn table(&mut self, rows: &[Row]) -> Result<(), Stopped> {
        let mut table = Table::new(&["request", "status", "decision", "reason", "rule"]);
        for row in rows {
            if self.interrupt.came() {
                return Err(Stopped::Interrupt);
            }
            let outcome = self.send(row);
            let wrong = outcome.differences(row);
            let style = match outcome.decision.as_str() {
                "allow" => GOOD,
                "deny" => BAD,
                _ => Style::new(),
            };
            let plain = |text: &str| (Style::new(), text.to_owned());
            table.row(vec![
                if wrong.is_empty() { plain(row.name) } else { (BAD, format!("{} !", row.name)) },
                plain(&outcome.status()),
                (style, outcome.decision.clone()),
                plain(&outcome.reason),
                plain(&outcome.rule),
            ]);
            self.rows += 1;
            let number = self.rows;
            self.failures.extend(wrong.iter().map(|wrong| format!("row {number} ({}): {wrong}", row.name)));
        }
        data(table.render());
        Ok(())
    }

    /// Sends one request and gathers everything that tells how it was decided.
    fn send(&self, row: &Row) -> Outcome {
        let before = self.records().len();
        self.internet.take_received();
        let answer = self.client.send(self.envoy.address(), row);
        // Requests go one by one and every decision leaves a record, so the next records are this one's: that of its
        // tunnel, and that of what went through it where the proxy looked inside.
        let inside = answer.as_ref().is_ok_and(|answer| answer.is_from_inside);
        let last = before + usize::from(inside && self.inspects);
        self.envoy.wait_for_logs(RECORD_LIMIT, |log, _| records(log).count() > last);
        let record = self.records().get(last).and_then(|line| Record::parse(line));
        let word = |member| record.as_ref().map(|record| record.text(member)).unwrap_or_default();
        Outcome {
            decision: word("decision"),
            reason: word("reason"),
            rule: word("rule"),
            arrived: !self.internet.take_received().is_empty(),
            answer,
        }
    }

    fn records(&self) -> Vec<String> {
        records(&self.envoy.log_lines()).map(str::to_owned).collect()
    }
}

/// The audit records in Envoy's log.
fn records(log: &[LogLine]) -> impl Iterator<Item = &str> {
    log.iter().filter_map(LogLine::from_plugin).filter(|line| Record::parse(line).is_some())
}

/// What came of one request.
#[derive(Debug)]
struct Outcome {
    answer: Result<Answer, String>,
    /// Of the audit record.
    decision: String,
    reason: String,
    rule: String,
    /// Whether the stand-in saw it.
    arrived: bool,
}

impl Outcome {
    fn status(&self) -> String {
        self.answer.as_ref().map(|answer| answer.status.to_string()).unwrap_or_default()
    }

    /// What is not as the row expects.
    fn differences(&self, row: &Row) -> Vec<String> {
        let answer = match &self.answer {
            Ok(answer) => answer,
            Err(error) => return vec![error.clone()],
        };
        let mut wrong = Vec::new();
        let mut compare = |what: &str, found: &str, wanted: &str| {
            if found != wanted {
                wrong.push(format!("{what} is {found:?}, and must be {wanted:?}"));
            }
        };
        let header = |name| answer.header(name).unwrap_or_default();
        let body: serde_json::Value = serde_json::from_str(&answer.body).unwrap_or_default();
        let member = |name| body.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
        compare("the rule of its record", &self.rule, row.rule);
        match row.expected {
            Expected::Allow => {
                compare("the status", &answer.status.to_string(), "200");
                compare("the decision of its record", &self.decision, "allow");
                compare("the reason of its record", &self.reason, "");
                compare("the body", answer.body.trim_end(), &format!("stand-in for {}", row.host));
                compare("x-weir-decision", header("x-weir-decision"), "");
                compare("x-proxy-error", header("x-proxy-error"), "");
            }
            Expected::Deny(reason) => {
                compare("the status", &answer.status.to_string(), "403");
                compare("the decision of its record", &self.decision, "deny");
                compare("the reason of its record", &self.reason, reason.code());
                compare("x-weir-decision", header("x-weir-decision"), &row.header(reason));
                compare("x-proxy-error", header("x-proxy-error"), reason.proxy_error());
                compare("content-type", header("content-type"), "application/problem+json");
                compare("the reason in the body", member("reason"), reason.code());
                compare("the host in the body", member("host"), row.host);
            }
        }
        let arrived = matches!(row.expected, Expected::Allow);
        if self.arrived != arrived {
            wrong.push(if arrived { "it did not reach the origin" } else { "it reached the origin" }.to_owned());
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use weir_policy::Reason;

    use super::*;

    /// A row that must be refused, and the outcome that it must have.
    fn refused() -> (Row, Outcome) {
        let row = *script::FIRST.iter().find(|row| row.expected == Expected::Deny(Reason::DomainDenied)).unwrap();
        let header = row.header(Reason::DomainDenied);
        let headers = [
            ("x-weir-decision", header.as_str()),
            ("x-proxy-error", "blocked-by-denylist"),
            ("content-type", "application/problem+json"),
        ];
        let body = format!(r#"{{"reason": "domain-denied", "host": "{}"}}"#, row.host);
        let outcome = Outcome {
            answer: Ok(Answer::new(403, &headers, &body)),
            decision: "deny".to_owned(),
            reason: "domain-denied".to_owned(),
            rule: row.rule.to_owned(),
            arrived: false,
        };
        (row, outcome)
    }

    #[test]
    fn an_outcome_as_expected_has_no_differences() {
        let (row, outcome) = refused();
        assert_eq!(outcome.differences(&row), [""; 0]);
    }

    #[test]
    fn every_part_of_an_outcome_counts() {
        type Spoil = fn(&mut Outcome);
        let spoils: [Spoil; 6] = [
            |outcome| outcome.arrived = true,
            |outcome| outcome.decision = "allow".to_owned(),
            |outcome| outcome.reason = String::new(),
            |outcome| outcome.rule = "allowlist:x".to_owned(),
            |outcome| outcome.answer.as_mut().unwrap().status = 200,
            |outcome| outcome.answer.as_mut().unwrap().body = "{}".to_owned(),
        ];
        for (index, spoil) in spoils.into_iter().enumerate() {
            let (row, mut outcome) = refused();
            spoil(&mut outcome);
            assert!(!outcome.differences(&row).is_empty(), "{index}");
        }
        let (row, mut outcome) = refused();
        outcome.answer = Ok(Answer::new(403, &[], ""));
        assert_eq!(outcome.differences(&row).len(), 5);
        outcome.answer = Err("no answer".to_owned());
        assert_eq!(outcome.differences(&row), ["no answer"]);
    }
}
