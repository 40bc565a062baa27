//! What the demo sends, and how each of it must come out.

use weir_policy::Reason;

/// One request, and what must become of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    /// What the table calls it.
    pub(super) name: &'static str,
    pub(super) method: &'static str,
    /// The request target: absolute, or `host:port` for CONNECT. An https one goes through a tunnel to its host, and
    /// by TLS with its name; inside, [`Row::host`] is what is asked for.
    pub(super) target: &'static str,
    /// Further header lines.
    pub(super) headers: &'static [&'static str],
    pub(super) body: &'static str,
    /// The host as the plugin names it.
    pub(super) host: &'static str,
    pub(super) expected: Expected,
    /// The rule that decides; empty for none.
    pub(super) rule: &'static str,
}

/// How a request must be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Allow,
    Deny(Reason),
}

/// The policy at the start. Every decision leaves a record, so that the table can show allowed ones.
pub(super) const FIRST_POLICY: &str = r#"{
  "name": "demo",
  "internet_access": "on",
  "allowlist": {
    "preset": "common-dependencies",
    "domains": ["example.com", "*.example.org"]
  },
  "denylist": ["gist.github.com"],
  "methods": "read-only",
  "tls": "inspected",
  "audit": { "log": "all" }
}"#;

const GITHUB: &str = "common-dependencies:github.com";

/// A GET that nothing is special about.
const GET: Row = Row {
    name: "",
    method: "GET",
    target: "",
    headers: &[],
    body: "",
    host: "github.com",
    expected: Expected::Allow,
    rule: GITHUB,
};

pub(super) const FIRST: &[Row] = &[
    Row { name: "GET github.com/rust-lang", target: "http://github.com/rust-lang", ..GET },
    Row { name: "GET api.github.com", target: "http://api.github.com/", host: "api.github.com", ..GET },
    Row {
        name: "GET example.com",
        target: "http://example.com/",
        host: "example.com",
        rule: "allowlist:example.com",
        ..GET
    },
    // The origin answers with an x-weir-decision of its own, which must not get through.
    Row {
        name: "GET docs.example.org/forge",
        target: "http://docs.example.org/forge",
        host: "docs.example.org",
        rule: "allowlist:*.example.org",
        ..GET
    },
    Row {
        name: "POST api.github.com/gists",
        method: "POST",
        target: "http://api.github.com/gists",
        body: "{\"files\": {}}",
        host: "api.github.com",
        expected: Expected::Deny(Reason::MethodNotAllowed),
        ..GET
    },
    Row {
        name: "POST httpbin.org/post",
        method: "POST",
        target: "http://httpbin.org/post",
        body: "the last commit",
        host: "httpbin.org",
        expected: Expected::Deny(Reason::DomainNotAllowed),
        rule: "",
        ..GET
    },
    Row {
        name: "GET gist.github.com",
        target: "http://gist.github.com/",
        host: "gist.github.com",
        expected: Expected::Deny(Reason::DomainDenied),
        rule: "denylist:gist.github.com",
        ..GET
    },
    Row {
        name: "GET evilgithub.com",
        target: "http://evilgithub.com/",
        host: "evilgithub.com",
        expected: Expected::Deny(Reason::DomainNotAllowed),
        rule: "",
        ..GET
    },
    Row {
        name: "GET 0x7f.1",
        target: "http://0x7f.1/",
        host: "0x7f.1",
        expected: Expected::Deny(Reason::IpLiteral),
        rule: "",
        ..GET
    },
    Row {
        name: "GET metadata.google.internal",
        target: "http://metadata.google.internal/computeMetadata/v1/",
        host: "metadata.google.internal",
        expected: Expected::Deny(Reason::SpecialName),
        rule: "",
        ..GET
    },
    Row {
        name: "GET github.com:22",
        target: "http://github.com:22/",
        expected: Expected::Deny(Reason::PortNotAllowed),
        ..GET
    },
    Row {
        name: "GET github.com, to be DELETE",
        target: "http://github.com/",
        headers: &["x-http-method-override: DELETE"],
        expected: Expected::Deny(Reason::MethodOverride),
        ..GET
    },
    Row {
        name: "GET github.com, with a body",
        target: "http://github.com/",
        body: "the last commit",
        expected: Expected::Deny(Reason::BodyNotAllowed),
        ..GET
    },
    Row {
        name: "GET github.com, as WebSocket",
        target: "http://github.com/",
        headers: &["connection: upgrade", "upgrade: websocket"],
        expected: Expected::Deny(Reason::UpgradeNotAllowed),
        ..GET
    },
    Row { name: "GET https://github.com", target: "https://github.com/rust-lang", ..GET },
    Row {
        name: "POST https://api.github.com",
        method: "POST",
        target: "https://api.github.com/gists",
        body: "{\"files\": {}}",
        host: "api.github.com",
        expected: Expected::Deny(Reason::MethodNotAllowed),
        ..GET
    },
    Row {
        name: "CONNECT httpbin.org:443",
        method: "CONNECT",
        target: "httpbin.org:443",
        host: "httpbin.org",
        expected: Expected::Deny(Reason::DomainNotAllowed),
        rule: "",
        ..GET
    },
    // Fronting: a tunnel and a server name for one host, and inside it a request for another.
    Row {
        name: "GET https, fronted",
        target: "https://github.com/",
        host: "example.com",
        expected: Expected::Deny(Reason::TlsNameMismatch),
        rule: "allowlist:example.com",
        ..GET
    },
];

