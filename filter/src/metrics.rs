//! How often each answer was given.
//!
//! The VM counts and hands its counts to the host once a second, since one hostcall for each request would cost more
//! than the decision. A counter is never named after a host: a client would choose how many counters there are.

use std::cell::Cell;

use log::warn;
use weir_policy::{Mode, Reason};

use crate::host::{self, Counter};

const REASONS: usize = Reason::ALL.len();

/// The counters of one root context, shared with the requests it answers.
pub(crate) struct Counters {
    allowed: Count,
    denied: [Count; REASONS],
    would_deny: [Count; REASONS],
}

/// What has been counted and not handed over yet.
#[derive(Default)]
struct Count {
    pending: Cell<i64>,
    /// Set once the host knows the counter.
    counter: Cell<Option<Counter>>,
}

impl Default for Counters {
    fn default() -> Counters {
        Counters {
            allowed: Count::default(),
            denied: std::array::from_fn(|_| Count::default()),
            would_deny: std::array::from_fn(|_| Count::default()),
        }
    }
}

impl Counters {
    /// Defines the counters, so that the host shows them before anything is counted.
    pub(crate) fn define(&self, mode: Mode) {
        self.allowed.define(|| "weir.allowed".to_owned());
        for (reason, count) in Reason::ALL.iter().zip(&self.denied) {
            count.define(|| denied(*reason));
        }
        if mode == Mode::Audit {
            for (reason, count) in Reason::ALL.iter().zip(&self.would_deny) {
                count.define(|| format!("weir.would_deny.{reason}"));
            }
        }
    }

    /// Counts a request that went on.
    pub(crate) fn count_allowed(&self) {
        self.allowed.add_one();
    }

    /// Counts a request that was refused.
    pub(crate) fn count_denied(&self, reason: Reason) {
        self.denied.get(reason as usize).map(Count::add_one);
    }

    /// Counts a request that went on only because the policy is in audit mode.
    pub(crate) fn count_would_deny(&self, reason: Reason) {
        self.would_deny.get(reason as usize).map(Count::add_one);
    }

    /// Hands over what has been counted. What the host does not accept is kept for the next time.
    pub(crate) fn flush(&self) {
        for count in self.denied.iter().chain(&self.would_deny) {
            count.flush();
        }
        self.allowed.flush();
    }
}

/// The name of the counter of denials for `reason`.
pub(crate) fn denied(reason: Reason) -> String {
    format!("weir.denied.{reason}")
}

impl Count {
    fn define(&self, name: impl FnOnce() -> String) {
        if self.counter.get().is_some() {
            return;
        }
        let name = name();
        match host::define_counter(&name) {
            Ok(counter) => self.counter.set(Some(counter)),
            Err(failure) => warn!("weir: no counter {name}: {failure}"),
        }
    }

    fn add_one(&self) {
        self.pending.set(self.pending.get().saturating_add(1));
    }

    fn flush(&self) {
        let pending = self.pending.get();
        if pending == 0 {
            return;
        }
        let Some(counter) = self.counter.get() else {
            return;
        };
        if host::increment(counter, pending).is_ok() {
            self.pending.set(0);
        }
    }
}
