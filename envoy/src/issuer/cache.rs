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
