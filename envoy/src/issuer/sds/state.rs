//! What one stream subscribes to, and what it is to be told.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use prost::Message;
use tonic::Status;

use super::super::error::Error;
use super::super::leaf::Leaf;
use super::super::message::{
    Any, DataSource, DiscoveryRequest, DiscoveryResponse, SECRET_TYPE, Secret, TlsCertificate,
};
use super::super::names::HostName;
use super::Shared;

/// Names that one stream may ask for. Envoy asks for one.
const MOST_NAMES: usize = 100;
/// The clock on the wall is looked at this often: a timer alone would stand still while a machine sleeps.
const LOOK: Duration = Duration::from_secs(30);
/// After a leaf could not be made, the next attempt.
const AGAIN: Duration = Duration::from_mins(1);

pub(super) struct Subscription<'a> {
    shared: &'a Shared,
    /// What was asked for, in the order of the last request.
    asked: Vec<String>,
    /// What of that is served.
    served: BTreeMap<HostName, Slot>,
    nonce: u64,
    began: bool,
}

struct Slot {
    /// None where it could not be made.
    leaf: Option<Arc<Leaf>>,
    /// When to make it anew, or to try to.
    next: SystemTime,
}

impl Slot {
    fn new(made: Result<Arc<Leaf>, Error>) -> Self {
        let next = made.as_ref().map_or_else(|_| SystemTime::now() + AGAIN, |leaf| leaf.renew_at());
        Self { leaf: made.ok(), next }
    }
}

impl<'a> Subscription<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        Self { shared, asked: Vec::new(), served: BTreeMap::new(), nonce: 0, began: false }
    }

    /// What a request is answered with, if it asks for something: it may also only say that an answer arrived.
    pub(super) async fn take(&mut self, request: DiscoveryRequest) -> Result<Option<DiscoveryResponse>, Status> {
        if !request.type_url.is_empty() && request.type_url != SECRET_TYPE {
            return Err(Status::invalid_argument("only secrets are served here"));
        }
        if request.resource_names.len() > MOST_NAMES {
            return Err(Status::resource_exhausted(format!("more than {MOST_NAMES} names in one request")));
        }
        if request.error_detail.is_some() {
            self.shared.counters.rejected.add();
        }
        if self.began && request.resource_names == self.asked {
            return Ok(None);
        }
        if self.began && request.response_nonce != self.nonce.to_string() {
            // It crossed an answer on its way; the client will ask again on that one.
            return Ok(None);
        }
        self.began = true;
        self.asked = request.resource_names;
        let mut served = BTreeMap::new();
        for name in &self.asked {
            match HostName::parse(name) {
                Ok(name) => {
                    let slot = Slot::new(self.shared.leaf(&name));
                    served.insert(name, slot);
                    // A key takes a while to make; the other streams come in between.
                    tokio::task::yield_now().await;
                }
                Err(_) => self.shared.counters.refused.add(),
            }
        }
        self.served = served;
        Ok(Some(self.answer()))
    }

    /// Waits until a leaf is due.
    pub(super) async fn due(&self) {
        loop {
            let Some(at) = self.served.values().map(|slot| slot.next).min() else {
                return std::future::pending().await;
            };
            let Ok(left) = at.duration_since(SystemTime::now()) else { return };
            tokio::time::sleep(left.min(LOOK)).await;
        }
    }

    /// Makes again what is due, and answers if that changed anything.
    pub(super) async fn renew(&mut self) -> Option<DiscoveryResponse> {
        let mut changed = false;
        for (name, slot) in &mut self.served {
            if slot.next > SystemTime::now() {
                continue;
            }
            let made = Slot::new(self.shared.leaf(name));
            if made.leaf.is_some() {
                *slot = made;
                changed = true;
            } else {
                // What cannot be made anew stays for as long as it lasts.
                slot.next = made.next;
            }
            tokio::task::yield_now().await;
        }
        changed.then(|| self.answer())
    }

    /// All that is served: an answer stands for the whole of the subscription.
    fn answer(&mut self) -> DiscoveryResponse {
        self.nonce += 1;
        let resources =
            self.served.iter().filter_map(|(name, slot)| Some(secret(name, slot.leaf.as_deref()?))).collect();
        DiscoveryResponse {
            version_info: self.shared.version(),
            resources,
            type_url: SECRET_TYPE.into(),
            nonce: self.nonce.to_string(),
        }
    }
}

fn secret(name: &HostName, leaf: &Leaf) -> Any {
    let source = |pem: &str| Some(DataSource { inline_string: pem.to_owned() });
    let certificate =
        TlsCertificate { certificate_chain: source(leaf.chain_pem()), private_key: source(leaf.key_pem()) };
    let secret = Secret { name: name.as_str().to_owned(), tls_certificate: Some(certificate) };
    Any { type_url: SECRET_TYPE.into(), value: secret.encode_to_vec() }
}
