//! What a new policy says: the agents and ecosystems that are known, and what each needs.
//!
//! An agent's hosts are those that its makers document: its API, and the sign-in with an account. Hosts that only
//! gather telemetry are left out. An ecosystem is the preset of its name.

use clap::builder::PossibleValuesParser;
use weir_policy::Pattern;
use weir_policy::preset::{self, Preset};

/// An agent, and the hosts that it sends to.
pub(super) struct Agent {
    name: &'static str,
    title: &'static str,
    command: &'static str,
    api: &'static [&'static str],
    sign_in: &'static [&'static str],
}

const AGENTS: [Agent; 3] = [
    Agent {
        name: "claude-code",
        title: "Claude Code",
        command: "claude",
        api: &["api.anthropic.com"],
        sign_in: &["claude.ai", "platform.claude.com"],
    },
    Agent {
        name: "codex",
        title: "Codex",
        command: "codex",
        api: &["api.openai.com"],
        sign_in: &["chatgpt.com", "auth.openai.com"],
    },
    Agent { name: "generic", title: "", command: "COMMAND", api: &[], sign_in: &[] },
];

/// Presets that are no ecosystem.
const OTHER_PRESETS: [&str; 1] = [COMMON];
const COMMON: &str = "common-dependencies";

/// What an ecosystem's tools need beside the common dependencies.
const MORE_HOSTS: [(&str, &str); 3] =
    [("cloud", "registry.terraform.io"), ("python", "conda.anaconda.org"), ("rust", "static.rust-lang.org")];

/// Forges from which git can fetch, and hosts where anyone can publish what an agent would read.
const FORGES: [&str; 3] = ["github.com", "gitlab.com", "bitbucket.org"];
const PUBLISHED_BY_ANYONE: [&str; 3] = ["gist.github.com", "gist.githubusercontent.com", "paste.ubuntu.com"];

/// What a policy is made of.
pub(super) struct Template {
    agent: &'static Agent,
    presets: Vec<&'static Preset>,
}

fn ecosystems() -> impl Iterator<Item = &'static Preset> {
    preset::all().iter().filter(|preset| !OTHER_PRESETS.contains(&preset.name))
}

/// The names of agents.
pub(super) fn agent_names() -> PossibleValuesParser {
    PossibleValuesParser::new(AGENTS.iter().map(|agent| agent.name))
}

/// The names of ecosystems.
pub(super) fn ecosystem_names() -> PossibleValuesParser {
    PossibleValuesParser::new(ecosystems().map(|preset| preset.name))
}

/// The names of both.
pub(super) fn names() -> PossibleValuesParser {
    PossibleValuesParser::new(AGENTS.iter().map(|agent| agent.name).chain(ecosystems().map(|preset| preset.name)))
}

