//! The minted leaves, up to a limit; the least recently used one is dropped first.
//!
//! A dropped leaf is not lost: the streams that subscribe to it hold and renew it. The cache only saves work when Envoy
//! requests a name again, mostly after its restart.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;

use crate::leaf::Leaf;
use crate::names::HostName;

/// `None` if nothing is cached.
pub(crate) struct Cache(Option<LruCache<HostName, Arc<Leaf>>>);

impl Cache {
    pub(crate) fn new(limit: usize) -> Self {
        Self(NonZeroUsize::new(limit).map(LruCache::new))
    }

    pub(crate) fn get(&mut self, name: &HostName) -> Option<Arc<Leaf>> {
        self.0.as_mut()?.get(name).cloned()
    }

    pub(crate) fn put(&mut self, name: &HostName, leaf: Arc<Leaf>) {
        if let Some(leaves) = &mut self.0 {
            leaves.put(name.clone(), leaf);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.as_ref().map_or(0, LruCache::len)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ca::{CertificateAuthority, Options};

    #[test]
    fn the_least_recently_used_goes_first() {
        let folder = tempfile::tempdir().unwrap();
        let ca = CertificateAuthority::create(&folder.path().join("ca"), &Options::default()).unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| HostName::parse(name).unwrap());
        let mint = |name| Arc::new(ca.mint(name, Duration::from_hours(1)).unwrap());
        let mut cache = Cache::new(2);
        cache.put(&a, mint(&a));
        cache.put(&b, mint(&b));
        cache.put(&b, mint(&b));
        assert_eq!(cache.len(), 2);
        assert!(cache.get(&a).is_some());
        cache.put(&c, mint(&c));
        assert!(cache.get(&a).is_some() && cache.get(&b).is_none() && cache.get(&c).is_some());
        assert_eq!(cache.len(), 2);
        let mut none = Cache::new(0);
        none.put(&a, mint(&a));
        assert_eq!(none.len(), 0);
    }
}
