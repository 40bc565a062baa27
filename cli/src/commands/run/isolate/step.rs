//! A step of the isolation that the system may refuse, and what the processes tell each other of the end.

use std::fs;
use std::io;

use crate::console::terminal::{mistake, words};

/// What the init tells.
pub(super) const STOPPED: u8 = b'S';
pub(super) const CODE: u8 = b'E';
pub(super) const SIGNAL: u8 = b'K';

/// A step that did not work.
pub(super) struct Refused {
    pub(super) what: String,
    pub(super) error: io::Error,
}

impl Refused {
    /// Says which step it was, and what would help.
    pub(super) fn tell(&self) {
        mistake(format_args!("--isolate is not possible here: {}: {}", self.what, self.error));
        for line in advice(&self.error) {
            words(format_args!("  {line}"));
        }
    }
}

/// Names the step that an error belongs to.
pub(super) trait Step<T> {
    fn step(self, what: &str) -> Result<T, Refused>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, what: &str) -> Result<T, Refused> {
        self.map_err(|error| Refused { what: what.to_owned(), error: error.into() })
    }
}

/// What to do about a kernel that refuses.
fn advice(error: &io::Error) -> Vec<String> {
    let mut advice = Vec::new();
    for (file, bad) in [
        ("/proc/sys/user/max_user_namespaces", "0"),
        ("/proc/sys/kernel/unprivileged_userns_clone", "0"),
        ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1"),
    ] {
        if fs::read_to_string(file).is_ok_and(|value| value.trim() == bad) {
            advice.push(format!("{file} is {bad}, which forbids user namespaces"));
        }
    }
    if error.kind() == io::ErrorKind::PermissionDenied {
        advice.push(
            "it needs root with CAP_SYS_ADMIN and CAP_NET_ADMIN, or user namespaces that every user may make".into(),
        );
        advice.push(
            "in a container: --cap-add SYS_ADMIN --cap-add NET_ADMIN, a seccomp profile that allows unshare and mount"
                .into(),
        );
    }
    advice.push("without --isolate the command would be free to go round the proxy, so it was not started".into());
    advice
}
