//! A host for the plugin, in this process: the `proxy_*` functions that Envoy would offer, as C
//! symbols, and a driver for the entry points that the plugin exports.
//!
//! It is strict. A hostcall that the plugin has no business making, with arguments that Envoy would
//! not take or at a time when Envoy would not answer, is a violation, and a violation fails the
//! test. C functions must not unwind, so violations are noted and looked at afterwards.
//!
//! It keeps its own reading and writing of the ABI's formats: nothing is shared with the plugin.

mod contexts;
mod imports;
mod tls;

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::atomic::{AtomicU32, Ordering},
};

pub use tls::ClientHello;

// Makes the linker see the plugin's entry points.
use weir_filter as _;

// What Envoy calls, by the names and with the types that Envoy uses.
unsafe extern "C" {
    safe fn _initialize();
    safe fn proxy_abi_version_0_2_1();
    safe fn proxy_on_memory_allocate(size: usize) -> *mut u8;
    safe fn proxy_on_context_create(context: u32, parent: u32);
    safe fn proxy_on_configure(root: u32, size: usize) -> bool;
    safe fn proxy_on_request_headers(context: u32, count: usize, end_of_stream: u32) -> u32;
    safe fn proxy_on_new_connection(context: u32) -> u32;
    safe fn proxy_on_tick(root: u32);
    safe fn proxy_on_delete(context: u32);
}

const CONTINUE: u32 = 0;
const PAUSE: u32 = 1;

/// The hostcalls that the plugin may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Call {
    Log,
    Buffer,
    Pairs,
    GetProperty,
    SetProperty,
    Respond,
    CloseStream,
    DefineMetric,
    IncrementMetric,
    TickPeriod,
}

impl Call {
    /// All but the one that ends a connection: see `stop` in the plugin's `host.rs`.
    pub const ALL: [Call; 9] = [
        Call::Log,
        Call::Buffer,
        Call::Pairs,
        Call::GetProperty,
        Call::SetProperty,
        Call::Respond,
        Call::DefineMetric,
        Call::IncrementMetric,
        Call::TickPeriod,
    ];
}

/// How a hostcall goes wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It answers with this status.
    Status(u32),
    /// It succeeds and hands over these bytes instead.
    Bytes(Vec<u8>),
    /// It succeeds and hands over a null pointer with this size.
    Null(usize),
}

/// Which entry point of the plugin is running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Outside,
    Creating,
    Configuring,
    RequestHeaders,
    NewConnection,
    Ticking,
    DeletingRoot,
    DeletingStream,
}

