//! What the end-to-end tests are made of: clients that send exactly the bytes they are told to, and
//! the checks that every test shares.
//!
//! A client library would tidy a request before it is sent, or refuse to send it. The clients here
//! never do: what a test writes is what Envoy reads. They judge nothing either; what an answer must
//! look like stands in [`refusal`] and in the tests.
//!
//! Nothing here may skip silently: without an Envoy the launcher's message fails the test.
#![allow(
    clippy::missing_panics_doc,
    clippy::missing_errors_doc,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this runs in tests, where stopping is the way to fail"
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
