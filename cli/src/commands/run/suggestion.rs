//! For a request that was refused: the line that the policy would need, tried on the policy before it is told.
//!
//! The narrowest entry is suggested: one name, one method, one port more. Nothing is suggested for what no policy can make
//! right, and nothing here says that it should be allowed.

use serde_json::{Map, Value, json};
use weir_policy::{Authority, Entry, Host, Methods, Ports, Reason, Request, Transport};

use crate::document::policy_file::Document;

/// Characters of a method, a path or a server name that are kept: a client chooses how long they are.
const KEPT: usize = 1024;

/// What was refused: one host and reason, and of the rest what the reason is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Refused {
    pub(crate) host: String,
    pub(crate) port: Option<u16>,
    /// Empty where the reason is not about it; always there for CONNECT, which is decided in its own way.
    pub(crate) method: String,
    /// Empty where the reason is not about it.
    pub(crate) path: String,
    pub(crate) reason: String,
}

/// One of the requests that were refused together, on which a suggestion is tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sample {
    method: String,
    path: String,
    /// The server name of the TLS connection that it came in; empty without TLS.
    server_name: String,
}

impl Sample {
    pub(crate) fn new(method: &str, path: &str, server_name: &str) -> Sample {
        Sample { method: bounded(method), path: bounded(path), server_name: bounded(server_name) }
    }
}

fn bounded(text: &str) -> String {
    text.chars().take(KEPT).collect()
}

/// The host of an authority as the policy reads it; as it came where it is none.
pub(super) fn host_of(authority: &str) -> String {
    match Authority::parse(authority.as_bytes()).map(|it| it.host) {
        Ok(Host::Name(name)) => name.as_str().to_ascii_lowercase(),
        _ => authority.to_owned(),
    }
}

/// What to tell about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Advice {
    pub(crate) text: String,
    /// The entry or field to write into the policy, where one would do.
    pub(crate) change: Option<Value>,
}

impl Refused {
    pub(crate) fn new(reason: &str, authority: &str, method: &str, path: &str) -> Refused {
        let code = find(reason);
        let of_method = method == "CONNECT" || code.is_some_and(is_about_methods);
        let of_path = code == Some(Reason::PathNotAllowed);
        let parsed = Authority::parse(authority.as_bytes());
        Refused {
            host: match parsed.map(|it| it.host) {
                Ok(Host::Address(address)) => address.to_string(),
                _ => host_of(authority),
            },
            port: parsed.ok().and_then(|it| it.port),
            method: if of_method { bounded(method) } else { String::new() },
            path: if of_path { bounded(path) } else { String::new() },
            reason: reason.to_owned(),
        }
    }

    /// What was refused, in a few words.
    pub(crate) fn what(&self) -> String {
        let method = if self.method.is_empty() { String::new() } else { format!("{} ", self.method) };
        let port = self.port.filter(|port| ![80, 443].contains(port)).map(|port| format!(":{port}"));
        format!("{method}{}{}{}", self.host, port.unwrap_or_default(), self.path)
    }

    /// The host and the port as an authority writes them.
    fn authority(&self) -> String {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        if self.host.contains(':') { format!("[{}]{port}", self.host) } else { format!("{}{port}", self.host) }
    }

    /// Whether `document` allows `sample`, which is one of the requests that were refused.
    fn is_allowed_by(&self, sample: &Sample, document: &Document) -> Result<(), Reason> {
        let authority = self.authority();
        let reason = find(&self.reason);
        let request = Request {
            method: if sample.method.is_empty() { b"GET" } else { sample.method.as_bytes() },
            authority: authority.as_bytes(),
            path: if sample.path.is_empty() { b"/" } else { sample.path.as_bytes() },
            method_override: reason == Some(Reason::MethodOverride),
            body: reason == Some(Reason::BodyNotAllowed),
            upgrade: reason == Some(Reason::UpgradeNotAllowed),
            transport: match sample.server_name.as_str() {
                "" => Transport::Cleartext,
                name => Transport::Tls { server_name: name.as_bytes() },
            },
            ..Request::default()
        };
        document.policy.decide(&request).reason().map_or(Ok(()), Err)
    }
}

