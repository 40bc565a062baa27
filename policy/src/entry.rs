//! One entry of a policy: a line of a list, or a domain of a preset. A decision hands out the entry that made it, so
//! that a report of the decision has the entry's limits and its place in the document, and looks for nothing.

use std::borrow::Cow;
use std::fmt;
use std::num::NonZeroU32;

use crate::limits::Limits;
use crate::pattern::{Covers, Pattern};
use crate::place::Place;

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

/// An entry as the policy keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) layer: Layer,
    pub(crate) source: &'static str,
    pub(crate) text: Cow<'static, str>,
    /// `subdomains: false` beside a plain domain.
    pub(crate) apex_only: bool,
    pub(crate) limits: Option<Box<Limits>>,
    /// Its index in its list, for a preset's domain that of the preset's name; `None` where that is no list.
    pub(crate) index: Option<u32>,
}

impl Listed {
    /// The place of the entry in the document.
    pub(crate) fn place(&self) -> String {
        place(self.layer, self.index)
    }
}

/// The place of an entry of `layer`, or of a preset's name.
pub(crate) fn place(layer: Layer, index: Option<u32>) -> String {
    let document = Place::Document;
    let allowlist = document.field("allowlist");
    let list = match layer {
        Layer::Deny => document.field("denylist"),
        Layer::Allow => allowlist.field("domains"),
        Layer::Preset => allowlist.field("preset"),
    };
    match index.and_then(|index| usize::try_from(index).ok()) {
        Some(index) => list.item(index).to_string(),
        None => list.to_string(),
    }
}

/// An entry of a policy. Its `Display` is what a decision calls it, so that its author finds it:
/// `common-dependencies:github.com`, `allowlist:*.example.org`, `denylist:gist.github.com`, and `all` for the preset
/// that lists nothing.
///
/// ```
/// use weir_policy::{Policy, Request};
///
/// let document = br#"{"internet_access": "on", "denylist": ["a.example", "*.b.example"]}"#;
/// let policy = Policy::from_json(document)?;
/// let decision = policy.decide(&Request { method: b"GET", authority: b"x.b.example", ..Request::default() });
/// let entry = decision.entry().ok_or("an entry")?;
/// assert_eq!(entry.to_string(), "denylist:*.b.example");
/// assert_eq!(entry.place(), "denylist[1]");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'p> {
    listed: &'p Listed,
    inherited: &'p Limits,
}

impl<'p> Entry<'p> {
    /// `listed` of a policy whose own limits are `inherited`.
    pub(crate) fn new(listed: &'p Listed, inherited: &'p Limits) -> Entry<'p> {
        Entry { listed, inherited }
    }

    /// The list on which it stands.
    pub fn layer(self) -> Layer {
        self.listed.layer
    }

    /// The preset's name, `allowlist` or `denylist`.
    pub fn source(self) -> &'static str {
        self.listed.source
    }

    /// The entry as the policy writes it; empty for the preset `all`.
    pub fn text(self) -> &'p str {
        &self.listed.text
    }

    /// What it covers; `None` for the preset `all`, which covers what no pattern can say.
    pub fn pattern(self) -> Option<Pattern> {
        let mut pattern = Pattern::parse(&self.listed.text).ok()?;
        if let (Pattern::Domain { covers, .. }, true) = (&mut pattern, self.listed.apex_only) {
            *covers = Covers::Apex;
        }
        Some(pattern)
    }

    /// Whether it is a rule, with limits of its own.
    pub fn is_rule(self) -> bool {
        self.listed.limits.is_some()
    }

    /// What may be done at the hosts that it allows.
    pub fn limits(self) -> &'p Limits {
        self.listed.limits.as_deref().unwrap_or(self.inherited)
    }

    /// Where it stands in the document: `allowlist.domains[3]`, `denylist[0]`; of a preset's domain the place of the
    /// preset's name, `allowlist.preset` or `allowlist.preset[1]`.
    pub fn place(self) -> String {
        self.listed.place()
    }
}

impl fmt::Display for Entry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.listed.source)?;
        if !self.listed.text.is_empty() {
            write!(f, ":{}", self.listed.text)?;
        }
        Ok(())
    }
}