/// The answer that the plugin gave in place of the upstream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    pub status: u32,
    pub details: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Response {
    /// The only value of a header.
    pub fn header(&self, name: &str) -> &str {
        let mut values = self.headers.iter().filter(|(key, _)| key == name);
        let (_, value) = values.next().unwrap_or_else(|| panic!("no {name} in {self:?}"));
        assert!(values.next().is_none(), "two {name} in {self:?}");
        value
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// What a request came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub goes_on: bool,
    pub response: Option<Response>,
    /// What `weir.decision` was set to.
    pub filter_state: Option<String>,
    /// What `weir.tunnel` and `weir.tls` were set to.
    pub tunnel: Option<(String, String)>,
    pub calls: Vec<Call>,
    pub log: Vec<(u32, String)>,
}

impl Outcome {
    /// The reason code in the header of the refusal.
    pub fn refusal(&self) -> &str {
        assert!(!self.goes_on, "went on: {self:?}");
        let response = self.response.as_ref().unwrap_or_else(|| panic!("no answer: {self:?}"));
        let rest = response.header("x-weir-decision").strip_prefix("deny; reason=");
        rest.and_then(|rest| rest.split(';').next()).unwrap_or_else(|| panic!("{response:?}"))
    }

    /// The one JSON line that was logged.
    pub fn audit_record(&self) -> serde_json::Value {
        let [(_, line)] = self.log.as_slice() else {
            panic!("not one line: {self:?}");
        };
        serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
    }
}

/// A request as Envoy would show it.
#[derive(Clone)]
pub struct Incoming {
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    pub end_of_stream: bool,
    /// `connection.requested_server_name`; Envoy has an empty one where there was none.
    pub server_name: Vec<u8>,
    /// `connection.tls_version`; absent in cleartext.
    pub tls_version: Option<Vec<u8>>,
}

impl Incoming {
    pub fn new(method: impl AsRef<[u8]>, authority: impl AsRef<[u8]>, path: impl AsRef<[u8]>) -> Incoming {
        let incoming =
            Incoming { headers: Vec::new(), end_of_stream: true, server_name: Vec::new(), tls_version: None };
        incoming
            .with(":authority", authority)
            .with(":path", path)
            .with(":method", method)
            .with(":scheme", "http")
            .with("user-agent", "fake/1")
            .with("x-request-id", "11111111-2222-4333-8444-555555555555")
    }

    pub fn get(authority: impl AsRef<[u8]>) -> Incoming {
        Incoming::new("GET", authority, "/")
    }

    pub fn with(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Incoming {
        self.headers.push((name.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    pub fn without(mut self, name: &str) -> Incoming {
        self.headers.retain(|(key, _)| key != name.as_bytes());
        self
    }

    pub fn more_follows(mut self) -> Incoming {
        self.end_of_stream = false;
        self
    }

    pub fn inside_tls(mut self, server_name: impl AsRef<[u8]>) -> Incoming {
        self.server_name = server_name.as_ref().to_vec();
        self.tls_version = Some(b"TLSv1.3".to_vec());
        self
    }

    /// The header map in the ABI's format.
    pub fn pairs(&self) -> Vec<u8> {
        let number = |n: usize| u32::try_from(n).unwrap().to_le_bytes();
        let mut buffer = number(self.headers.len()).to_vec();
        for (name, value) in &self.headers {
            buffer.extend(number(name.len()));
            buffer.extend(number(value.len()));
        }
        for (name, value) in &self.headers {
            buffer.extend([name, &[0][..], value, &[0]].concat());
        }
        buffer
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, value) in &self.headers {
            write!(f, "{}: {}, ", name.escape_ascii(), value.escape_ascii())?;
        }
        let (tls, server_name) = (self.tls_version.is_some(), self.server_name.escape_ascii());
        write!(f, "end of stream {}, TLS {tls} with name \"{server_name}\"", self.end_of_stream)
    }
}

thread_local! {
    static VM: RefCell<Vm> = RefCell::new(Vm::new());
}

/// What the host knows of the one VM of this thread.
struct Vm {
    phase: Phase,
    configuration: Vec<u8>,
    request: Option<(Incoming, Vec<u8>)>,
    connection: Option<ClientHello>,
    faults: BTreeMap<Call, Fault>,
    calls: Vec<Call>,
    log: Vec<(u32, String)>,
    filter_states: BTreeMap<String, String>,
    response: Option<Response>,
    /// Counters by id; an id is good only in this VM.
    metrics: Vec<(String, i64)>,
    tick_period: Option<u32>,
    roots: BTreeSet<u32>,
    violations: Vec<String>,
}

impl Vm {
    fn new() -> Vm {
        Vm {
            phase: Phase::Outside,
            configuration: Vec::new(),
            request: None,
            connection: None,
            faults: BTreeMap::new(),
            calls: Vec::new(),
            log: Vec::new(),
            filter_states: BTreeMap::new(),
            response: None,
            metrics: Vec::new(),
            tick_period: None,
            roots: BTreeSet::new(),
            violations: Vec::new(),
        }
    }

    fn violation(&mut self, what: impl Into<String>) {
        let what = format!("{} (during {:?})", what.into(), self.phase);
        self.violations.push(what);
    }
}

/// The host. One a test, since it stands for the VM of the test's thread.
pub struct Host(());

/// A root context of the plugin.
#[derive(Clone, Copy, Debug)]
pub struct Root(u32);

/// The plugin keeps contexts by thread, and threads may run several tests: no id is used twice, unless a test does so.
static NEXT_CONTEXT: AtomicU32 = AtomicU32::new(1);

fn next_context() -> u32 {
    NEXT_CONTEXT.fetch_add(1, Ordering::Relaxed)
}

impl Host {
    pub fn start() -> Host {
        VM.replace(Vm::new());
        within(Phase::Creating, || _initialize());
        Host(())
    }

    /// A host with one root context that took this policy.
    pub fn with_policy(document: &str) -> (Host, Root) {
        let host = Host::start();
        let root = host.create_root();
        assert!(host.configure(root, document.as_bytes()), "refused: {document}: {:?}", host.take_log());
        host.take_log();
        (host, root)
    }

    pub fn create_root(&self) -> Root {
        let id = next_context();
        self.create(id, 0);
        Root(id)
    }

    pub fn configure(&self, Root(id): Root, document: &[u8]) -> bool {
        VM.with_borrow_mut(|vm| vm.configuration = document.to_vec());
        within(Phase::Configuring, || proxy_on_configure(id, document.len()))
    }

    /// One request, from the creation of its context to the deletion of it.
    pub fn request(&self, root: Root, incoming: &Incoming) -> Outcome {
        self.request_as(root, incoming, incoming.pairs())
    }

    /// A request whose header map the host hands over as these bytes.
    pub fn request_as(&self, root: Root, incoming: &Incoming, pairs: Vec<u8>) -> Outcome {
        let context = self.announce(root);
        let outcome = self.ask_as(context, incoming, pairs);
        self.end(context);
        outcome
    }

    pub fn tick(&self, Root(id): Root) {
        within(Phase::Ticking, || proxy_on_tick(id));
    }

    pub fn delete(&self, Root(id): Root) {
        self.end(id);
    }

    /// From now on, this hostcall goes wrong so.
    pub fn fail(&self, call: Call, fault: Fault) {
        VM.with_borrow_mut(|vm| vm.faults.insert(call, fault));
    }

    /// From now on, every hostcall does what it should.
    pub fn heal(&self) {
        VM.with_borrow_mut(|vm| vm.faults.clear());
    }

    pub fn take_log(&self) -> Vec<(u32, String)> {
        VM.with_borrow_mut(|vm| std::mem::take(&mut vm.log))
    }

    pub fn take_calls(&self) -> Vec<Call> {
        VM.with_borrow_mut(|vm| std::mem::take(&mut vm.calls))
    }

    pub fn tick_period(&self) -> Option<u32> {
        VM.with_borrow(|vm| vm.tick_period)
    }

    /// The counters that are not zero, several ids of one name added up, as Envoy does.
    pub fn counters(&self) -> BTreeMap<String, i64> {
        VM.with_borrow(|vm| {
            let mut counters = BTreeMap::new();
            for (name, value) in vm.metrics.iter().filter(|(_, value)| *value != 0) {
                *counters.entry(name.clone()).or_default() += value;
            }
            counters
        })
    }

    pub fn defined_counters(&self) -> BTreeSet<String> {
        VM.with_borrow(|vm| vm.metrics.iter().map(|(name, _)| name.clone()).collect())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // While there still is a host to hand counts to.
        for id in VM.with_borrow(|vm| vm.roots.clone()) {
            self.delete(Root(id));
        }
        let violations = VM.with_borrow_mut(|vm| std::mem::take(&mut vm.violations));
        assert!(std::thread::panicking() || violations.is_empty(), "{violations:#?}");
    }
}

fn within<T>(phase: Phase, entry_point: impl FnOnce() -> T) -> T {
    VM.with_borrow_mut(|vm| vm.phase = phase);
    let result = entry_point();
    VM.with_borrow_mut(|vm| vm.phase = Phase::Outside);
    result
}
