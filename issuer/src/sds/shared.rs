//! What all streams of an issuer share: the CA, the cache of leaves, the counters.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use crate::ca::CertificateAuthority;
use crate::cache::Cache;
use crate::error::{Error, Result};
use crate::leaf::Leaf;
use crate::names::HostName;
use crate::settings::Settings;
use crate::stats::{Counters, Stats};

/// What all streams share.
pub(crate) struct Shared {
    ca: CertificateAuthority,
    life: Duration,
    cache: Mutex<Cache>,
    pub(super) counters: Counters,
    versions: AtomicU64,
    began: u128,
}

impl Shared {
    pub(crate) fn new(ca: CertificateAuthority, settings: &Settings) -> Self {
        Self {
            ca,
            life: settings.leaf_life,
            cache: Mutex::new(Cache::new(settings.cached)),
            counters: Counters::default(),
            versions: AtomicU64::new(0),
            began: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis(),
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let counters = &self.counters;
        Stats {
            minted: counters.minted.get(),
            renewed: counters.renewed.get(),
            refused: counters.refused.get(),
            failed: counters.failed.get(),
            rejected: counters.rejected.get(),
            cached: self.cache().len() as u64,
            streams: counters.streams.get(),
        }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A version that no answer of this or an earlier issuer has had.
    pub(super) fn version(&self) -> String {
        format!("{}-{}", self.began, self.versions.fetch_add(1, Ordering::Relaxed))
    }

    /// The leaf for a name; mints a new one if it is due.
    pub(super) fn leaf(&self, name: &HostName) -> Result<Arc<Leaf>> {
        let known = self.cache().get(name);
        let renewed = match known {
            Some(leaf) if !leaf.is_due() => return Ok(leaf),
            known => known.is_some(),
        };
        let leaf = self.ca.mint(name, self.life).map(Arc::new).inspect_err(|error| match error {
            Error::NotPermitted(_) => self.counters.refused.add(),
            _ => self.counters.failed.add(),
        })?;
        self.counters.minted.add();
        if renewed {
            self.counters.renewed.add();
        }
        self.cache().put(name, Arc::clone(&leaf));
        Ok(leaf)
    }
}
