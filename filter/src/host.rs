//! The hostcalls that the plugin makes, and the only unsafe code of the crate.
//!
//! The SDK has wrappers for all of them, and each panics on a status that it does not expect: an operator who restricts
//! a capability causes one. A panic traps, and a trap takes the worker's VM with it. Here each call returns its status
//! instead, as a [`Failure`].
//!
//! Nothing in this module may panic, and nothing in it knows what a decision is.
#![expect(unsafe_code, reason = "the proxy-wasm ABI is a set of C functions that take pointers")]

use std::{
    alloc::{self, Layout},
    fmt, ptr,
};

use crate::numbers::{COUNTER, DOWNSTREAM, HTTP_REQUEST_HEADERS, LogLevel, NOT_FOUND, OK, PLUGIN_CONFIGURATION};

/// What the host hands over: the allocation that it made by [`proxy_on_memory_allocate`].
pub(crate) type Bytes = Box<[u8]>;

/// Why a hostcall gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The host answered with this status; the proxy-wasm ABI 0.2.1 numbers them.
    Status(u32),
    /// The host said that all went well, and handed over something else than it announced.
    WrongSize,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Status(status) => write!(f, "the host answered with status {status}"),
            Failure::WrongSize => f.write_str("the host handed over another size than announced"),
        }
    }
}

/// A counter of the host, good for as long as the VM lives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counter(u32);

/// Lets Envoy derive the gRPC status from the HTTP status, for a client that speaks gRPC.
const NO_GRPC_STATUS: i32 = -1;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: u32, text: *const u8, text_size: usize) -> u32;
    fn proxy_get_buffer_bytes(buffer: u32, start: usize, max_size: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_property(path: *const u8, path_size: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, value_size: usize) -> u32;
    fn proxy_send_local_response(
        status_code: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_close_stream(stream: u32) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, offset: i64) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
}

/// Writes one line to the host's log.
pub(crate) fn log(level: LogLevel, text: &str) -> Result<(), Failure> {
    // SAFETY: the pointer and the size describe `text`, which outlives the call.
    succeeded(unsafe { proxy_log(level as u32, text.as_ptr(), text.len()) })
}

/// The plugin configuration, which is `size` bytes long. Good only while the host is configuring.
pub(crate) fn configuration(size: usize) -> Result<Bytes, Failure> {
    let bytes = returned(|data, returned_size| {
        // SAFETY: `returned` hands in two places that the host may write to.
        unsafe { proxy_get_buffer_bytes(PLUGIN_CONFIGURATION, 0, size, data, returned_size) }
    })?;
    // A part of a policy may well parse, and say something else than the whole.
    if bytes.len() == size { Ok(bytes) } else { Err(Failure::WrongSize) }
}

/// All request headers in one buffer; [`crate::pairs`] knows its format.
pub(crate) fn request_headers() -> Result<Bytes, Failure> {
    returned(|data, size| {
        // SAFETY: `returned` hands in two places that the host may write to.
        unsafe { proxy_get_header_map_pairs(HTTP_REQUEST_HEADERS, data, size) }
    })
}

/// The path of the server name in the `ClientHello`; the property is empty where there is none.
pub(crate) const SERVER_NAME: &str = "connection\0requested_server_name";

/// A property of the stream, `None` when it has none of that name. Segments of `path` are
/// separated by a NUL.
pub(crate) fn property(path: &str) -> Result<Option<Bytes>, Failure> {
    let value = returned(|data, size| {
        // SAFETY: pointer and size describe `path`; `returned` hands in two places to write to.
        unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) }
    });
    match value {
        Ok(value) => Ok(Some(value)),
        Err(Failure::Status(NOT_FOUND)) => Ok(None),
        Err(failure) => Err(failure),
    }
}

/// Sets a property of the stream; Envoy keeps it as the filter state `wasm.<path>`.
pub(crate) fn set_property(path: &str, value: &str) -> Result<(), Failure> {
    // SAFETY: the pointers and the sizes describe `path` and `value`, which outlive the call.
    succeeded(unsafe { proxy_set_property(path.as_ptr(), path.len(), value.as_ptr(), value.len()) })
}

/// Answers the request in place of the upstream. `headers` are encoded as [`crate::pairs`] says;
/// `details` must hold no space (`%RESPONSE_CODE_DETAILS%` of an access log prints it).
pub(crate) fn send_response(status: u16, details: &str, headers: &[u8], body: &str) -> Result<(), Failure> {
    // SAFETY: the pointers and the sizes describe the three arguments, which outlive the call.
    succeeded(unsafe {
        proxy_send_local_response(
            status.into(),
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            NO_GRPC_STATUS,
        )
    })
}

/// Closes the connection to the client, and with it whatever it would have become.
pub(crate) fn close_downstream() -> Result<(), Failure> {
    // SAFETY: no pointers.
    succeeded(unsafe { proxy_close_stream(DOWNSTREAM) })
}

/// Stops the VM. Envoy then closes what it was asking about, and calls no plugin until it has made another VM: for a
/// refusal that cannot be carried out in any other way.
pub(crate) fn stop() -> ! {
    std::process::abort()
}

/// Defines a counter, or finds the one of that name.
pub(crate) fn define_counter(name: &str) -> Result<Counter, Failure> {
    let mut id = 0;
    // SAFETY: pointer and size describe `name`, and `id` is a place that the host may write to.
    succeeded(unsafe { proxy_define_metric(COUNTER, name.as_ptr(), name.len(), &raw mut id) }).map(|()| Counter(id))
}

/// Adds to a counter.
pub(crate) fn increment(Counter(id): Counter, by: i64) -> Result<(), Failure> {
    // SAFETY: no pointers.
    succeeded(unsafe { proxy_increment_metric(id, by) })
}

/// Asks to be called back every so many milliseconds.
pub(crate) fn set_tick_period(milliseconds: u32) -> Result<(), Failure> {
    // SAFETY: no pointers.
    succeeded(unsafe { proxy_set_tick_period_milliseconds(milliseconds) })
}

fn succeeded(status: u32) -> Result<(), Failure> {
    match status {
        OK => Ok(()),
        status => Err(Failure::Status(status)),
    }
}

/// Where the host puts what a hostcall returns. Null, which makes the hostcall fail, where there is no memory.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    match Layout::array::<u8>(size) {
        // SAFETY: the layout is not empty.
        Ok(layout) if size > 0 => unsafe { alloc::alloc(layout) },
        _ => ptr::null_mut(),
    }
}

/// Runs a hostcall that returns data, and takes that data over.
fn returned(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Bytes, Failure> {
    let mut data = ptr::null_mut();
    let mut size = 0;
    succeeded(call(&raw mut data, &raw mut size))?;
    match (data.is_null(), size) {
        (_, 0) => Ok(Bytes::default()),
        (true, _) => Err(Failure::WrongSize),
        // SAFETY: the host allocated exactly `size` bytes by `proxy_on_memory_allocate`, with the layout of a boxed
        // slice, filled them, and gave them up with this call.
        (false, _) => Ok(unsafe { Box::from_raw(ptr::slice_from_raw_parts_mut(data, size)) }),
    }
}
