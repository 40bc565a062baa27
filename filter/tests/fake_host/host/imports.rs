//! The C symbols. Nothing here may panic: a panic cannot leave a C function. A hostcall that is not here does not link.

use super::{Call, Fault, Phase, Response, VM, Vm, proxy_on_delete, proxy_on_memory_allocate};

const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const BAD_ARGUMENT: u32 = 2;

/// The bytes that a pointer and a size describe. A null pointer is right only for no bytes.
unsafe fn bytes(vm: &mut Vm, data: *const u8, size: usize) -> Vec<u8> {
    if size == 0 {
        return Vec::new();
    }
    if data.is_null() {
        vm.violation("a null pointer with a size");
        return Vec::new();
    }
    // SAFETY: the plugin says that these bytes are there.
    unsafe { std::slice::from_raw_parts(data, size) }.to_vec()
}

unsafe fn text(vm: &mut Vm, what: &str, data: *const u8, size: usize) -> String {
    // SAFETY: as above.
    let bytes = unsafe { bytes(vm, data, size) };
    String::from_utf8(bytes).unwrap_or_else(|error| {
        vm.violation(format!("{what} is not UTF-8: {error}"));
        String::new()
    })
}

/// Notes the call, and whether it is made when it may be. The fault that is planned for it, if any.
fn enter(vm: &mut Vm, call: Call, allowed: &[Phase]) -> Option<Fault> {
    vm.calls.push(call);
    if !allowed.contains(&vm.phase) {
        vm.violation(format!("{call:?}"));
    }
    if vm.response.is_some() && call != Call::Log {
        vm.violation(format!("{call:?} after the answer"));
    }
    vm.faults.get(&call).cloned()
}

/// Hands `value` over, or what the fault says instead.
unsafe fn hand_over(fault: Option<Fault>, value: &[u8], data: *mut *mut u8, size: *mut usize) -> u32 {
    let replaced;
    let value = match fault {
        None => value,
        Some(Fault::Status(status)) => return status,
        Some(Fault::Bytes(bytes)) => {
            replaced = bytes;
            &replaced
        }
        Some(Fault::Null(claimed)) => {
            // SAFETY: the plugin hands in two places to write to.
            unsafe {
                *data = std::ptr::null_mut();
                *size = claimed;
            }
            return OK;
        }
    };
    // SAFETY: as above, and the allocator gives `value.len()` bytes. Like Envoy, nothing is
    // allocated for nothing.
    unsafe {
        *size = value.len();
        *data = std::ptr::null_mut();
        if !value.is_empty() {
            *data = proxy_on_memory_allocate(value.len());
            std::ptr::copy_nonoverlapping(value.as_ptr(), *data, value.len());
        }
    }
    OK
}