fn find(reason: &str) -> Option<Reason> {
    Reason::ALL.iter().copied().find(|known| known.code() == reason)
}

fn is_about_methods(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::MethodNotAllowed | Reason::MethodOverride | Reason::BodyNotAllowed | Reason::UpgradeNotAllowed
    )
}

/// What would let `refused` through, tried on `sample`.
pub(crate) fn suggest(document: &Document, refused: &Refused, sample: &Sample) -> Advice {
    let nothing = |text: &str| Advice { text: text.to_owned(), change: None };
    let Some(reason) = find(&refused.reason) else { return nothing("") };
    let rule = |field: &str, value: Value| Some(rule(document, refused, field, value));
    let entry = match reason {
        Reason::AccessOff => return field(document, refused, sample, "internet_access", "on"),
        Reason::TunnelNotInspected => return field(document, refused, sample, "tls", "inspected"),
        Reason::DomainDenied => return nothing(&format!("take {} off the denylist", denied_by(document, refused))),
        Reason::AuthorityInvalid => return nothing("nothing: this is no host name"),
        Reason::TlsNameMismatch => return nothing("nothing: TLS and HTTP name different hosts"),
        Reason::IpLiteral | Reason::SpecialName | Reason::DomainNotAllowed => Some(plain(&refused.host)),
        Reason::PortNotAllowed => ports(document, refused).and_then(|ports| rule("ports", ports)),
        Reason::MethodNotAllowed => rule("methods", methods(document, refused)),
        Reason::MethodOverride | Reason::BodyNotAllowed | Reason::UpgradeNotAllowed => rule("methods", json!("all")),
        Reason::PathNotAllowed => rule("paths", paths(document, refused)),
    };
    let Some(entry) = entry else { return nothing("nothing: no port of this kind can be allowed") };
    let mut changed = document.to_value();
    if add(&mut changed, &entry).is_none() {
        return nothing("");
    }
    match tried(&changed, refused, sample, reason) {
        Some(then) => Advice { text: format!("add {entry} to allowlist.domains{then}"), change: Some(entry) },
        None if reason == Reason::IpLiteral => nothing("nothing: name the host instead of its address"),
        None => nothing(&format!("change {}", governor(document, refused).map_or("the policy".into(), Entry::place))),
    }
}

/// A field of the policy as a whole.
fn field(document: &Document, refused: &Refused, sample: &Sample, name: &str, value: &str) -> Advice {
    let mut changed = document.to_value().as_object().cloned().unwrap_or_default();
    changed.insert(name.to_owned(), json!(value));
    let changed = Value::Object(changed);
    let then = find(&refused.reason).and_then(|reason| tried(&changed, refused, sample, reason)).unwrap_or_default();
    Advice { text: format!("write \"{name}\": \"{value}\"{then}"), change: Some(json!({ name: value })) }
}

/// Reads the changed policy and decides again: none where the change does not help, else what would come next.
fn tried(changed: &Value, refused: &Refused, sample: &Sample, reason: Reason) -> Option<String> {
    let document = Document::read(changed.to_string().as_bytes()).ok()?;
    match refused.is_allowed_by(sample, &document) {
        Ok(()) => Some(String::new()),
        Err(next) if next == reason => None,
        Err(next) => Some(format!(" (then {next})")),
    }
}

/// One name or address alone.
fn plain(host: &str) -> Value {
    if host.parse::<std::net::IpAddr>().is_ok() { json!(host) } else { json!(format!("={host}")) }
}

/// A rule for the host alone, with what is allowed there now and `field` changed.
fn rule(document: &Document, refused: &Refused, field: &str, value: Value) -> Value {
    let mut rule = Map::from_iter([("domain".to_owned(), plain(&refused.host))]);
    let mut set = |field: &str, value| drop(rule.insert(field.to_owned(), value));
    if let Some(governor) = governor(document, refused) {
        let limits = governor.limits();
        if limits != document.policy.limits() {
            set("methods", methods_of(&limits.methods));
            set("ports", ports_of(&limits.ports));
            if limits.git_fetch {
                set("allow", json!(["git-fetch"]));
            }
        }
        if let Some(paths) = &limits.paths {
            set("paths", paths.iter().map(weir_policy::PathPrefix::as_str).collect());
        }
    }
    set(field, value);
    Value::Object(rule)
}

