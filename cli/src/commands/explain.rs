//! `weir explain`: what a policy decides about one request, and the step that took the decision.

mod steps;
mod target;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};
use weir_policy::{Decision, Mode, Reason, Report, Request, Tls, Transport};

use crate::console::exit::Exit;
use crate::console::terminal::{BAD, FAINT, GOOD, STRONG, WARNING, data, mistake, paint, shown, words};
use crate::document::policy_file::Document;
use crate::document::{input, mistakes};
use steps::{Step, is_unopened};
use target::{Scheme, Target};

const EXAMPLES: &str = "\
Examples:
  weir explain --policy policy.json GET http://github.com/rust-lang/rust
  weir explain --policy policy.json POST https://api.github.com/gists
  weir explain --policy policy.json CONNECT github.com:443
  weir explain --policy policy.json TLS github.com:443
  weir explain --policy policy.json GET http://example.com/ --header 'x-http-method-override: DELETE'
  echo '{\"internet_access\": \"on\"}' | weir explain --policy - GET http://0x7f.1/ --json

An https or wss URL reaches a proxy as CONNECT host:443. With \"tls\": \"passthrough\" that is all the plugin
sees, and what is decided; with \"inspected\" the request inside is decided too. The URL is taken as it is
written: nothing is decoded or repaired.

TLS is what the plugin's audit records call a connection that Envoy passes on unopened (in a sidecar, at an
egress gateway): decided by the name in its hello and its port, and cut without a word where it is refused.
TLS :443 is one whose hello names no host, as for every address.

