//! The two ways in which Envoy asks for secrets.

use tonic::Status;

use super::subscription::Subscription;

/// One of the two ways to ask: for the whole of a subscription each time, or for what changes.
pub(super) trait Dialect: Default + Send + 'static {
    type Request: prost::Message + Default + 'static;
    type Response: prost::Message + Default + 'static;

    /// Takes up what a request says.
    fn take(&mut self, subscription: &mut Subscription<'_>, request: Self::Request) -> Result<(), Status>;

    /// What there is to tell now, if anything.
    fn answer(&mut self, subscription: &mut Subscription<'_>) -> impl Future<Output = Option<Self::Response>> + Send;
}
