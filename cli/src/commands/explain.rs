//! `weir explain`: what a policy decides about one request, and the step that took the decision.

mod steps;
mod target;

use std::ffi::OsString;

use clap::Args;
use serde_json::{Value, json};
use weir_policy::{Decision, Mode, Reason, Report, Request, Tls, Transport};

use crate::console::exit::Exit;
use crate::console::terminal::{BAD, FAINT, GOOD, STRONG, WARNING, data, mistake, paint, shown, words};
use crate::document::argument::PolicyArgument;
use crate::document::policy_file::Document;
use steps::{Step, is_passthrough};
use target::{Scheme, Target};

const EXAMPLES: &str = "\
Examples:
  weir explain --policy policy.json GET http://github.com/rust-lang/rust
  weir explain --policy policy.json POST https://api.github.com/gists
  weir explain --policy policy.json CONNECT github.com:443
  weir explain --policy policy.json TLS github.com:443
  weir explain --policy policy.json GET http://example.com/ --header 'x-http-method-override: DELETE'
  echo '{\"internet_access\": \"on\"}' | weir explain --policy - GET http://0x7f.1/ --json

An https or wss URL reaches a proxy as CONNECT host:443. With \"tls\": \"passthrough\" that is all the plugin \
sees, and what is decided; with \"inspected\" the request inside is decided too. The URL is taken as it is \
written: nothing is decoded or repaired. --policy - reads the policy from standard input.

TLS is what the plugin's audit records call a connection under TLS passthrough (in a sidecar, at an egress \
gateway): decided by the server name in its ClientHello and its port, and closed without an answer where it is \
refused. TLS :443 is one whose ClientHello names no host, as for every address.

--json prints one object, whose fields are:
  decision     \"allow\", \"deny\", or \"would-deny\" where the policy only audits
  reason       the reason's code, and the step that refused (null when allowed)
  step
  rule         the entry that decided, or null
  place        where it stands in the policy, or null
  host         as the plugin names it
  method       of the request that was decided: CONNECT for the tunnel, TLS under TLS passthrough
  policy       the policy's name
  status       403 where the plugin answers itself, null where the request goes on or the connection is closed
  proxy_error  the value of x-proxy-error, or null
  header       the value of x-weir-decision (of what is allowed or closed it is in the access log alone)
  problem      the body of the refusal, or null
  sent_as      what reaches the proxy, in order
  steps        [{\"request\", \"name\", \"passed\", \"found\"}]

Exit code: 0 allowed (or only audited), 3 denied, 2 a mistake in the policy or the command line.";

/// Show what a policy decides about one request, step by step
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Explain {
    #[command(flatten)]
    policy: PolicyArgument,
    /// Method, compared byte for byte (get is not GET); TLS for a connection under TLS passthrough
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
        self.explain().unwrap_or_else(|exit| exit)
    }

    fn explain(&self) -> Result<Exit, Exit> {
        let (_, document) = self.policy.read()?;
        let method = self.method.as_encoded_bytes();
        let wrong = |what: &dyn std::fmt::Display| {
            mistake(what);
            Exit::Mistake
        };
        let target = Target::of(method, self.url.as_encoded_bytes()).map_err(|no_target| wrong(&no_target))?;
        if matches!(target.scheme, Scheme::TlsPassthrough { .. }) && (self.body || !self.headers.is_empty()) {
            return Err(wrong(&"under TLS passthrough headers and body are not seen: leave --header and --body out"));
        }
        let mut headers = Vec::new();
        if target.is_upgrade() {
            headers.push((b"upgrade".to_vec(), b"websocket".to_vec()));
        }
        for written in &self.headers {
            headers.push(header(written.as_encoded_bytes()).map_err(|no_header| wrong(&no_header))?);
        }
        let sent = sent(&document, method, &target, &headers, self.body);
        let explanation = Explanation::new(&document, &sent);
        if self.json {
            data(explanation.object());
        } else {
            explanation.print();
            for note in notes(&explanation, &target) {
                words(format_args!("{} {note}", paint(FAINT, "note:")));
            }
        }
        Ok(explanation.exit())
    }
}

/// One header: its name in lower case, as Envoy keeps it, and its value.
type Header = (Vec<u8>, Vec<u8>);

/// Cuts `name: value`. What the header means is for [`Request::from_headers`] to say, as it is in the plugin.
fn header(written: &[u8]) -> Result<Header, String> {
    // A pseudo-header, `:protocol`, begins with the colon that ends others.
    let colon = written.iter().skip(1).position(|&byte| byte == b':').map(|at| at + 1);
    let name = colon.and_then(|colon| written.get(..colon)).map(<[u8]>::to_ascii_lowercase).unwrap_or_default();
    let value = colon.and_then(|colon| written.get(colon + 1..)).unwrap_or_default().trim_ascii();
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:".contains(byte);
    if name.is_empty() || !name.iter().all(is_name) {
        return Err(format!("{:?} is not a header: write 'name: value'", shown(written)));
    }
    if matches!(name.as_slice(), b"host" | b":method" | b":authority" | b":path" | b":scheme") {
        return Err(format!("{} follows from METHOD and URL, as it does in Envoy", shown(&name)));
    }
    Ok((name, value.to_owned()))
}

/// One request as it reaches the plugin.
struct Sent<'t> {
    method: &'t [u8],
    authority: Vec<u8>,
    /// Absent in CONNECT.
    path: Option<Vec<u8>>,
    transport: Transport<'t>,
    headers: &'t [Header],
    body: bool,
}

