//! The precompiled domain automaton: which entries of a policy cover a name.
//!
//! Every distinct name of the policy goes into one Aho-Corasick automaton, backwards and with a dot
//! at its end: `github.com` as `moc.buhtig.`. A host is walked backwards from its last byte, with a
//! dot after its first label, so that a match can only end on a label boundary: `evil-github.com`
//! takes another way out after `moc.buhtig`. The walk is anchored and ends at the first byte that no
//! entry has, so its cost is that of the longest entry that fits, however many entries there are.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, MatchKind};

use crate::pattern::Covers;

/// Number of an entry in the policy's list of entries, from 1.
pub(crate) type EntryId = NonZeroU32;

/// The list that an entry stands on. A later layer never overrules an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layer {
    /// `denylist`.
    Deny,
    /// `allowlist.domains`.
    Allow,
    /// `allowlist.preset`.
    Preset,
}

/// The most specific entry of each layer that covers a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hits {
    pub(crate) deny: Option<EntryId>,
    pub(crate) allow: Option<EntryId>,
    pub(crate) preset: Option<EntryId>,
}

impl Hits {
    pub(crate) fn slot(&mut self, layer: Layer) -> &mut Option<EntryId> {
        match layer {
            Layer::Deny => &mut self.deny,
            Layer::Allow => &mut self.allow,
            Layer::Preset => &mut self.preset,
        }
    }

    /// Takes over what a more specific name says.
    fn refine(&mut self, deeper: &Hits) {
        self.deny = deeper.deny.or(self.deny);
        self.allow = deeper.allow.or(self.allow);
        self.preset = deeper.preset.or(self.preset);
    }
}

/// What the policy says at one name.
#[derive(Clone, Copy, Debug, Default)]
struct Node {
    /// Of the name itself.
    apex: Hits,
    /// Of every name below it.
    below: Hits,
}

/// Collects entries before the automaton is made.
#[derive(Default)]
pub(crate) struct Builder {
    nodes: BTreeMap<String, Node>,
}

impl Builder {
    /// Adds an entry for `name`, which is in lower case. Of two entries of one layer that cover the
    /// same name, the one that was added first stays.
    pub(crate) fn add(&mut self, name: &str, covers: Covers, layer: Layer, id: EntryId) {
        let node = self.nodes.entry(backwards(name)).or_default();
        if covers != Covers::Subdomains {
            node.apex.slot(layer).get_or_insert(id);
        }
        if covers != Covers::Apex {
            node.below.slot(layer).get_or_insert(id);
        }
    }

    /// Compiles the automaton.
    ///
    /// # Errors
    /// More names than an automaton can number, some hundred million bytes of them.
    pub(crate) fn build(self) -> Result<DomainSet, TooLarge> {
        if self.nodes.is_empty() {
            return Ok(DomainSet::default());
        }
        let automaton = NFA::builder()
            .match_kind(MatchKind::Standard)
            .prefilter(false)
            .build(self.nodes.keys())
            .map_err(|_| TooLarge)?;
        let start = automaton.start_state(Anchored::Yes).map_err(|_| TooLarge)?;
        Ok(DomainSet { automaton: Some((automaton, start)), nodes: self.nodes.into_values().collect() })
    }
}

/// The policy names more than an automaton can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// `example.com` as `moc.elpmaxe.`.
fn backwards(name: &str) -> String {
    let mut key: String = name.chars().rev().collect();
    key.push('.');
    key
}

/// The names of a policy, ready to be matched.
#[derive(Clone, Debug, Default)]
pub(crate) struct DomainSet {
    automaton: Option<(NFA, StateID)>,
    /// By the automaton's number of the name.
    nodes: Vec<Node>,
}

impl DomainSet {
    /// The most specific entries that cover `host`, a valid name in any case without trailing dot.
    pub(crate) fn lookup(&self, host: &str) -> Hits {
        let mut hits = Hits::default();
        let Some((automaton, start)) = &self.automaton else { return hits };
        let mut state = *start;
        let mut walked = 0;
        for &byte in host.as_bytes().iter().rev() {
            state = automaton.next_state(Anchored::Yes, state, byte.to_ascii_lowercase());
            walked += 1;
            if automaton.is_special(state) {
                if automaton.is_dead(state) {
                    return hits;
                }
                if byte == b'.'
                    && let Some(node) = self.node_at(automaton, state, walked)
                {
                    hits.refine(&node.below);
                }
            }
        }
        state = automaton.next_state(Anchored::Yes, state, b'.');
        if automaton.is_match(state)
            && let Some(node) = self.node_at(automaton, state, walked + 1)
        {
            hits.refine(&node.apex);
        }
        hits
    }

    /// The name that ends in `state` and is `walked` bytes long. A state also lists the names that
    /// are only the tail of what was walked: those did not start where the host ends.
    fn node_at(&self, automaton: &NFA, state: StateID, walked: usize) -> Option<&Node> {
        (0..automaton.match_len(state))
            .map(|index| automaton.match_pattern(state, index))
            .find(|&pattern| automaton.pattern_len(pattern) == walked)
            .and_then(|pattern| self.nodes.get(pattern.as_usize()))
    }
}
