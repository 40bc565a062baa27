//! The means of the end-to-end tests: clients that send exactly the bytes of a test, and the checks that all tests
//! share.
//!
//! A client library would normalise a request before sending it, or refuse to send it. The clients here must never do
//! so: Envoy reads what a test writes. They check nothing either; [`refusal`] and the tests say what an answer must
//! look like.
//!
//! Nothing here may skip silently: without an Envoy the launcher's message fails the test.
#![allow(
    clippy::missing_panics_doc,
    clippy::missing_errors_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this runs in tests, which fail by panicking"
)]

pub mod answer;
pub mod audit;
pub mod cases;
pub mod connect;
pub mod failures;
pub mod http1;
pub mod http2;
pub mod inspecting;
pub mod network;
pub mod process;
pub mod proxy;
pub mod refusal;
mod skipped;
pub mod tls;

pub use answer::{Answer, Outcome};
pub use failures::Failures;
pub use inspecting::Inspecting;
pub use network::Network;
pub use proxy::Proxy;
pub use skipped::skipped;