--json prints one object, whose fields are:
  decision     \"allow\", \"deny\", or \"would-deny\" where the policy only audits
  reason       the reason's code, and the step that refused (null when allowed)
  step
  rule         the entry that decided, or null
  host         as the plugin names it
  method       of the request that was decided: CONNECT where that was the tunnel, TLS where nobody opens it
  policy       the policy's name
  status       403 where the plugin answers itself, null where the request goes on or the connection is cut
  proxy_error  the value of x-proxy-error, or null
  header       the value of x-weir-decision (what is allowed or cut has it in the access log alone)
  problem      the body of the refusal, or null
  sent_as      what reaches the proxy, in order
  steps        [{\"request\", \"name\", \"passed\", \"found\"}]

Exit code: 0 allowed (or only audited), 3 denied, 2 a mistake in the policy or the command line.";

/// Say what a policy decides about a request, step by step
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Explain {
    /// Policy document (JSON); - is standard input
    #[arg(long, short, value_name = "FILE")]
    policy: PathBuf,
    /// Method, byte for byte: get is not GET; TLS for a connection that nobody opens
    method: OsString,
    /// URL, or host:port after CONNECT and TLS
    url: OsString,
    /// Header of the request; can be repeated
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE")]
    headers: Vec<OsString>,
    /// The request carries a body
    #[arg(long)]
    body: bool,
    /// Print one JSON object instead of words
    #[arg(long)]
    json: bool,
}

impl Explain {
    pub(crate) fn run(&self) -> Exit {
        let input = match input::read(&self.policy) {
            Ok(input) => input,
            Err(unreadable) => {
                mistake(unreadable);
                return Exit::Mistake;
            }
        };
        let document = match Document::read(&input.bytes) {
            Ok(document) => document,
            Err(mistakes) => {
                words(mistakes::in_words(&input.bytes, &mistakes, &input.name));
                return Exit::Mistake;
            }
        };
        let method = self.method.as_encoded_bytes();
        let target = match Target::of(method, self.url.as_encoded_bytes()) {
            Ok(target) => target,
            Err(no_target) => {
                mistake(no_target);
                return Exit::Mistake;
            }
        };
        if matches!(target.scheme, Scheme::Unopened { .. }) && (self.body || !self.headers.is_empty()) {
            mistake("nobody sees headers or a body in TLS that is not opened: leave --header and --body out");
            return Exit::Mistake;
        }
        let mut seen = Headers { body: self.body, upgrade: target.is_upgrade(), ..Headers::default() };
        for header in &self.headers {
            if let Err(no_header) = seen.read(header.as_encoded_bytes()) {
                mistake(no_header);
                return Exit::Mistake;
            }
        }
        let sent = sent(&document, method, &target, &seen);
        let explanation = Explanation::new(&document, &sent);
        if self.json {
            data(explanation.object());
        } else {
            explanation.print();
            for note in notes(&explanation, &target) {
                words(format_args!("{} {note}", paint(FAINT, "note:")));
            }
        }
        explanation.exit()
    }
}

/// What the plugin looks at in the headers.
#[derive(Clone, Debug, Default)]
struct Headers {
    content_type: Vec<u8>,
    method_override: bool,
    body: bool,
    upgrade: bool,
}

impl Headers {
    /// Takes one `name: value` in; the plugin reads the same names (filter/src/headers.rs).
    fn read(&mut self, header: &[u8]) -> Result<(), String> {
        // A pseudo-header, `:protocol`, begins with the colon that ends others.
        let colon = header.iter().skip(1).position(|&byte| byte == b':').map(|at| at + 1);
        let name = colon.and_then(|colon| header.get(..colon)).map(<[u8]>::to_ascii_lowercase).unwrap_or_default();
        let value = colon.and_then(|colon| header.get(colon + 1..)).unwrap_or_default().trim_ascii();
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:".contains(byte);
        if name.is_empty() || !name.iter().all(is_name) {
            return Err(format!("{:?} is no header: write 'name: value'", shown(header)));
        }
        match name.as_slice() {
            b"content-type" if self.content_type.is_empty() => value.clone_into(&mut self.content_type),
            b"x-http-method-override" | b"x-http-method" | b"x-method-override" => self.method_override = true,
            b":protocol" | b"upgrade" => self.upgrade = true,
            b"transfer-encoding" => self.body = true,
            b"content-length" => self.body |= value.is_empty() || value.iter().any(|&digit| digit != b'0'),
            b"host" | b":method" | b":authority" | b":path" | b":scheme" => {
                return Err(format!("{} follows from METHOD and URL, as it does in Envoy", shown(&name)));
            }
            _ => {}
        }
        Ok(())
    }
}

/// One request as it reaches the plugin.
struct Sent<'t> {
    method: &'t [u8],
    authority: Vec<u8>,
    path: Vec<u8>,
    transport: Transport<'t>,
    headers: Headers,
}

impl Sent<'_> {
    fn request(&self) -> Request<'_> {
        if let Transport::Unopened { port } = self.transport {
            return Request::unopened_tls(&self.authority, port);
        }
        Request {
            method: self.method,
            authority: &self.authority,
            path: &self.path,
            content_type: &self.headers.content_type,
            method_override: self.headers.method_override,
            body: self.headers.body,
            upgrade: self.headers.upgrade,
            transport: self.transport,
        }
    }

    fn in_words(&self) -> String {
        let method = shown(self.method);
        if self.request().is_connect() {
            return format!("{method} {}", shown(&self.authority));
        }
        let upgrade = if self.headers.upgrade { ", an upgrade" } else { "" };
        match self.transport {
            Transport::Cleartext => format!("{method} http://{}{}{upgrade}", shown(&self.authority), shown(&self.path)),
            Transport::Tls { server_name } => format!(
                "{method} {} to {} inside TLS for {}{upgrade}",
                shown(&self.path),
                shown(&self.authority),
                if server_name.is_empty() { "no name".to_owned() } else { shown(server_name) }
            ),
            Transport::Unopened { port } if self.authority.is_empty() => {
                format!("TLS to port {port} with a hello that names no host")
            }
            Transport::Unopened { port } => format!("TLS to {} at port {port}", shown(&self.authority)),
        }
    }
}