fn methods(document: &Document, refused: &Refused) -> Value {
    match &limits_of(document, refused).methods {
        Methods::All => json!("all"),
        Methods::Only(methods) => methods.iter().map(String::as_str).chain([refused.method.as_str()]).collect(),
    }
}

fn ports(document: &Document, refused: &Refused) -> Option<Value> {
    let port = refused.port?;
    Some(match &limits_of(document, refused).ports {
        Ports::Any => json!("any"),
        Ports::Only(ports) => ports.iter().copied().chain([port]).collect(),
    })
}

fn paths(document: &Document, refused: &Refused) -> Value {
    let limits = limits_of(document, refused);
    let paths = limits.paths.iter().flatten().map(weir_policy::PathPrefix::as_str);
    paths.chain([refused.path.as_str()]).collect()
}

fn methods_of(methods: &Methods) -> Value {
    match methods {
        Methods::All => json!("all"),
        Methods::Only(methods) => json!(methods),
    }
}

fn ports_of(ports: &Ports) -> Value {
    match ports {
        Ports::Any => json!("any"),
        Ports::Only(ports) => json!(ports),
    }
}

fn limits_of<'d>(document: &'d Document, refused: &Refused) -> &'d weir_policy::Limits {
    governor(document, refused).map_or(document.policy.limits(), Entry::limits)
}

/// The entry that decides what is allowed at the host.
fn governor<'d>(document: &'d Document, refused: &Refused) -> Option<Entry<'d>> {
    Authority::parse(refused.authority().as_bytes()).ok().and_then(|it| document.policy.allowed_by(it.host))
}

fn denied_by(document: &Document, refused: &Refused) -> String {
    let authority = refused.authority();
    let entry = Authority::parse(authority.as_bytes()).ok().and_then(|it| document.policy.denied_by(it.host));
    entry.map_or_else(|| refused.host.clone(), |entry| json!(entry.text()).to_string())
}

