//! The lists of a policy, ready to be matched, and the way there from the entries that were read.

use std::net::IpAddr;

use crate::authority::Host;
use crate::domain_set::{DomainSet, Hits, Named, TooLarge};
use crate::entry::{EntryId, Listed};
use crate::order::sorted;
use crate::pattern::Pattern;
use crate::preset::Preset;

/// The lists of a policy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lists {
    /// Those of one list in the document's order.
    pub(crate) entries: Vec<Listed>,
    /// The preset `all`: names and public addresses that no entry covers are allowed.
    pub(crate) unlisted: Option<Listed>,
    /// The presets that are named, each with the index of its name.
    pub(crate) presets: Vec<(&'static Preset, Option<u32>)>,
    domains: DomainSet,
    /// Sorted.
    addresses: Vec<(IpAddr, Hits)>,
}

impl Lists {
    /// The entries that cover `host`.
    pub(crate) fn lookup(&self, host: Host<'_>) -> Hits {
        match host {
            Host::Name(name) => self.domains.lookup(name.as_bytes()),
            Host::Address(address) => {
                let found = self.addresses.binary_search_by_key(&address, |(listed, _)| *listed).ok();
                found.and_then(|index| self.addresses.get(index)).map(|(_, hits)| *hits).unwrap_or_default()
            }
            Host::Numeric(_) => Hits::default(),
        }
    }

    /// The entry with this number.
    pub(crate) fn entry(&self, id: EntryId) -> Option<&Listed> {
        self.entries.get(usize::try_from(id.get()).ok()?.checked_sub(1)?)
    }
}

/// Every entry read so far.
#[derive(Default)]
pub(crate) struct Unsorted {
    entries: Vec<Listed>,
    patterns: Vec<Pattern>,
    pub(crate) unlisted: Option<Listed>,
    pub(crate) presets: Vec<(&'static Preset, Option<u32>)>,
}

impl Unsorted {
    /// Adds an entry.
    pub(crate) fn add(&mut self, entry: Listed, pattern: Pattern) {
        self.entries.push(entry);
        self.patterns.push(pattern);
    }

    /// The rules for names for which there is a rule already, each with the first one.
    pub(crate) fn second_rules(&self) -> Vec<(&Listed, &Listed)> {
        let rules: Vec<(&Pattern, &Listed)> =
            self.patterns.iter().zip(&self.entries).filter(|(_, entry)| entry.limits.is_some()).collect();
        let mut second = Vec::new();
        let mut first: Option<(&Pattern, &Listed)> = None;
        for &(pattern, rule) in sorted(&rules, &|(one, _), (other, _)| one.cmp(other)) {
            match first {
                Some((same, first)) if same == pattern => second.push((rule, first)),
                _ => first = Some((pattern, rule)),
            }
        }
        second
    }

    /// Compiles the automaton. Of two entries of a list that cover the same names a rule wins, then the one that stands
    /// first.
    pub(crate) fn compile(self) -> Result<Lists, TooLarge> {
        let mut names = Vec::new();
        let mut listed = Vec::new();
        for ((entry, pattern), index) in self.entries.iter().zip(&self.patterns).zip(0_u32..) {
            let id = EntryId::MIN.checked_add(index).ok_or(TooLarge)?;
            let rank = if entry.limits.is_some() { index } else { index | 1 << 30 };
            match pattern {
                Pattern::Domain { name, covers } => names.push(Named::new(name, *covers, entry.layer, rank, id)),
                Pattern::Address(address) => listed.push((*address, rank, entry.layer, id)),
            }
        }
        let mut addresses: Vec<(IpAddr, Hits)> = Vec::new();
        for &(address, _, layer, id) in sorted(&listed, &|one, other| (one.0, one.1).cmp(&(other.0, other.1))) {
            if addresses.last().is_none_or(|(last, _)| *last != address) {
                addresses.push((address, Hits::default()));
            }
            if let Some((_, hits)) = addresses.last_mut() {
                hits.slot(layer).get_or_insert(id);
            }
        }
        let domains = DomainSet::new(&names)?;
        Ok(Lists { entries: self.entries, unlisted: self.unlisted, presets: self.presets, domains, addresses })
    }
}
