//! The lists of a policy while it is read, and their way into the automaton.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use crate::domain_set::{Builder, DomainSet, EntryId, Hits, Layer, TooLarge};
use crate::pattern::{Covers, Pattern};
use crate::policy::Listed;

/// Every entry read so far.
#[derive(Default)]
pub(crate) struct Lists {
    entries: Vec<Listed>,
    patterns: Vec<Pattern>,
    /// Where the rule for a pattern stands.
    rules: HashMap<Pattern, String>,
}

/// The lists, ready to be matched.
pub(crate) struct Compiled {
    pub(crate) entries: Vec<Listed>,
    pub(crate) domains: DomainSet,
    pub(crate) addresses: BTreeMap<IpAddr, Hits>,
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
    ///
    /// # Errors
    /// Where the first one stands, if there is a rule for the same names.
    pub(crate) fn add_rule(&mut self, rule: Listed, pattern: Pattern, place: String) -> Result<(), String> {
        if let Some(first) = self.rules.insert(pattern.clone(), place) {
            return Err(first);
        }
        self.entries.push(rule);
        self.patterns.push(pattern);
        Ok(())
    }

    /// Compiles the automaton. Of two entries that cover the same names the narrower form wins, then
    /// a rule, then the one that stands first.
    pub(crate) fn compile(self) -> Result<Compiled, TooLarge> {
        let mut order: Vec<(usize, &Listed, &Pattern)> = self
            .entries
            .iter()
            .zip(&self.patterns)
            .enumerate()
            .map(|(index, (entry, pattern))| (index, entry, pattern))
            .collect();
        order.sort_unstable_by_key(|(index, entry, pattern)| {
            let wide = matches!(pattern, Pattern::Domain { covers: Covers::Both, .. });
            (wide, entry.limits.is_none(), *index)
        });
        let mut domains = Builder::default();
        let mut addresses: BTreeMap<IpAddr, Hits> = BTreeMap::new();
        for (index, entry, pattern) in order {
            let id = u32::try_from(index + 1).ok().and_then(EntryId::new).ok_or(TooLarge)?;
            match pattern {
                Pattern::Domain { name, covers } => domains.add(name, *covers, entry.layer, id),
                Pattern::Address(address) => {
                    addresses.entry(*address).or_default().slot(entry.layer).get_or_insert(id);
                }
            }
        }
        let domains = domains.build()?;
        Ok(Compiled { entries: self.entries, domains, addresses })
    }
}
