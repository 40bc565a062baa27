//! The oracle: entries matched by comparing labels one by one, as plainly as it can be written.

/// An entry of a list.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    prefix: &'static str,
    name: String,
}

impl Entry {
    pub(crate) fn new(prefix: &'static str, name: String) -> Entry {
        Entry { prefix, name }
    }

    /// As a policy writes it.
    pub(crate) fn written(&self) -> String {
        format!("{}{}", self.prefix, self.name)
    }

    fn covers(&self, host: &str) -> bool {
        let host: Vec<&str> = host.split('.').rev().collect();
        let name: Vec<&str> = self.name.split('.').rev().collect();
        let is_below = host.len() > name.len() && host.iter().zip(&name).all(|(host, name)| host == name);
        match self.prefix {
            "=" => host == name,
            "*." => is_below,
            _ => host == name || is_below,
        }
    }
}

/// The entry that governs `host`: of those that cover it the longest, then the narrower form, then
/// the first.
pub(crate) fn covering<'e>(entries: &'e [Entry], host: &str) -> Option<&'e Entry> {
    let host = host.strip_suffix('.').unwrap_or(host).to_lowercase();
    let mut best: Option<(&Entry, (usize, bool))> = None;
    for entry in entries.iter().filter(|entry| entry.covers(&host)) {
        let rank = (entry.name.len(), matches!(entry.prefix, "=" | "*."));
        if best.is_none_or(|(_, best)| rank > best) {
            best = Some((entry, rank));
        }
    }
    best.map(|(entry, _)| entry)
}