/// A status for a call that hands nothing over.
fn status(fault: Option<&Fault>) -> Option<u32> {
    match fault {
        Some(Fault::Status(status)) => Some(*status),
        _ => None,
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_log(level: u32, data: *const u8, size: usize) -> u32 {
    VM.with_borrow_mut(|vm| {
        use Phase::{Configuring, DeletingRoot, NewConnection, RequestHeaders, Ticking};
        let fault = enter(vm, Call::Log, &[Configuring, RequestHeaders, NewConnection, Ticking, DeletingRoot]);
        let line = unsafe { text(vm, "a log line", data, size) };
        if !(2..=4).contains(&level) || line.is_empty() || line.chars().any(char::is_control) {
            vm.violation(format!("log line {level} {line:?}"));
        }
        if let Some(status) = status(fault.as_ref()) {
            return status;
        }
        vm.log.push((level, line));
        OK
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_buffer_bytes(
    buffer: u32,
    start: usize,
    max_size: usize,
    data: *mut *mut u8,
    size: *mut usize,
) -> u32 {
    VM.with_borrow_mut(|vm| {
        let fault = enter(vm, Call::Buffer, &[Phase::Configuring]);
        if (buffer, start, max_size) != (7, 0, vm.configuration.len()) || max_size == 0 {
            vm.violation(format!("buffer {buffer} from {start}, {max_size} bytes"));
        }
        unsafe { hand_over(fault, &vm.configuration, data, size) }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32 {
    VM.with_borrow_mut(|vm| {
        let fault = enter(vm, Call::Pairs, &[Phase::RequestHeaders]);
        // Read once, and first: only a context that was not announced is logged before.
        if map != 0 || vm.calls.iter().filter(|call| **call != Call::Log).count() != 1 {
            vm.violation(format!("header map {map}, {:?}", vm.calls));
        }
        match &vm.request {
            Some((_, pairs)) => unsafe { hand_over(fault, pairs, data, size) },
            None => BAD_ARGUMENT,
        }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_get_property(
    path: *const u8,
    path_size: usize,
    data: *mut *mut u8,
    size: *mut usize,
) -> u32 {
    VM.with_borrow_mut(|vm| {
        let fault = enter(vm, Call::GetProperty, &[Phase::RequestHeaders, Phase::NewConnection]);
        let path = unsafe { text(vm, "a property's path", path, path_size) };
        let number = |number: u64| number.to_le_bytes().to_vec();
        let value = match (path.as_str(), &vm.request, &vm.connection) {
            ("connection\0requested_server_name", Some((incoming, _)), _) => Some(incoming.server_name.clone()),
            ("connection\0tls_version", Some((incoming, _)), _) => incoming.tls_version.clone(),
            ("connection\0requested_server_name", _, Some(hello)) => Some(hello.server_name.clone()),
            ("destination\0port", _, Some(hello)) => hello.port.map(|port| number(port.into())),
            ("filter_state\0envoy.upstream.dynamic_port", _, Some(hello)) => hello.upstream_port.clone(),
            ("connection\0id", _, Some(hello)) => Some(number(hello.id)),
            _ => {
                vm.violation(format!("property {path:?}"));
                None
            }
        };
        match (value, fault) {
            (Some(value), fault) => unsafe { hand_over(fault, &value, data, size) },
            (None, None) => NOT_FOUND,
            (None, fault) => unsafe { hand_over(fault, &[], data, size) },
        }
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, value_size: usize) -> u32 {
    VM.with_borrow_mut(|vm| {
        let fault = enter(vm, Call::SetProperty, &[Phase::RequestHeaders, Phase::NewConnection]);
        let path = unsafe { text(vm, "a property's path", path, path_size) };
        let value = unsafe { text(vm, "a property", value, value_size) };
        let is_known = path == "weir.decision"
            || vm.phase == Phase::RequestHeaders && matches!(path.as_str(), "weir.tunnel" | "weir.tls");
        if !is_known || !is_field_value(&value) || vm.filter_states.contains_key(&path) {
            vm.violation(format!("set property {path:?} to {value:?}"));
        }
        if let Some(status) = status(fault.as_ref()) {
            return status;
        }
        vm.filter_states.insert(path, value);
        OK
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_send_local_response(
    status_code: u32,
    details: *const u8,
    details_size: usize,
    body: *const u8,
    body_size: usize,
    headers: *const u8,
    headers_size: usize,
    grpc_status: i32,
) -> u32 {
    VM.with_borrow_mut(|vm| {
        let fault = enter(vm, Call::Respond, &[Phase::RequestHeaders]);
        let details = unsafe { text(vm, "the details", details, details_size) };
        let body = unsafe { text(vm, "the body", body, body_size) };
        let encoded = unsafe { bytes(vm, headers, headers_size) };
        let headers = decode(&encoded).unwrap_or_else(|| {
            vm.violation("headers that do not decode");
            Vec::new()
        });
        if status_code != 403 || grpc_status != -1 {
            vm.violation(format!("status {status_code}, gRPC status {grpc_status}"));
        }
        if details.is_empty() || !details.bytes().all(|byte| byte.is_ascii_graphic()) {
            vm.violation(format!("details {details:?}"));
        }
        let is_name = |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        if !headers.iter().all(|(name, value)| is_name(name) && is_field_value(value)) {
            vm.violation(format!("headers {headers:?}"));
        }
        if let Some(status) = status(fault.as_ref()) {
            return status;
        }
        vm.response = Some(Response { status: status_code, details, headers, body });
        OK
    })
}

/// As Envoy does, this deletes the context before it returns.
#[unsafe(no_mangle)]
extern "C" fn proxy_close_stream(stream: u32) -> u32 {
    let closed = VM.with_borrow_mut(|vm| {
        let fault = enter(vm, Call::CloseStream, &[Phase::NewConnection]);
        if stream != 2 {
            vm.violation(format!("closed stream {stream}"));
        }
        if let Some(status) = status(fault.as_ref()) {
            return Err(status);
        }
        let Some(connection) = vm.connection.take() else {
            vm.violation("closed twice");
            return Err(BAD_ARGUMENT);
        };
        let context = connection.context();
        vm.phase = vm.deleting(context);
        Ok(context)
    });
    let context = match closed {
        Ok(context) => context,
        Err(status) => return status,
    };
    proxy_on_delete(context);
    VM.with_borrow_mut(|vm| vm.phase = Phase::NewConnection);
    OK
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32 {
    VM.with_borrow_mut(|vm| {
        let fault = enter(vm, Call::DefineMetric, &[Phase::Configuring]);
        let name = unsafe { text(vm, "a metric's name", name, name_size) };
        let parts: Vec<&str> = name.split('.').collect();
        if kind != 0 || !matches!(parts[..], ["weir", "allowed"] | ["weir", "denied" | "would_deny", _]) {
            vm.violation(format!("metric {kind} {name:?}"));
        }
        if let Some(status) = status(fault.as_ref()) {
            return status;
        }
        // Ids as odd as Envoy's own: the low bits say what kind of metric it is.
        let Ok(index) = u32::try_from(vm.metrics.len()) else {
            return BAD_ARGUMENT;
        };
        vm.metrics.push((name, 0));
        // SAFETY: the plugin hands in a place to write to.
        unsafe { *id = index * 4 + 4 };
        OK
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_increment_metric(id: u32, offset: i64) -> u32 {
    VM.with_borrow_mut(|vm| {
        let fault = enter(vm, Call::IncrementMetric, &[Phase::Ticking, Phase::DeletingRoot]);
        if offset <= 0 {
            vm.violation(format!("counter {id} moves by {offset}"));
        }
        if let Some(status) = status(fault.as_ref()) {
            return status;
        }
        let index = (id / 4).checked_sub(1).and_then(|index| usize::try_from(index).ok());
        let Some((_, value)) = index.and_then(|index| vm.metrics.get_mut(index)) else {
            vm.violation(format!("no counter {id}"));
            return NOT_FOUND;
        };
        *value += offset;
        OK
    })
}

#[unsafe(no_mangle)]
unsafe extern "C" fn proxy_set_tick_period_milliseconds(period: u32) -> u32 {
    VM.with_borrow_mut(|vm| {
        let fault = enter(vm, Call::TickPeriod, &[Phase::Configuring]);
        if let Some(status) = status(fault.as_ref()) {
            return status;
        }
        vm.tick_period = Some(period);
        OK
    })
}

/// Printable ASCII: nothing that could end a header or begin another.
fn is_field_value(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

/// Reads a header map in the ABI's format.
fn decode(buffer: &[u8]) -> Option<Vec<(String, String)>> {
    let number = |at: usize| -> Option<usize> {
        let bytes = buffer.get(at..at + 4)?.try_into().ok()?;
        usize::try_from(u32::from_le_bytes(bytes)).ok()
    };
    let count = number(0)?;
    let mut at = 4 + count * 8;
    let mut part = |size: usize| {
        let value = buffer.get(at..at + size)?;
        (buffer.get(at + size) == Some(&0)).then_some(())?;
        at += size + 1;
        String::from_utf8(value.to_vec()).ok()
    };
    let headers = (0..count)
        .map(|index| Some((part(number(4 + index * 8)?)?, part(number(8 + index * 8)?)?)))
        .collect::<Option<Vec<_>>>()?;
    (at == buffer.len()).then_some(headers)
}