impl Template {
    /// The template for an agent and ecosystems, each by its name.
    ///
    /// # Errors
    /// There are two agents, or a name is none of either.
    pub(super) fn of<'n>(names: impl Iterator<Item = &'n str>) -> Result<Template, String> {
        let mut agent: Option<&'static Agent> = None;
        let mut presets: Vec<&'static Preset> = Vec::new();
        for name in names {
            if let Some(named) = AGENTS.iter().find(|agent| agent.name == name) {
                if let Some(other) = agent.filter(|other| other.name != named.name) {
                    return Err(format!("a policy is for one agent: {} or {name}", other.name));
                }
                agent = Some(named);
            } else if let Some(preset) = ecosystems().find(|preset| preset.name == name) {
                if !presets.iter().any(|other| other.name == name) {
                    presets.push(preset);
                }
            } else {
                return Err(format!("{name:?} is neither an agent nor an ecosystem"));
            }
        }
        let [.., generic] = &AGENTS;
        if presets.is_empty() {
            presets.extend(preset::all().iter().filter(|preset| preset.name == COMMON));
        }
        Ok(Template { agent: agent.unwrap_or(generic), presets })
    }

    /// What runs the agent.
    pub(super) fn command(&self) -> &'static str {
        self.agent.command
    }

    /// What the policy is for, in a sentence.
    pub(super) fn about(&self) -> String {
        if self.agent.api.is_empty() {
            return format!("Read-only access to what an agent needs to build: {}.", self.presets().join(", "));
        }
        format!("{}: its own API with every method, everything else read-only.", self.agent.title)
    }

    /// The label of the policy in audit records.
    pub(super) fn name(&self) -> String {
        let presets = self.presets().into_iter().filter(|name| *name != COMMON);
        let agent = Some(self.agent.name).filter(|name| *name != "generic");
        let names: Vec<&str> = agent.into_iter().chain(presets).collect();
        if names.is_empty() { "generic".to_owned() } else { names.join("-") }
    }

    pub(super) fn presets(&self) -> Vec<&'static str> {
        self.presets.iter().map(|preset| preset.name).collect()
    }

    /// Hosts that the agent may send to with every method.
    pub(super) fn api(&self) -> &'static [&'static str] {
        self.agent.api
    }

    /// The same, for the sign-in with an account.
    pub(super) fn sign_in(&self) -> &'static [&'static str] {
        self.agent.sign_in
    }

    /// Hosts that the ecosystems need and the presets do not have.
    pub(super) fn more_hosts(&self) -> Vec<&'static str> {
        let named = |name: &str| self.presets.iter().any(|preset| preset.name == name);
        MORE_HOSTS.iter().filter(|(name, _)| named(name)).map(|(_, host)| *host).collect()
    }

    /// The forges among what the presets open, for git-fetch.
    pub(super) fn forges(&self) -> Vec<&'static str> {
        FORGES.into_iter().filter(|host| self.is_open(host)).collect()
    }

    /// Hosts among what the presets open that are better refused.
    pub(super) fn refused(&self) -> Vec<&'static str> {
        PUBLISHED_BY_ANYONE.into_iter().filter(|host| self.is_open(host)).collect()
    }

    fn is_open(&self, host: &str) -> bool {
        let Ok(host) = Pattern::parse(host) else { return false };
        let mut domains = self.presets.iter().flat_map(|preset| preset.domains);
        domains.any(|domain| Pattern::parse(domain).is_ok_and(|domain| domain.covers(&host)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> Template {
        Template::of(names.iter().copied()).unwrap()
    }

    #[test]
    fn names_are_agents_and_ecosystems_in_any_order() {
        for (names, name, presets) in [
            (&[][..], "generic", &["common-dependencies"][..]),
            (&["claude-code"], "claude-code", &["common-dependencies"]),
            (&["rust", "claude-code", "rust"], "claude-code-rust", &["rust"]),
            (&["python", "node"], "python-node", &["python", "node"]),
        ] {
            let template = of(names);
            assert_eq!((template.name().as_str(), template.presets().as_slice()), (name, presets), "{names:?}");
        }
        for names in [&["codex", "claude-code"][..], &["common-dependencies"], &["pascal"]] {
            assert!(Template::of(names.iter().copied()).is_err(), "{names:?}");
        }
    }

    #[test]
    fn only_what_is_open_is_narrowed() {
        assert_eq!(of(&["rust"]).forges(), [""; 0]);
        assert_eq!(of(&["rust"]).refused(), [""; 0]);
        assert_eq!(of(&["source-control"]).forges(), FORGES);
        assert_eq!(of(&[]).refused(), PUBLISHED_BY_ANYONE);
        assert_eq!(of(&["rust", "python"]).more_hosts(), ["conda.anaconda.org", "static.rust-lang.org"]);
    }

    #[test]
    fn hosts_and_ecosystems_of_the_tables_exist() {
        for host in
            MORE_HOSTS.iter().map(|(_, host)| host).chain(AGENTS.iter().flat_map(|it| it.api.iter().chain(it.sign_in)))
        {
            Pattern::parse(host).unwrap();
        }
        assert!(MORE_HOSTS.iter().all(|(name, _)| ecosystems().any(|preset| preset.name == *name)));
        assert!(OTHER_PRESETS.iter().all(|name| preset::all().iter().any(|preset| preset.name == *name)));
    }
}
