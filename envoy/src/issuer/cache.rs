//! The leaves that were minted, up to a number; the least recently used goes first.
//!
//! A leaf that leaves the cache is not lost: the streams that subscribe to it hold it, and renew it. The cache only saves
//! work when the same name is asked for again, after a restart of Envoy above all.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::leaf::Leaf;
use super::names::HostName;

pub(crate) struct Cache {
    limit: usize,
    leaves: HashMap<HostName, (u64, Arc<Leaf>)>,
    /// The names by when they were last used.
    used: BTreeMap<u64, HostName>,
    now: u64,
}

impl Cache {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, leaves: HashMap::new(), used: BTreeMap::new(), now: 0 }
    }

    pub(crate) fn get(&mut self, name: &HostName) -> Option<Arc<Leaf>> {
        let (used, leaf) = self.leaves.get_mut(name)?;
        self.now += 1;
        self.used.remove(used);
        self.used.insert(self.now, name.clone());
        *used = self.now;
        Some(Arc::clone(leaf))
    }

    pub(crate) fn put(&mut self, name: &HostName, leaf: Arc<Leaf>) {
        self.now += 1;
        if let Some((before, _)) = self.leaves.insert(name.clone(), (self.now, leaf)) {
            self.used.remove(&before);
        }
        self.used.insert(self.now, name.clone());
        while self.leaves.len() > self.limit
            && let Some((_, oldest)) = self.used.pop_first()
        {
            self.leaves.remove(&oldest);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.leaves.len()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::authority::{CertificateAuthority, Options};
    use super::*;

    #[test]
    fn the_least_recently_used_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let authority = CertificateAuthority::create(&folder.path().join("ca"), &Options::default()).unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| HostName::parse(name).unwrap());
        let mint = |name| Arc::new(authority.mint(name, Duration::from_hours(1)).unwrap());
        let mut cache = Cache::new(2);
        cache.put(&a, mint(&a));
        cache.put(&b, mint(&b));
        cache.put(&b, mint(&b));
        assert_eq!((cache.len(), cache.used.len()), (2, 2));
        assert!(cache.get(&a).is_some());
        cache.put(&c, mint(&c));
        assert!(cache.get(&a).is_some() && cache.get(&b).is_none() && cache.get(&c).is_some());
        assert_eq!((cache.len(), cache.used.len()), (2, 2));
        let mut none = Cache::new(0);
        none.put(&a, mint(&a));
        assert_eq!(none.len(), 0);
    }
}
