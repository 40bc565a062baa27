//! Reading a request and deciding on it allocates nothing, however many entries the policy has.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use weir_policy::{Decision, Policy, Request};

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn an_allowed_name_allocates_nothing() {
    // One test alone in this binary: the counter counts every thread.
    let domains: Vec<String> = (0..10_000).map(|number| format!("\"host-{number}.example.com\"")).collect();
    let document = format!(
        r#"{{"internet_access": "on", "methods": "read-only", "ports": [80, 443, 8443], "denylist": ["evil.example.net"],
            "allowlist": {{"preset": "common-dependencies", "domains": [
                {{"domain": "api.example.org", "paths": ["/v1/"], "methods": ["GET", "POST"], "allow": ["git-fetch"]}}, {}]}}}}"#,
        domains.join(", ")
    );
    let policy = Policy::from_json(document.as_bytes()).unwrap();
    let allowed = [
        "github.com",
        "a.b.c.api.GitHub.com:443",
        "host-9999.example.com.",
        "x.host-1.example.com",
        "api.example.org:8443",
    ];
    let refused =
        ["evil-github.com", "sub.evil.example.net", "nothing.example", "192.0.2.7", "localhost", "user@github.com"];
    for (authority, is_allowed) in allowed.map(|host| (host, true)).into_iter().chain(refused.map(|host| (host, false)))
    {
        let headers = [
            (&b":method"[..], &b"GET"[..]),
            (b":authority", authority.as_bytes()),
            (b":path", b"/v1/things?q=1"),
            (b"user-agent", b"curl/8"),
            (b"x-request-id", b"1"),
        ];
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        let request = Request::from_headers(headers, true);
        let decision = policy.decide(&request);
        let after = ALLOCATIONS.load(Ordering::Relaxed);
        assert_eq!(matches!(decision, Decision::Allow { .. }), is_allowed, "{authority}");
        assert_eq!(after - before, 0, "{authority} allocated");
    }
}