impl Sent<'_> {
    fn request(&self) -> Request<'_> {
        if let Transport::Passthrough { port } = self.transport {
            return Request::tls_passthrough(&self.authority, port);
        }
        let pseudo = [(&b":method"[..], self.method), (b":authority", &self.authority)];
        let path = self.path.as_ref().map(|path| (&b":path"[..], path.as_slice()));
        let headers = self.headers.iter().map(|(name, value)| (name.as_slice(), value.as_slice()));
        let request = Request::from_headers(pseudo.into_iter().chain(path).chain(headers), !self.body);
        Request { transport: self.transport, ..request }
    }

    fn in_words(&self) -> String {
        let (method, request) = (shown(self.method), self.request());
        if request.is_connect() {
            return format!("{method} {}", shown(&self.authority));
        }
        let path = shown(request.path);
        let upgrade = if request.upgrade { ", an upgrade" } else { "" };
        match self.transport {
            Transport::Cleartext => format!("{method} http://{}{path}{upgrade}", shown(&self.authority)),
            Transport::Tls { server_name } => format!(
                "{method} {path} to {} inside TLS for {}{upgrade}",
                shown(&self.authority),
                if server_name.is_empty() { "no name".to_owned() } else { shown(server_name) }
            ),
            Transport::Passthrough { port } if self.authority.is_empty() => {
                format!("TLS to port {port} with a ClientHello that names no host")
            }
            Transport::Passthrough { port } => format!("TLS to {} at port {port}", shown(&self.authority)),
        }
    }
}

/// The requests that reach the plugin for one URL, in order.
fn sent<'t>(
    document: &Document,
    method: &'t [u8],
    target: &Target<'t>,
    headers: &'t [Header],
    body: bool,
) -> Vec<Sent<'t>> {
    if let Scheme::TlsPassthrough { port } = target.scheme {
        let (authority, transport) = (target.server_name().to_owned(), Transport::Passthrough { port });
        return vec![Sent { method, authority, path: None, transport, headers: &[], body: false }];
    }
    let mut sent = Vec::new();
    if target.is_tunnelled() || target.scheme == Scheme::Tunnel {
        // A client keeps its headers and body for the inside of a tunnel that it opens by itself.
        let (headers, body) = if target.scheme == Scheme::Tunnel { (headers, body) } else { (&[][..], false) };
        let (authority, transport) = (target.tunnel(), Transport::Cleartext);
        sent.push(Sent { method: b"CONNECT", authority, path: None, transport, headers, body });
    }
    let inside = sent.iter().any(|sent: &Sent<'_>| is_inspected(document, &sent.request()));
    if target.scheme != Scheme::Tunnel && (inside || !target.is_tunnelled()) {
        let transport = if target.is_tunnelled() {
            Transport::Tls { server_name: target.server_name() }
        } else {
            Transport::Cleartext
        };
        let authority = target.authority.to_owned();
        sent.push(Sent { method, authority, path: Some(target.path()), transport, headers, body });
    }
    sent
}

/// Whether this opens a tunnel that Envoy inspects.
fn is_inspected(document: &Document, connect: &Request<'_>) -> bool {
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
            let rule = decision.entry().map(|entry| format!(" by {entry}")).unwrap_or_default();
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
        // A connection under TLS passthrough is closed instead: there is nothing to answer in.
        let refused = report.outcome() == "deny" && !is_passthrough(request);
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
            "rule": decision.entry().map(|entry| entry.to_string()),
            "place": decision.entry().map(weir_policy::Entry::place),
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
    if matches!(target.scheme, Scheme::TlsPassthrough { .. }) {
        notes.push(
            "where Envoy terminates TLS, or a client asks a proxy for a tunnel, more is seen: try https:// and CONNECT"
                .to_owned(),
        );
        if explanation.taken.iter().any(|(_, _, decision, _)| !decision.is_allowed()) {
            notes.push("the client sees the connection closed and no reason; the audit record has it".to_owned());
        }
    }
    let inspected =
        explanation.taken.first().is_some_and(|(_, connect, ..)| is_inspected(explanation.document, connect));
    if target.is_tunnelled() && !inspected {
        notes.push("the request itself stays inside the tunnel: the plugin sees the CONNECT alone".to_owned());
    }
    if target.is_tunnelled() && inspected {
        notes.push("this holds where Envoy inspects TLS, as in inspecting-proxy.yaml".to_owned());
    }
    if target.scheme == Scheme::Ws {
        notes.push(format!(
            "many WebSocket clients ask a proxy for a tunnel instead: see CONNECT {}",
            shown(&target.tunnel())
        ));
    }
    if target.authority.contains(&b'@') {
        notes.push(
            "most clients, and Envoy itself in a plain request, take user information off; this is what would come of it"
                .to_owned(),
        );
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

    #[test]
    fn a_header_is_cut_at_its_colon() {
        for (written, name, value) in [
            ("Content-Type: a/b", "content-type", "a/b"),
            ("upgrade:websocket", "upgrade", "websocket"),
            (":protocol: websocket", ":protocol", "websocket"),
            ("X_HTTP_Method_Override:  DELETE ", "x_http_method_override", "DELETE"),
            ("x-empty:", "x-empty", ""),
            ("x-a: b: c", "x-a", "b: c"),
        ] {
            let expected = (name.as_bytes().to_vec(), value.as_bytes().to_vec());
            assert_eq!(header(written.as_bytes()).unwrap(), expected, "{written}");
        }
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for line in ["", "name", ":", ": value", "a b: c", ":path: /", "Host: a.example"] {
            header(line.as_bytes()).unwrap_err();
        }
    }
}
