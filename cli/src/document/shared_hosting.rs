//! Hosts at which anybody can publish, or gets a host of their own: what is read there may hold
//! instructions for an agent, and what is sent there reaches whoever asked for it.
//!
//! This is advice for `weir check` alone; the plugin knows nothing of it. A line is here when the
//! service itself says that anyone may sign up and publish. It is not a list of every such service:
//! the Public Suffix List's private section, which is looked at too, holds some thousand more.

use psl::{Psl, Type};
use weir_policy::{Covers, Pattern};

/// A host, or `*.` and a domain under which customers get hosts; what anyone can put there.
type Shared = (&'static str, &'static str);

const SHARED: &[Shared] = &[
    // Source control.
    ("github.com", "anyone's repositories and issues"),
    ("gist.github.com", "anyone's gists"),
    ("raw.githubusercontent.com", "files in anyone's repositories and gists"),
    ("gitlab.com", "anyone's projects"),
    ("bitbucket.org", "anyone's repositories"),
    ("sourceforge.net", "anyone's projects"),
    ("launchpad.net", "anyone's projects"),
    ("codeberg.org", "anyone's repositories"),
    // Packages and images.
    ("registry.npmjs.org", "anyone's packages"),
    ("registry.yarnpkg.com", "anyone's packages"),
    ("pypi.org", "anyone's packages"),
    ("files.pythonhosted.org", "anyone's packages"),
    ("anaconda.org", "anyone's packages"),
    ("crates.io", "anyone's packages"),
    ("static.crates.io", "anyone's packages"),
    ("rubygems.org", "anyone's packages"),
    ("www.nuget.org", "anyone's packages"),
    ("api.nuget.org", "anyone's packages"),
    ("packagist.org", "anyone's packages"),
    ("hex.pm", "anyone's packages"),
    ("pub.dev", "anyone's packages"),
    ("packagecloud.io", "anyone's packages"),
    ("aur.archlinux.org", "anyone's build recipes"),
    ("proxy.golang.org", "any public repository, served as a module"),
    ("goproxy.io", "any public repository, served as a module"),
    ("hub.docker.com", "anyone's images"),
    ("registry-1.docker.io", "anyone's images"),
    ("ghcr.io", "anyone's images"),
    ("quay.io", "anyone's images"),
    ("gcr.io", "anyone's images"),
    ("marketplace.visualstudio.com", "anyone's editor extensions"),
    ("huggingface.co", "anyone's models, data sets and running programs"),
    // Clouds and offices.
    ("*.cloudapp.azure.com", "any customer's virtual machines"),
    ("dev.azure.com", "any customer's repositories and packages"),
    ("*.blob.core.windows.net", "any customer's storage"),
    ("*.s3.amazonaws.com", "any customer's storage"),
    ("s3.amazonaws.com", "any customer's storage"),
    ("*.execute-api.us-east-1.amazonaws.com", "any customer's programs"),
    ("storage.googleapis.com", "any customer's storage"),
    ("docs.google.com", "anyone's documents and forms"),
    ("drive.google.com", "anyone's files"),
    ("script.google.com", "anyone's programs"),
    ("sites.google.com", "anyone's pages"),
    // Made to take in what is sent.
    ("pastebin.com", "anyone's texts"),
    ("paste.ubuntu.com", "anyone's texts"),
    ("httpbin.org", "whatever is sent, sent back"),
    ("webhook.site", "anyone's collector of requests"),
    ("discord.com", "anyone's webhooks"),
    ("hooks.slack.com", "anyone's webhooks"),
    ("api.telegram.org", "anyone's bots"),
];

/// One host that a pattern opens, and what anyone can put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) host: String,
    pub(super) what: &'static str,
}

/// What `pattern` opens to anyone, unless `denied` says that a host is refused anyway.
pub(super) fn hits(pattern: &Pattern, denied: impl Fn(&Pattern) -> bool) -> Vec<Hit> {
    let mut hits: Vec<Hit> = SHARED
        .iter()
        .filter(|(host, _)| {
            let one = one_of(host);
            pattern.covers(&one) && !denied(&one)
        })
        .map(|&(host, what)| Hit { host: host.to_owned(), what })
        .collect();
    if let Pattern::Domain { name, .. } = pattern
        && suffix_of(pattern) == Some(Type::Private)
        && !denied(pattern)
    {
        hits.push(Hit { host: format!("*.{name}"), what: "anyone's hosts (Public Suffix List)" });
    }
    hits
}

/// The kind of public suffix that `pattern` opens, if it opens one as a whole.
pub(super) fn suffix_of(pattern: &Pattern) -> Option<Type> {
    let Pattern::Domain { name, covers: Covers::Both | Covers::Subdomains } = pattern else { return None };
    let suffix = psl::List.suffix(name.as_bytes())?;
    if suffix.as_bytes() == name.as_bytes() { suffix.typ() } else { None }
}

/// A pattern for the host, or for one of the hosts, of a line above.
fn one_of(host: &str) -> Pattern {
    match host.strip_prefix("*.") {
        Some(domain) => Pattern::Domain { name: domain.to_owned(), covers: Covers::Subdomains },
        None => crate::document::policy_file::exactly(host),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(pattern: &str) -> Vec<String> {
        hits(&Pattern::parse(pattern).unwrap(), |_| false).into_iter().map(|hit| hit.host).collect()
    }

    #[test]
    fn every_line_is_a_host_and_stands_here_once() {
        for (index, (host, what)) in SHARED.iter().enumerate() {
            Pattern::parse(host).unwrap();
            assert!(!what.is_empty() && !what.ends_with('.'));
            assert!(SHARED.iter().skip(index + 1).all(|(other, _)| other != host), "{host}");
        }
    }

    #[test]
    fn an_entry_is_warned_of_for_what_it_covers() {
        assert_eq!(hosts("github.com"), ["github.com", "gist.github.com"]);
        assert_eq!(hosts("*.github.com"), ["gist.github.com"]);
        assert_eq!(hosts("=api.github.com"), [""; 0]);
        assert_eq!(hosts("azure.com"), ["*.cloudapp.azure.com", "dev.azure.com"]);
        assert_eq!(hosts("github.io"), ["*.github.io"]);
        assert_eq!(hosts("=github.io"), [""; 0]);
        assert_eq!(hosts("githubusercontent.com"), ["raw.githubusercontent.com", "*.githubusercontent.com"]);
        assert_eq!(hosts("example.com"), [""; 0]);
    }

    #[test]
    fn public_suffixes_are_known() {
        let kind = |pattern| suffix_of(&Pattern::parse(pattern).unwrap());
        assert_eq!(kind("co.uk"), Some(Type::Icann));
        assert_eq!(kind("*.co.uk"), Some(Type::Icann));
        assert_eq!(kind("foo.kawasaki.jp"), Some(Type::Icann));
        assert_eq!(kind("example.co.uk"), None);
        assert_eq!(kind("github.io"), Some(Type::Private));
        assert_eq!(kind("me.github.io"), None);
        assert_eq!(kind("example.notatld"), None);
    }
}
