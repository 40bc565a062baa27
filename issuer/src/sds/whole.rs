//! The state-of-the-world protocol: a request names every wanted secret, an answer holds all that there are.

use tonic::Status;

use super::dialect::Dialect;
use super::subscription::Subscription;
use crate::message::{DiscoveryRequest, DiscoveryResponse, SECRET_TYPE};

/// Names in a request: each answer holds all of them. Envoy requests one name on each stream.
const MOST_NAMES: usize = 100;

#[derive(Default)]
pub(super) struct Whole {
    asked: Vec<String>,
    began: bool,
    nonce: u64,
}

impl Dialect for Whole {
    type Request = DiscoveryRequest;
    type Response = DiscoveryResponse;

    fn take(&mut self, subscription: &mut Subscription<'_>, request: DiscoveryRequest) -> Result<(), Status> {
        if !request.type_url.is_empty() && request.type_url != SECRET_TYPE {
            return Err(Status::invalid_argument("only secrets are served here"));
        }
        if request.resource_names.len() > MOST_NAMES {
            return Err(Status::resource_exhausted(format!("more than {MOST_NAMES} names in one request")));
        }
        if request.error_detail.is_some() {
            subscription.reject();
        }
        // A request with the same names only acknowledges an answer. The client repeats a request that crossed an
        // answer.
        let stale = self.began && request.response_nonce != self.nonce.to_string();
        if stale || (self.began && request.resource_names == self.asked) {
            return Ok(());
        }
        self.began = true;
        subscription.keep(|name| request.resource_names.iter().any(|asked| asked == name));
        let new = request.resource_names.iter().filter(|name| !self.asked.contains(name)).cloned().collect();
        self.asked = request.resource_names;
        subscription.add(new)
    }

    async fn answer(&mut self, subscription: &mut Subscription<'_>) -> Option<DiscoveryResponse> {
        let made = subscription.make(MOST_NAMES).await;
        let refused = subscription.take_refused();
        if made.is_empty() && refused.is_empty() {
            return None;
        }
        self.nonce += 1;
        Some(DiscoveryResponse {
            version_info: subscription.version(),
            resources: subscription.secrets().collect(),
            type_url: SECRET_TYPE.into(),
            nonce: self.nonce.to_string(),
        })
    }
}
