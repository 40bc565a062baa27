//! The root context: one for each configuration in each VM. It reads the policy and owns the
//! counters.
//!
//! Until a policy has been read, and if none ever is, the default one is in force: internet access
//! is off and every request is refused. A configuration with a mistake changes nothing.

use std::rc::Rc;

use log::{error, warn};
use proxy_wasm::{
    traits::{Context, HttpContext, RootContext},
    types::ContextType,
};
use weir_policy::Policy;

use crate::{
    host::{self, Bytes},
    http::Http,
    judge::Judge,
    stream,
};

/// How long a count may stay in the VM before the host sees it.
const FLUSH_MILLISECONDS: u32 = 1000;

/// See the module.
#[derive(Default)]
pub(crate) struct Root {
    judge: Judge,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, size: usize) -> bool {
        let document = match size {
            // No configuration at all: the host has no buffer to hand over.
            0 => Ok(Bytes::default()),
            size => host::configuration(size),
        };
        let document = match document {
            Ok(document) => document,
            Err(failure) => {
                error!("policy: the configuration cannot be read: {failure}");
                return false;
            }
        };
        let policy = match Policy::from_json(&document) {
            Ok(policy) => policy,
            Err(mistakes) => {
                for mistake in &mistakes {
                    error!("{mistake}");
                }
                return false;
            }
        };
        self.judge.counters.define(policy.mode());
        if let Err(failure) = host::set_tick_period(FLUSH_MILLISECONDS) {
            warn!("weir: no ticks, so counters only move when the policy goes: {failure}");
        }
        self.judge.policy = Rc::new(policy);
        true
    }

    fn on_tick(&mut self) {
        self.judge.counters.flush();
    }

    fn create_http_context(&self, context: u32) -> Option<Box<dyn HttpContext>> {
        stream::created(context, &self.judge);
        Some(Box::new(Http::new(&self.judge)))
    }

    /// Of connections too: `stream.rs` says why.
    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }
}

impl Drop for Root {
    /// `proxy_on_delete`, which Envoy calls when another policy has replaced this one: what was
    /// counted under it is handed over, or it would be lost.
    fn drop(&mut self) {
        self.judge.counters.flush();
    }
}
