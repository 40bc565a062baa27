//! The two protocols by which Envoy requests secrets.

use tonic::Status;

use super::subscription::Subscription;

/// One of the two protocols: state of the world, or incremental.
pub(super) trait Dialect: Default + Send + 'static {
    type Request: prost::Message + Default + 'static;
    type Response: prost::Message + Default + 'static;

    /// Applies a request to the subscription.
    fn take(&mut self, subscription: &mut Subscription<'_>, request: Self::Request) -> Result<(), Status>;

    /// The answer that is due now, if any.
    fn answer(&mut self, subscription: &mut Subscription<'_>) -> impl Future<Output = Option<Self::Response>> + Send;
}
