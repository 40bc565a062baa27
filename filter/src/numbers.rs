//! The numbers of the proxy-wasm ABI 0.2.1 that the plugin speaks. `tests/numbers.rs` holds them to the SDK's.

/// What Envoy does with the request or the connection that it asks about.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Continue = 0,
    Pause = 1,
}

/// How a line of the host's log is marked.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogLevel {
    Trace = 0,
    Debug = 1,
    Info = 2,
    Warn = 3,
    Error = 4,
}

// What a hostcall answers; every other number is a failure too.
pub(crate) const OK: u32 = 0;
pub(crate) const NOT_FOUND: u32 = 1;

/// The buffer of the plugin configuration.
pub(crate) const PLUGIN_CONFIGURATION: u32 = 7;
/// The header map of the request.
pub(crate) const HTTP_REQUEST_HEADERS: u32 = 0;
/// The kind of metric that is a counter.
pub(crate) const COUNTER: u32 = 0;
/// The stream that is the connection to the client.
pub(crate) const DOWNSTREAM: u32 = 2;
