//! The exit codes, which scripts rely on: each has one meaning in every subcommand.

use std::process::{ExitCode, Termination};

/// How a subcommand ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// 0: done; `explain`: the request is allowed.
    Success,
    /// 1: a row of the demo came out otherwise than it must, a build failed, or Envoy did.
    Failure,
    /// 2: a mistake in a policy or in the command line (clap exits so too).
    Mistake,
    /// 3: `explain`: the request is refused.
    Denied,
    /// `run`: what the command ended with, 128 and the signal's number where a signal ended it.
    Command(u8),
}

impl Termination for Exit {
    fn report(self) -> ExitCode {
        ExitCode::from(match self {
            Exit::Success => 0,
            Exit::Failure => 1,
            Exit::Mistake => 2,
            Exit::Denied => 3,
            Exit::Command(code) => code,
        })
    }
}
