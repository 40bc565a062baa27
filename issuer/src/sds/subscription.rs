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

/// Names that one stream may subscribe to, and that one request may hold.
const MOST_NAMES: usize = 20_000;
/// The clock on the wall is looked at this often: a timer alone would stand still while a machine sleeps.
const LOOK: Duration = Duration::from_secs(30);
/// After a leaf could not be made, the next attempt.
const AGAIN: Duration = Duration::from_mins(1);

pub(super) struct Subscription<'a> {
    shared: &'a Shared,
    names: BTreeMap<HostName, Slot>,
    /// What was asked for and gets nothing, until it is told.
    refused: Vec<String>,
}

struct Slot {
    /// None where it is not made yet, or could not be.
    leaf: Option<Arc<Leaf>>,
    /// When to make it, or to make it anew.
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

    /// Subscribes to more names; one that is subscribed to already is told again.
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

    /// Waits until a leaf is to be made.
    pub(super) async fn due(&self) {
        loop {
            let Some(at) = self.names.values().map(|slot| slot.next).min() else {
                return std::future::pending().await;
            };
            let Ok(left) = at.duration_since(SystemTime::now()) else { return };
            tokio::time::sleep(left.min(LOOK)).await;
        }
    }

    /// Makes what is to be made, but no more than `most`, and says for which names.
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
                // What cannot be made anew stays for as long as it lasts.
                slot.next = now + AGAIN;
                if slot.leaf.is_none() {
                    self.refused.push(name.to_string());
                }
            }
            // A key takes a while to make; other streams come in between.
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
