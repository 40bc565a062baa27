//! The steps of a decision in their order, each with what it looked at, up to the first refusal.
//!
//! The order and the names are those of the plugin's reasons. Which step refused is the decision's
//! own word; only what the earlier ones found is put into words here.

use weir_policy::{Authority, Decision, Host, Layer, Reason, Request, Transport};

use crate::console::terminal::shown;
use crate::document::limits;
use crate::document::policy_file::Document;

/// One step that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) name: &'static str,
    pub(super) passed: bool,
    pub(super) found: String,
}

/// The steps that led to `decision`.
pub(super) fn steps(document: &Document, request: &Request<'_>, decision: &Decision<'_>) -> Vec<Step> {
    let mut names: Vec<&'static str> = Vec::new();
    for reason in Reason::ALL {
        if !names.contains(&reason.step()) {
            names.push(reason.step());
        }
    }
    let refused_at = decision.reason().map(Reason::step);
    let mut steps = Vec::new();
    for name in names {
        let passed = refused_at != Some(name);
        let found = match decision.reason() {
            Some(reason) if !passed => refused(document, request, decision, reason),
            _ => taken(document, request, decision, name),
        };
        steps.push(Step { name, passed, found });
        if !passed {
            break;
        }
    }
    steps
}

/// What a step that let the request pass looked at.
fn taken(document: &Document, request: &Request<'_>, decision: &Decision<'_>, name: &str) -> String {
    let limits = decision.entry().map_or(document.policy.limits(), weir_policy::Entry::limits);
    match name {
        "internet access" => "on".to_owned(),
        "authority" => host(request),
        "denylist" => match document.entries_of(Layer::Deny).count() {
            0 => "empty".to_owned(),
            _ => "no entry covers the host".to_owned(),
        },
        "allowlist" => decision.entry().map(|entry| entry.to_string()).unwrap_or_default(),
        "port" => format!("{} (allowed: {})", port(request), limits::ports(limits)),
        "method" if is_passthrough(request) => "TLS passthrough, and nothing inside is restricted".to_owned(),
        "method" if request.is_connect() && limits.concern_the_inside() => {
            "a tunnel, and each request inside is decided too".to_owned()
        }
        "method" if request.is_connect() => "a tunnel, and nothing inside is restricted".to_owned(),
        "method" => format!("{} (allowed: {})", shown(request.method), limits::methods(limits)),
        "path" if request.is_connect() || is_passthrough(request) => "a tunnel has none".to_owned(),
        "path" => format!("{} (allowed: {})", shown(request.path), limits::paths(limits)),
        "TLS name" => match request.transport {
            Transport::Tls { server_name: b"" } => "none, as for every address".to_owned(),
            Transport::Tls { server_name } => shown(server_name),
            Transport::Cleartext => "no TLS here".to_owned(),
            Transport::Passthrough { .. } => "the host itself".to_owned(),
        },
        _ => String::new(),
    }
}

/// What the step that refused the request looked at.
fn refused(document: &Document, request: &Request<'_>, decision: &Decision<'_>, reason: Reason) -> String {
    let limits = decision.entry().map_or(document.policy.limits(), weir_policy::Entry::limits);
    let by = decision.entry().map(|entry| entry.to_string()).unwrap_or_default();
    match reason {
        Reason::AccessOff => "off".to_owned(),
        Reason::AuthorityInvalid if request.is_connect() && Authority::parse(request.authority).is_ok() => {
            format!("\"{}\" names no port", shown(request.authority))
        }
        Reason::AuthorityInvalid if is_passthrough(request) && request.authority.is_empty() => {
            "the ClientHello names no host, or there is no TLS".to_owned()
        }
        Reason::AuthorityInvalid if is_passthrough(request) => {
            format!("the ClientHello names \"{}\", which is not a host", shown(request.authority))
        }
        Reason::AuthorityInvalid => format!("\"{}\" is not host[:port]", shown(request.authority)),
        Reason::DomainDenied => by,
        Reason::IpLiteral => "an address, and not listed itself".to_owned(),
        Reason::SpecialName => "a local or metadata name, and not listed itself".to_owned(),
        Reason::DomainNotAllowed => "no entry covers the host".to_owned(),
        Reason::PortNotAllowed => format!("{} (allowed: {})", port(request), limits::ports(limits)),
        Reason::MethodNotAllowed => {
            format!("{} (allowed: {})", shown(request.method), limits::methods(limits))
        }
        Reason::MethodOverride => "a header asks the origin to run another method".to_owned(),
        Reason::BodyNotAllowed => format!("a {} with a body", shown(request.method)),
        Reason::UpgradeNotAllowed => "an upgrade would hide the methods that follow".to_owned(),
        Reason::TunnelNotInspected => {
            let what = if limits.methods.are_restricted() { "methods" } else { "paths" };
            let unseen = if is_passthrough(request) { "this connection" } else { "this tunnel" };
            format!("{what} are restricted, and {unseen} is not inspected")
        }
        Reason::PathNotAllowed => format!("{} (allowed: {})", shown(request.path), limits::paths(limits)),
        Reason::TlsNameMismatch => match request.transport {
            Transport::Tls { server_name: b"" } => "the ClientHello names no host".to_owned(),
            Transport::Tls { server_name } => format!("the ClientHello names {}", shown(server_name)),
            Transport::Cleartext | Transport::Passthrough { .. } => String::new(),
        },
    }
}

/// Whether this is a connection under TLS passthrough.
pub(super) fn is_passthrough(request: &Request<'_>) -> bool {
    matches!(request.transport, Transport::Passthrough { .. })
}

fn host(request: &Request<'_>) -> String {
    match Authority::parse(request.authority) {
        Ok(Authority { host: Host::Name(name), .. }) => format!("the name {}", name.as_str().to_ascii_lowercase()),
        Ok(Authority { host: Host::Address(address), .. }) => format!("the address {address}"),
        Ok(Authority { host: Host::Numeric(text), .. }) => format!("{}, an odd spelling of an address", text.as_str()),
        Err(_) => String::new(),
    }
}

fn port(request: &Request<'_>) -> u16 {
    Authority::parse(request.authority).ok().and_then(|it| it.port).unwrap_or_else(|| request.transport.default_port())
}