/// The requests that reach the plugin for one URL, in order.
fn sent<'t>(document: &Document, method: &'t [u8], target: &Target<'t>, headers: &Headers) -> Vec<Sent<'t>> {
    if let Scheme::Unopened { port } = target.scheme {
        let (authority, transport) = (target.server_name().to_owned(), Transport::Unopened { port });
        return vec![Sent { method, authority, path: Vec::new(), transport, headers: headers.clone() }];
    }
    let mut sent = Vec::new();
    if target.is_tunnelled() || target.scheme == Scheme::Tunnel {
        // A client keeps its headers for the inside of a tunnel that it opens by itself.
        let headers = if target.scheme == Scheme::Tunnel { headers.clone() } else { Headers::default() };
        sent.push(Sent {
            method: b"CONNECT",
            authority: target.tunnel(),
            path: Vec::new(),
            transport: Transport::Cleartext,
            headers,
        });
    }
    let inside = sent.iter().any(|sent: &Sent<'_>| is_looked_into(document, &sent.request()));
    if target.scheme != Scheme::Tunnel && (inside || !target.is_tunnelled()) {
        let transport = if target.is_tunnelled() {
            Transport::Tls { server_name: target.server_name() }
        } else {
            Transport::Cleartext
        };
        let authority = target.authority.to_owned();
        sent.push(Sent { method, authority, path: target.path(), transport, headers: headers.clone() });
    }
    sent
}

/// Whether this opens a tunnel that Envoy looks into.
fn is_looked_into(document: &Document, connect: &Request<'_>) -> bool {
    document.policy.tunnel(connect).is_some_and(|tunnel| tunnel.tls == Tls::Inspected)
}

/// What was decided about each request that was sent: the last one, or the first that was refused,
/// is the decision.
struct Explanation<'a> {
    document: &'a Document,
    taken: Vec<(&'a Sent<'a>, Request<'a>, Decision<'a>, Vec<Step>)>,
}

