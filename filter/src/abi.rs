//! The callbacks that Envoy calls: the module's exports, all of them.
//!
//! They are written here and not taken from the proxy-wasm SDK, whose own ones can trap: it panics when a context is
//! created twice, when a callback names a context that it does not know, and when Envoy deletes a context from within a
//! callback, which is what closing a connection makes it do. It also exports every callback there is, and Envoy calls
//! each that is exported, once per body chunk too. All of that had to be cut out of the module again.
//!
//! Nor can the SDK serve for its types alone. The names of its exports are fixed, and a binary that links it, for
//! whatever part of it, cannot define them again (`duplicate symbol`). `numbers.rs` has the few numbers of the ABI that
//! are needed, and a test holds them to the SDK's. `bench/results/abi.txt` compares the ways: without the SDK the
//! module has 175,938 bytes instead of 192,345, there are 690 lines of code instead of 809, and an allowed request is
//! no dearer.
//!
//! Nothing here may trap, and no order of callbacks may let a request or a connection go on undecided. No borrow is
//! held while the host is called, since the host may call back. A context that was never announced, or has been decided
//! already, comes under the default policy, which refuses everything.
#![expect(unsafe_code, reason = "the names of exports must not be mangled; nothing else has one like them")]

use std::{cell::RefCell, thread::LocalKey};

use log::error;

use crate::{configuration, http, judge::Judge, network, numbers::Action};

/// A context that is known by its id, and what decides for it.
type Context = (u32, Judge);

thread_local! {
    /// One root context for each policy. There are several in one VM while a policy replaces another.
    static ROOTS: RefCell<Vec<Context>> = const { RefCell::new(Vec::new()) };
    /// The requests and connections that were announced and not yet decided. Envoy announces each right before it asks,
    /// so there is seldom more than one.
    static STREAMS: RefCell<Vec<Context>> = const { RefCell::new(Vec::new()) };
}

/// Says which version of the ABI the other names belong to. Envoy looks for it and never calls it.
#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

/// Called once, before everything else.
#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    crate::log::install();
}

/// Announces a root context, whose `parent` is 0, or a request or connection under that root. Which of the two it is
/// shows in the callback that follows.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(context: u32, parent: u32) {
    if parent != 0 {
        forget(&STREAMS, context);
        // Under no root that is known, nothing is kept, and the request will be refused.
        if let Some(judge) = find(parent) {
            STREAMS.with_borrow_mut(|streams| streams.push((context, judge)));
        }
    } else if find(context).is_none() {
        ROOTS.with_borrow_mut(|roots| roots.push((context, Judge::default())));
    }
}

/// Hands over a policy of `size` bytes; whether it is accepted. One that is not leaves the one before in force.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(root: u32, size: usize) -> bool {
    let Some(judge) = find(root) else {
        error!("weir: a policy for a context that was not announced is refused");
        return false;
    };
    let Some(policy) = configuration::accept(&judge.counters, size) else {
        return false;
    };
    ROOTS.with_borrow_mut(|roots| {
        let judge = roots.iter_mut().find(|(id, _)| *id == root).map(|(_, judge)| judge);
        judge.map(|judge| judge.policy = policy).is_some()
    })
}

/// Called about once a second.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(root: u32) {
    if let Some(judge) = find(root) {
        judge.counters.flush();
    }
}

/// Asks about a request.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(context: u32, _: usize, end_of_stream: u32) -> Action {
    http::decide(&announced(context), end_of_stream != 0)
}

/// Asks about a connection.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_new_connection(context: u32) -> Action {
    network::decide(&announced(context))
}

/// Ends a context of any kind, known or not. Most requests have left nothing by then; what is left is a policy that
/// another has replaced, or a request that another filter answered before this one was asked.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(context: u32) {
    forget(&STREAMS, context);
    // What was counted under it and not handed over yet would be lost.
    if let Some(judge) = forget(&ROOTS, context) {
        judge.counters.flush();
    }
}

/// What decides under a root context.
fn find(root: u32) -> Option<Judge> {
    ROOTS.with_borrow(|roots| roots.iter().find(|(id, _)| *id == root).map(|(_, judge)| judge.clone()))
}

/// What decides a request or a connection. It is decided once, so it is forgotten.
fn announced(context: u32) -> Judge {
    forget(&STREAMS, context).unwrap_or_else(|| {
        error!("weir: a request or a connection that was not announced is refused");
        Judge::default()
    })
}

fn forget(contexts: &'static LocalKey<RefCell<Vec<Context>>>, context: u32) -> Option<Judge> {
    contexts.with_borrow_mut(|contexts| {
        let at = contexts.iter().rposition(|(id, _)| *id == context)?;
        Some(contexts.swap_remove(at).1)
    })
}