/// Adds `entry` to the allowlist of a policy.
fn add(document: &mut Value, entry: &Value) -> Option<()> {
    if document.is_null() {
        *document = json!({});
    }
    let allowlist = document.as_object_mut()?.entry("allowlist").or_insert_with(|| json!({}));
    let domains = allowlist.as_object_mut()?.entry("domains").or_insert_with(|| json!([]));
    domains.as_array_mut()?.push(entry.clone());
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: &str = r#"{"internet_access": "on", "methods": "read-only", "denylist": ["gist.github.com"],
        "allowlist": {"preset": "rust", "domains": ["a.example", {"domain": "=b.example", "paths": ["/v1"]}]}}"#;

    fn advice(policy: &str, reason: &str, authority: &str, method: &str, path: &str) -> String {
        let document = Document::read(policy.as_bytes()).unwrap();
        suggest(&document, &Refused::new(reason, authority, method, path), &Sample::new(method, path, "")).text
    }

    /// Whatever the row leaves out of a request, the suggestion is tried on the request as it was.
    #[test]
    fn what_comes_next_is_that_of_the_request_itself() {
        let add = |entry: &str, then: &str| format!("add {entry} to allowlist.domains{then}");
        let policy = r#"{"internet_access": "on", "methods": "read-only",
            "allowlist": {"domains": [{"domain": "b.example", "paths": ["/v1"]}]}}"#;
        let rule =
            r#"{"domain":"=b.example","methods":["GET","HEAD","OPTIONS","POST"],"paths":["/v1"],"ports":[80,443]}"#;
        for (reason, authority, path, expected) in [
            ("method-not-allowed", "b.example", "/v1/x", add(rule, "")),
            ("method-not-allowed", "b.example", "/v2/x", add(rule, " (then path-not-allowed)")),
            ("domain-not-allowed", "x.example", "/", add("\"=x.example\"", " (then method-not-allowed)")),
        ] {
            assert_eq!(advice(policy, reason, authority, "POST", path), expected, "{path}");
        }
        // Inside a tunnel a name without a port means port 443.
        let document = Document::read(br#"{"internet_access": "on", "ports": [443]}"#).unwrap();
        let refused = Refused::new("domain-not-allowed", "x.example", "GET", "/");
        let text = |server_name| suggest(&document, &refused, &Sample::new("GET", "/", server_name)).text;
        assert_eq!(text("x.example"), add("\"=x.example\"", ""));
        assert_eq!(text(""), add("\"=x.example\"", " (then port-not-allowed)"));
    }

    #[test]
    fn what_a_client_chose_is_kept_in_part() {
        let long = "x".repeat(60_000);
        let refused = Refused::new("path-not-allowed", "a.example", "GET", &format!("/{long}"));
        assert_eq!(refused.path.len(), KEPT);
        let sample = Sample::new(&long, &long, &long);
        assert_eq!(sample.method.len() + sample.path.len() + sample.server_name.len(), 3 * KEPT);
    }

    #[test]
    fn the_narrowest_entry_is_told() {
        for (reason, authority, method, path, expected) in [
            ("domain-not-allowed", "X.example", "GET", "/", r#"add "=x.example" to allowlist.domains"#),
            (
                "domain-not-allowed",
                "x.example:443",
                "CONNECT",
                "",
                r#"add "=x.example" to allowlist.domains (then tunnel-not-inspected)"#,
            ),
            ("ip-literal", "192.0.2.7:80", "GET", "/", r#"add "192.0.2.7" to allowlist.domains"#),
            ("ip-literal", "[2001:db8::7]", "GET", "/", r#"add "2001:db8::7" to allowlist.domains"#),
            ("ip-literal", "0x7f.1", "GET", "/", "nothing: name the host instead of its address"),
            ("special-name", "localhost", "GET", "/", r#"add "=localhost" to allowlist.domains"#),
            (
                "method-not-allowed",
                "a.example",
                "POST",
                "/",
                r#"add {"domain":"=a.example","methods":["GET","HEAD","OPTIONS","POST"]} to allowlist.domains"#,
            ),
            (
                "port-not-allowed",
                "static.crates.io:8080",
                "GET",
                "/",
                r#"add {"domain":"=static.crates.io","ports":[80,443,8080]} to allowlist.domains"#,
            ),
            ("path-not-allowed", "b.example", "GET", "/v2/x", "change allowlist.domains[1]"),
            (
                "body-not-allowed",
                "a.example",
                "GET",
                "/",
                r#"add {"domain":"=a.example","methods":"all"} to allowlist.domains"#,
            ),
            ("domain-denied", "gist.github.com", "GET", "/", r#"take "gist.github.com" off the denylist"#),
            ("tunnel-not-inspected", "a.example:443", "CONNECT", "", r#"write "tls": "inspected""#),
            ("authority-invalid", "a b", "GET", "/", "nothing: this is no host name"),
            ("tls-name-mismatch", "a.example", "GET", "/", "nothing: TLS and HTTP name different hosts"),
        ] {
            assert_eq!(advice(POLICY, reason, authority, method, path), expected, "{reason} {authority}");
        }
        assert_eq!(
            advice("", "access-off", "a.example", "GET", "/"),
            r#"write "internet_access": "on" (then domain-not-allowed)"#
        );
    }

    #[test]
    fn what_a_row_is_about_is_in_it() {
        let row = |reason, method, path| Refused::new(reason, "a.example:8080", method, path).what();
        assert_eq!(row("domain-not-allowed", "POST", "/x"), "a.example:8080");
        assert_eq!(row("method-not-allowed", "POST", "/x"), "POST a.example:8080");
        assert_eq!(row("path-not-allowed", "GET", "/x"), "a.example:8080/x");
    }
}
