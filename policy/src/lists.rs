//! The lists of a policy while it is read, and their way into the automaton.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::domain_set::{DomainSet, EntryId, Hits, Layer, Named, TooLarge};
use crate::order::sorted;
use crate::pattern::Pattern;
use crate::policy::Listed;

/// Every entry read so far.
#[derive(Default)]
pub(crate) struct Lists {
    entries: Vec<Listed>,
    patterns: Vec<Pattern>,
    /// The rules among them: the entry's index, and where it stands.
    rules: Vec<(usize, String)>,
}

/// The lists, ready to be matched.
pub(crate) struct Compiled {
    pub(crate) entries: Vec<Listed>,
    pub(crate) domains: DomainSet,
    pub(crate) addresses: Addresses,
}

/// The addresses of a policy, sorted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Addresses(Vec<(IpAddr, Hits)>);

impl Addresses {
    /// The entries that list `address`.
    pub(crate) fn lookup(&self, address: IpAddr) -> Hits {
        let found = self.0.binary_search_by_key(&address, |(listed, _)| *listed).ok();
        found.and_then(|index| self.0.get(index)).map(|(_, hits)| *hits).unwrap_or_default()
    }
}

impl Lists {
    /// Adds an entry that has no limits of its own.
    pub(crate) fn add(
        &mut self,
        layer: Layer,
        source: &'static str,
        text: impl Into<Cow<'static, str>>,
        pattern: Pattern,
    ) {
        self.entries.push(Listed { layer, source, pattern: text.into(), apex_only: false, limits: None });
        self.patterns.push(pattern);
    }

    /// Adds a rule, which stands at `place`.
    pub(crate) fn add_rule(&mut self, rule: Listed, pattern: Pattern, place: String) {
        self.rules.push((self.entries.len(), place));
        self.entries.push(rule);
        self.patterns.push(pattern);
    }

    /// The rules for names for which there is a rule already: where such a rule stands, and where
    /// the first one does.
    pub(crate) fn second_rules(&self) -> Vec<(&str, &str)> {
        let rules: Vec<(&Pattern, &str)> =
            self.rules.iter().filter_map(|(index, place)| Some((self.patterns.get(*index)?, place.as_str()))).collect();
        let mut second = Vec::new();
        let mut first: Option<(&Pattern, &str)> = None;
        for &(pattern, place) in sorted(&rules, &|(one, _), (other, _)| one.cmp(other)) {
            match first {
                Some((same, first)) if same == pattern => second.push((place, first)),
                _ => first = Some((pattern, place)),
            }
        }
        second
    }

    /// Compiles the automaton. Of two entries of a list that cover the same names a rule wins, then
    /// the one that stands first.
    pub(crate) fn compile(self) -> Result<Compiled, TooLarge> {
        let mut names = Vec::new();
        let mut addresses = Vec::new();
        for ((entry, pattern), index) in self.entries.iter().zip(&self.patterns).zip(0_u32..) {
            let id = EntryId::MIN.checked_add(index).ok_or(TooLarge)?;
            let rank = if entry.limits.is_some() { index } else { index | 1 << 30 };
            match pattern {
                Pattern::Domain { name, covers } => names.push(Named::new(name, *covers, entry.layer, rank, id)),
                Pattern::Address(address) => addresses.push((*address, rank, entry.layer, id)),
            }
        }
        let mut merged: Vec<(IpAddr, Hits)> = Vec::new();
        for &(address, _, layer, id) in sorted(&addresses, &|one, other| (one.0, one.1).cmp(&(other.0, other.1))) {
            if merged.last().is_none_or(|(last, _)| *last != address) {
                merged.push((address, Hits::default()));
            }
            if let Some((_, hits)) = merged.last_mut() {
                hits.slot(layer).get_or_insert(id);
            }
        }
        Ok(Compiled { domains: DomainSet::new(&names)?, addresses: Addresses(merged), entries: self.entries })
    }
}
