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
    ("github.com", "repositories and issues of anyone"),
    ("gist.github.com", "gists of anyone"),
    ("raw.githubusercontent.com", "files of anyone's repositories and gists"),
    ("gitlab.com", "projects of anyone"),
    ("bitbucket.org", "repositories of anyone"),
    ("sourceforge.net", "projects of anyone"),
    ("launchpad.net", "projects of anyone"),
    ("codeberg.org", "repositories of anyone"),
    // Packages and images.
    ("registry.npmjs.org", "packages of anyone"),
    ("registry.yarnpkg.com", "packages of anyone"),
    ("pypi.org", "packages of anyone"),
    ("files.pythonhosted.org", "packages of anyone"),
    ("anaconda.org", "packages of anyone"),
    ("crates.io", "packages of anyone"),
    ("static.crates.io", "packages of anyone"),
    ("rubygems.org", "packages of anyone"),
    ("www.nuget.org", "packages of anyone"),
    ("api.nuget.org", "packages of anyone"),
    ("packagist.org", "packages of anyone"),
    ("hex.pm", "packages of anyone"),
    ("pub.dev", "packages of anyone"),
    ("packagecloud.io", "packages of anyone"),
    ("aur.archlinux.org", "build recipes of anyone"),
    ("proxy.golang.org", "any public repository, served as a module"),
    ("goproxy.io", "any public repository, served as a module"),
    ("hub.docker.com", "images of anyone"),
    ("registry-1.docker.io", "images of anyone"),
    ("ghcr.io", "images of anyone"),
    ("quay.io", "images of anyone"),
    ("gcr.io", "images of anyone"),
    ("marketplace.visualstudio.com", "editor extensions of anyone"),
    ("huggingface.co", "models, data sets and running programs of anyone"),
    // Clouds and offices.
    ("*.cloudapp.azure.com", "virtual machines of any customer"),
    ("dev.azure.com", "repositories and packages of any customer"),
    ("*.blob.core.windows.net", "storage of any customer"),
    ("*.s3.amazonaws.com", "storage of any customer"),
    ("s3.amazonaws.com", "storage of any customer"),
    ("*.execute-api.us-east-1.amazonaws.com", "programs of any customer"),
    ("storage.googleapis.com", "storage of any customer"),
    ("docs.google.com", "documents and forms of anyone"),
    ("drive.google.com", "files of anyone"),
    ("script.google.com", "programs of anyone"),
    ("sites.google.com", "pages of anyone"),
    // Made to take in what is sent.
    ("pastebin.com", "texts of anyone"),
    ("paste.ubuntu.com", "texts of anyone"),
    ("httpbin.org", "whatever is sent, sent back"),
    ("webhook.site", "a collector of requests for anyone"),
    ("discord.com", "webhooks of anyone"),
    ("hooks.slack.com", "webhooks of anyone"),
    ("api.telegram.org", "bots of anyone"),
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
        hits.push(Hit { host: format!("*.{name}"), what: "hosts of anyone (Public Suffix List)" });
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
