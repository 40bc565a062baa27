//! What one stream subscribes to.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prost::Message;
use tonic::Status;

use super::shared::Shared;
use crate::leaf::Leaf;
use crate::message::{Any, DataSource, SECRET_TYPE, Secret, TlsCertificate};
use crate::names::HostName;

/// The most names that one stream may subscribe to, and that one request may hold.
const MOST_NAMES: usize = 20_000;
/// How often to check the wall clock: a timer alone stops while the machine is suspended.
const LOOK: Duration = Duration::from_secs(30);
/// How long after a failed minting to try again.
const AGAIN: Duration = Duration::from_mins(1);

pub(super) struct Subscription<'a> {
    shared: &'a Shared,
    names: BTreeMap<HostName, Slot>,
    /// The refused names that no answer has reported yet.
    refused: Vec<String>,
}

struct Slot {
    /// `None` if it is not minted yet, or could not be.
    leaf: Option<Arc<Leaf>>,
    /// When to mint or renew it.
    next: SystemTime,
}

impl<'a> Subscription<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        Self { shared, names: BTreeMap::new(), refused: Vec::new() }
    }

    pub(super) fn reject(&self) {
        self.shared.counters.rejected.add();
    }

    pub(super) fn version(&self) -> String {
        self.shared.version()
    }

    /// Subscribes to more names; the next answer repeats a name that was subscribed to already.
    pub(super) fn add(&mut self, names: Vec<String>) -> Result<(), Status> {
        if self.names.len() + names.len() > MOST_NAMES {
            return Err(Status::resource_exhausted(format!("more than {MOST_NAMES} names in one stream")));
        }
        for name in names {
            if let Ok(name) = HostName::parse(&name) {
                self.names.insert(name, Slot { leaf: None, next: SystemTime::UNIX_EPOCH });
            } else {
                self.shared.counters.refused.add();
                self.refused.push(name);
            }
        }
        Ok(())
    }

    pub(super) fn keep(&mut self, keep: impl Fn(&str) -> bool) {
        self.names.retain(|name, _| keep(name.as_str()));
    }

    /// The names that were refused since the last call.
    pub(super) fn take_refused(&mut self) -> Vec<String> {
        std::mem::take(&mut self.refused)
    }

    /// Waits until a leaf is due.
    pub(super) async fn due(&self) {
        loop {
            let Some(at) = self.names.values().map(|slot| slot.next).min() else {
                return std::future::pending().await;
            };
            let Ok(left) = at.duration_since(SystemTime::now()) else { return };
            tokio::time::sleep(left.min(LOOK)).await;
        }
    }

    /// Mints the leaves that are due, at most `most`, and returns their names.
    pub(super) async fn make(&mut self, most: usize) -> Vec<HostName> {
        let now = SystemTime::now();
        let due = self.names.iter_mut().filter(|(_, slot)| slot.next <= now).take(most);
        let mut made = Vec::new();
        for (name, slot) in due {
            if let Ok(leaf) = self.shared.leaf(name) {
                slot.next = leaf.renew_at();
                slot.leaf = Some(leaf);
                made.push(name.clone());
            } else {
                // A leaf that cannot be renewed is kept until it expires.
                slot.next = now + AGAIN;
                if slot.leaf.is_none() {
                    self.refused.push(name.to_string());
                }
            }
            // Generating a key takes a while; let other streams run in between.
            tokio::task::yield_now().await;
        }
        made
    }

    pub(super) fn secrets(&self) -> impl Iterator<Item = Any> {
        self.names.iter().filter_map(|(name, slot)| Some(secret(name, slot.leaf.as_deref()?)))
    }

    pub(super) fn secret(&self, name: &HostName) -> Option<Any> {
        Some(secret(name, self.names.get(name)?.leaf.as_deref()?))
    }
}

fn secret(name: &HostName, leaf: &Leaf) -> Any {
    let source = |pem: &str| Some(DataSource { inline_string: pem.to_owned() });
    let certificate =
        TlsCertificate { certificate_chain: source(leaf.chain_pem()), private_key: source(leaf.key_pem()) };
    let secret = Secret { name: name.as_str().to_owned(), tls_certificate: Some(certificate) };
    Any { type_url: SECRET_TYPE.into(), value: secret.encode_to_vec() }
}