/// What is changed while Envoy runs: a title, the policy from then on, and what must come out.
pub(super) const LATER: &[(&str, &str, &[Row])] = &[
    (
        "The policy's file is replaced: TLS is passed through, where nobody sees the methods",
        r#"{
  "name": "demo",
  "internet_access": "on",
  "allowlist": { "preset": "common-dependencies" },
  "methods": "read-only",
  "audit": { "log": "all" }
}"#,
        &[Row {
            name: "CONNECT github.com:443",
            method: "CONNECT",
            target: "github.com:443",
            expected: Expected::Deny(Reason::TunnelNotInspected),
            ..GET
        }],
    ),
    (
        "The policy's file is replaced: example.com goes to the denylist, and every method is allowed",
        r#"{
  "name": "demo",
  "internet_access": "on",
  "allowlist": { "preset": "common-dependencies", "domains": ["example.com"] },
  "denylist": ["example.com"],
  "audit": { "log": "all" }
}"#,
        &[
            Row {
                name: "GET example.com",
                target: "http://example.com/",
                host: "example.com",
                expected: Expected::Deny(Reason::DomainDenied),
                rule: "denylist:example.com",
                ..GET
            },
            // Now that nothing is restricted, the tunnel opens and stays closed to the proxy.
            Row { name: "POST https://github.com/login", method: "POST", target: "https://github.com/login", ..GET },
        ],
    ),
];

impl Row {
    /// The value that `x-weir-decision` must have.
    pub(super) fn header(&self, reason: Reason) -> String {
        let mut header = format!("deny; reason={reason}; host=\"{}\"; method={}", self.host, self.method);
        if !self.rule.is_empty() {
            header = format!("{header}; rule=\"{}\"", self.rule);
        }
        header
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::policy_file::Document;

    #[test]
    fn every_reason_of_interest_is_shown_under_policies_that_are_accepted() {
        let policies = [FIRST_POLICY].into_iter().chain(LATER.iter().map(|(_, policy, _)| *policy));
        for policy in policies {
            Document::read(policy.as_bytes()).unwrap();
        }
        let rows: Vec<&Row> = FIRST.iter().chain(LATER.iter().flat_map(|(_, _, rows)| *rows)).collect();
        for reason in Reason::ALL {
            let shown = rows.iter().any(|row| row.expected == Expected::Deny(*reason));
            // These need another policy.
            let not_here = matches!(reason, Reason::AccessOff | Reason::AuthorityInvalid | Reason::PathNotAllowed);
            assert_eq!(shown, !not_here, "{reason}");
        }
    }
}
