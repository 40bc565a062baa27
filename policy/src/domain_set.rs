//! The precompiled domain automaton: which entries of a policy cover a name.
//!
//! Every distinct name of the policy becomes a key, backwards and with a dot at its end: `github.com`
//! is `moc.buhtig.`. A host is walked backwards too, from its last byte, with a dot after its first
//! label. A key therefore ends on a label boundary or not at all: `evil-github.com` goes on with `-`
//! where the key has its dot.
//!
//! The automaton is an Aho-Corasick automaton over the keys, each cut off one byte after the last
//! that it shares with another; the rest of a key, its tail, is compared in one go. The walk is
//! anchored and ends at the first byte that no key has, so that its cost follows the bytes which tell
//! names apart and hardly the number of names.

use aho_corasick::automaton::{Automaton, StateID};
use aho_corasick::nfa::contiguous::NFA;
use aho_corasick::{Anchored, MatchKind};

use crate::entry::{EntryId, Layer};
use crate::order::sorted;
use crate::pattern::Covers;

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

/// What the policy lists at one name.
#[derive(Clone, Debug, Default)]
struct Listing {
    /// What of the key the automaton does not hold, as in the name: not backwards, without the dot.
    tail: Box<[u8]>,
    /// Whether the automaton holds the key's dot, so that its match ends the name.
    whole: bool,
    /// Of the name itself.
    apex: Hits,
    /// Of every name below it.
    below: Hits,
}

impl Listing {
    /// Adds an entry, unless one of its layer that governs already stands here.
    fn add(&mut self, covers: Covers, layer: Layer, id: EntryId) {
        if covers != Covers::Subdomains {
            self.apex.slot(layer).get_or_insert(id);
        }
        if covers != Covers::Apex {
            self.below.slot(layer).get_or_insert(id);
        }
    }

    /// Takes what is left of the key after it was cut.
    fn keep_tail(&mut self, tail: &[u8]) {
        self.whole = tail.is_empty();
        self.tail = tail.iter().rev().skip(1).copied().collect();
    }

    /// What is listed here of a host of which `rest` was not walked yet.
    fn covering(&self, rest: &[u8]) -> &Hits {
        const NOTHING: &Hits = &Hits { deny: None, allow: None, preset: None };
        let Some(cut) = rest.len().checked_sub(self.tail.len()) else { return NOTHING };
        let (above, tail) = rest.split_at(cut);
        if tail.iter().zip(&self.tail).any(|(&byte, &expected)| lower_case(byte) != expected) {
            return NOTHING;
        }
        match above.last() {
            None => &self.apex,
            Some(b'.') => &self.below,
            Some(_) => NOTHING,
        }
    }
}

/// As [`u8::to_ascii_lowercase`], by one load.
fn lower_case(byte: u8) -> u8 {
    const LOWER_CASE: [u8; 256] = {
        let mut table = [0; 256];
        let mut rest: &mut [u8] = &mut table;
        let mut byte = 0_u8;
        while let Some((first, after)) = rest.split_first_mut() {
            *first = byte.to_ascii_lowercase();
            byte = byte.wrapping_add(1);
            rest = after;
        }
        table
    };
    LOWER_CASE.get(usize::from(byte)).copied().unwrap_or(byte)
}

/// An entry before the automaton is made.
pub(crate) struct Named {
    key: String,
    covers: Covers,
    layer: Layer,
    /// Of two entries of one layer for the same name, the smaller rank governs.
    rank: u32,
    id: EntryId,
}

impl Named {
    /// An entry for `name`, which is in lower case.
    pub(crate) fn new(name: &str, covers: Covers, layer: Layer, rank: u32, id: EntryId) -> Named {
        // The narrower form of two is the more specific one.
        let wide = if covers == Covers::Both { 1 << 31 } else { 0 };
        Named { key: backwards(name), covers, layer, rank: rank | wide, id }
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

/// States this close to the start find their successor by one load instead of a search, for four
/// bytes for each letter that any key has.
const DENSE_DEPTH: usize = 6;

/// Stands before every key in the automaton and in no host. Without it, a key that is the end of what
/// was walked, but not the whole of it, would match there too.
const BEGIN: u8 = b'^';

/// How many bytes two keys begin with in common.
fn shared(one: &str, other: &str) -> usize {
    one.bytes().zip(other.bytes()).take_while(|(one, other)| one == other).count()
}

/// The names of a policy, ready to be matched.
#[derive(Clone, Debug, Default)]
pub(crate) struct DomainSet {
    automaton: Option<(NFA, StateID)>,
    /// By the automaton's number of the name.
    listings: Vec<Listing>,
}

impl DomainSet {
    /// Compiles the automaton.
    ///
    /// # Errors
    /// More names than an automaton can number, some hundred million bytes of them.
    pub(crate) fn new(entries: &[Named]) -> Result<DomainSet, TooLarge> {
        let mut keys: Vec<String> = Vec::new();
        let mut listings: Vec<Listing> = Vec::new();
        for entry in sorted(entries, &|one, other| (&one.key, one.rank).cmp(&(&other.key, other.rank))) {
            if keys.last() != Some(&entry.key) {
                keys.push(entry.key.clone());
                listings.push(Listing::default());
            }
            if let Some(listing) = listings.last_mut() {
                listing.add(entry.covers, entry.layer, entry.id);
            }
        }
        if keys.is_empty() {
            return Ok(DomainSet::default());
        }
        let mut before = 0;
        let mut rest = keys.as_mut_slice();
        for listing in &mut listings {
            let Some((key, following)) = rest.split_first_mut() else { break };
            let after = following.first().map_or(0, |next| shared(key, next));
            listing.keep_tail(key.split_off(key.len().min(before.max(after) + 1)).as_bytes());
            key.insert(0, char::from(BEGIN));
            before = after;
            rest = following;
        }
        let automaton = NFA::builder()
            .match_kind(MatchKind::Standard)
            .prefilter(false)
            .dense_depth(DENSE_DEPTH)
            .build(&keys)
            .map_err(|_| TooLarge)?;
        let start = automaton.start_state(Anchored::Yes).map_err(|_| TooLarge)?;
        let start = automaton.next_state(Anchored::Yes, start, BEGIN);
        Ok(DomainSet { automaton: Some((automaton, start)), listings })
    }

    /// The most specific entries that cover `host`, a valid name in any case without trailing dot.
    pub(crate) fn lookup(&self, host: &[u8]) -> Hits {
        let mut hits = Hits::default();
        let Some((automaton, start)) = &self.automaton else { return hits };
        let mut state = *start;
        for (left, &byte) in host.iter().enumerate().rev() {
            state = automaton.next_state(Anchored::Yes, state, lower_case(byte));
            if automaton.is_special(state) {
                let Some(listing) = self.listing_at(automaton, state) else { return hits };
                if !listing.whole {
                    hits.refine(listing.covering(host.get(..left).unwrap_or_default()));
                    return hits;
                }
                hits.refine(&listing.below);
            }
        }
        state = automaton.next_state(Anchored::Yes, state, b'.');
        if let Some(listing) = self.listing_at(automaton, state) {
            hits.refine(listing.covering(&[]));
        }
        hits
    }

    /// The listing whose key ends in `state`; `None` where none does, in the dead state too.
    fn listing_at(&self, automaton: &NFA, state: StateID) -> Option<&Listing> {
        automaton
            .is_match(state)
            .then(|| automaton.match_pattern(state, 0))
            .and_then(|key| self.listings.get(key.as_usize()))
    }
}
