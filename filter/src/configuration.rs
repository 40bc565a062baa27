//! Reads the policy that Envoy hands over, and makes ready what is needed to decide by it.
//!
//! Until a policy has been accepted, and if none ever is, the default one is in force: internet access is off and every
//! request is refused. A configuration with a mistake changes nothing.

use std::rc::Rc;

use log::{error, warn};
use weir_policy::Policy;

use crate::{
    host::{self, Bytes},
    metrics::Counters,
};

/// How long a count may stay in the VM before the host sees it.
const FLUSH_MILLISECONDS: u32 = 1000;

/// The policy in a configuration of `size` bytes, its counters defined. `None` if it is refused; the log says why.
pub(crate) fn accept(counters: &Counters, size: usize) -> Option<Rc<Policy>> {
    let document = match size {
        // No configuration at all: the host has no buffer to hand over.
        0 => Ok(Bytes::default()),
        size => host::configuration(size),
    };
    let document =
        document.inspect_err(|failure| error!("policy: the configuration cannot be read: {failure}")).ok()?;
    let policy = match Policy::from_json(&document) {
        Ok(policy) => policy,
        Err(mistakes) => {
            for mistake in &mistakes {
                error!("{mistake}");
            }
            return None;
        }
    };
    counters.define(policy.mode());
    if let Err(failure) = host::set_tick_period(FLUSH_MILLISECONDS) {
        warn!("weir: no ticks, so counters only move when the policy is replaced: {failure}");
    }
    Some(Rc::new(policy))
}