impl<'a> Explanation<'a> {
    fn new(document: &'a Document, sent: &'a [Sent<'a>]) -> Explanation<'a> {
        let mut taken = Vec::new();
        for sent in sent {
            let request = sent.request();
            let decision = document.policy.decide(&request);
            let steps = steps::steps(document, &request, &decision);
            let goes_on = decision.is_allowed();
            taken.push((sent, request, decision, steps));
            if !goes_on {
                break;
            }
        }
        Explanation { document, taken }
    }

    fn exit(&self) -> Exit {
        let denied = self.taken.last().is_some_and(|(_, _, decision, _)| !decision.is_allowed());
        if denied && self.document.policy.mode() == Mode::Enforce { Exit::Denied } else { Exit::Success }
    }

    fn print(&self) {
        for (sent, request, decision, steps) in &self.taken {
            data(format_args!("sent as {}", paint(STRONG, sent.in_words())));
            for Step { name, passed, found } in steps {
                let mark = if *passed { paint(GOOD, "\u{2713}") } else { paint(BAD, "\u{2717}") };
                data(format_args!("  {mark} {name:16} {found}"));
            }
            let report = Report::new(&self.document.policy, request, decision);
            let rule = decision.rule().map(|rule| format!(" by {rule}")).unwrap_or_default();
            match decision.reason() {
                None => data(format_args!("{}{rule}", paint(GOOD, report.outcome()))),
                Some(reason) => {
                    let style = if report.outcome() == "deny" { BAD } else { WARNING };
                    data(format_args!("{} {reason}{rule}", paint(style, format_args!("{}:", report.outcome()))));
                    if let Some(detail) = report.detail() {
                        data(format_args!("  {detail}"));
                    }
                    if self.document.policy.mode() == Mode::Audit {
                        data(
                            "  The policy's mode is \"audit\": the request goes on, and the refusal is only recorded.",
                        );
                    }
                }
            }
        }
    }

    fn object(&self) -> Value {
        let Some((_, request, decision, _)) = self.taken.last() else { return Value::Null };
        let report = Report::new(&self.document.policy, request, decision);
        // A connection that nobody opens is cut instead: there is nothing to answer in.
        let refused = report.outcome() == "deny" && !is_unopened(request);
        let reason = decision.reason();
        let steps: Vec<Value> = self
            .taken
            .iter()
            .flat_map(|(sent, _, _, steps)| steps.iter().map(|step| (sent.in_words(), step)))
            .map(|(sent, Step { name, passed, found })| {
                json!({"request": sent, "name": name, "passed": passed, "found": found})
            })
            .collect();
        json!({
            "decision": report.outcome(),
            "reason": reason.map(Reason::code),
            "step": reason.map(Reason::step),
            "rule": decision.rule().map(|rule| rule.to_string()),
            "host": report.host(),
            "method": report.method(),
            "policy": self.document.policy.name(),
            "status": refused.then_some(403),
            "proxy_error": reason.filter(|_| refused).map(Reason::proxy_error),
            "header": report.header(),
            "problem": if refused { problem(&report) } else { Value::Null },
            "sent_as": self.taken.iter().map(|(sent, ..)| sent.in_words()).collect::<Vec<_>>(),
            "steps": steps,
        })
    }
}

fn problem(report: &Report<'_>) -> Value {
    serde_json::from_str(&report.problem()).unwrap_or_default()
}

/// What the reader may not expect of what a client sends.
fn notes(explanation: &Explanation<'_>, target: &Target<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    if matches!(target.scheme, Scheme::Unopened { .. }) {
        notes.push("where Envoy opens TLS, or a client asks a proxy for a tunnel, other things are seen: see https:// and CONNECT".to_owned());
        if explanation.taken.iter().any(|(_, _, decision, _)| !decision.is_allowed()) {
            notes.push("the client sees the end of the connection and no reason; the audit record has it".to_owned());
        }
    }
    let inspected =
        explanation.taken.first().is_some_and(|(_, connect, ..)| is_looked_into(explanation.document, connect));
    if target.is_tunnelled() && !inspected {
        notes.push("the request itself stays inside the tunnel: the plugin sees the CONNECT alone".to_owned());
    }
    if target.is_tunnelled() && inspected {
        notes.push("this holds where Envoy looks into TLS, as inspecting-proxy.yaml does".to_owned());
    }
    if target.scheme == Scheme::Ws {
        notes.push(format!(
            "many WebSocket clients ask a proxy for a tunnel instead: see CONNECT {}",
            shown(&target.tunnel())
        ));
    }
    if target.authority.contains(&b'@') {
        notes.push("most clients, and Envoy itself in a plain request, take user information off; this is what would come of it".to_owned());
    }
    if let Some(a_label) = str::from_utf8(target.authority).ok().filter(|name| !name.is_ascii()).and_then(|name| {
        let host = name.split(':').next().unwrap_or_default();
        idna::domain_to_ascii(host).ok()
    }) {
        notes.push(format!("clients send the A-label of such a name: {a_label}"));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[&str]) -> Result<Headers, String> {
        let mut headers = Headers::default();
        lines.iter().try_for_each(|line| headers.read(line.as_bytes()))?;
        Ok(headers)
    }

    #[test]
    fn headers_are_read_as_the_plugin_reads_them() {
        let read =
            headers(&["Content-Type: a/b", "content-type: c/d", "X-HTTP-Method: PUT", "content-length: 00"]).unwrap();
        assert_eq!(read.content_type, b"a/b");
        assert!(read.method_override && !read.body && !read.upgrade);
        assert!(headers(&["Transfer-Encoding: chunked"]).unwrap().body);
        assert!(headers(&["content-length: 5"]).unwrap().body);
        assert!(headers(&[":protocol: websocket"]).unwrap().upgrade);
        assert!(headers(&["upgrade:websocket"]).unwrap().upgrade);
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for line in ["", "name", ":", ": value", "a b: c", ":path: /"] {
            headers(&[line]).unwrap_err();
        }
    }
}
