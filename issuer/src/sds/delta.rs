//! The incremental protocol: a request adds and removes subscriptions, an answer holds new leaves and refused names.

use tonic::Status;

use super::dialect::Dialect;
use super::subscription::Subscription;
use crate::message::{DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource, SECRET_TYPE};

/// Leaves in one answer: after a lost connection Envoy requests all its names together.
const MOST_AT_ONCE: usize = 50;

#[derive(Default)]
pub(super) struct Delta {
    nonce: u64,
}

impl Dialect for Delta {
    type Request = DeltaDiscoveryRequest;
    type Response = DeltaDiscoveryResponse;

    fn take(&mut self, subscription: &mut Subscription<'_>, request: DeltaDiscoveryRequest) -> Result<(), Status> {
        if !request.type_url.is_empty() && request.type_url != SECRET_TYPE {
            return Err(Status::invalid_argument("only secrets are served here"));
        }
        if request.error_detail.is_some() {
            subscription.reject();
        }
        subscription.keep(|name| !request.resource_names_unsubscribe.iter().any(|gone| gone == name));
        subscription.add(request.resource_names_subscribe)
    }

    async fn answer(&mut self, subscription: &mut Subscription<'_>) -> Option<DeltaDiscoveryResponse> {
        let made = subscription.make(MOST_AT_ONCE).await;
        let removed = subscription.take_refused();
        if made.is_empty() && removed.is_empty() {
            return None;
        }
        self.nonce += 1;
        let version = subscription.version();
        let resource = |name| {
            let resource = Some(subscription.secret(name)?);
            Some(Resource { version: version.clone(), resource, name: name.to_string() })
        };
        Some(DeltaDiscoveryResponse {
            resources: made.iter().filter_map(resource).collect(),
            system_version_info: version,
            type_url: SECRET_TYPE.into(),
            nonce: self.nonce.to_string(),
            removed_resources: removed,
        })
    }
}
