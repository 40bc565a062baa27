//! `--isolate`: the command in namespaces of its own, whose network has no way out but the proxy.
//!
//! Three processes beside this one. The *stage* makes the namespaces, listens for the command at the proxy's address on the
//! loopback of the new network, and hands that listener out to this process, which carries the bytes to the real proxy (see
//! `bridge`). The *init* is process 1 of the new process namespace: it hides what must not be seen (`mounts`), gives up its
//! privileges (`privileges`), and starts the command, the third. When any of them is killed the kernel ends all behind it.
//!
//! Where a step is refused the command is not started. It must never run with less around it than this.

mod arguments;
#[cfg(target_os = "linux")]
mod bridge;
#[cfg(target_os = "linux")]
mod init;
#[cfg(target_os = "linux")]
mod link;
#[cfg(target_os = "linux")]
mod mounts;
#[cfg(target_os = "linux")]
mod privileges;
#[cfg(target_os = "linux")]
mod stage;
#[cfg(target_os = "linux")]
mod step;
#[cfg(target_os = "linux")]
mod system_calls;

pub(crate) use arguments::Isolated;
#[cfg(target_os = "linux")]
use arguments::Role;

use crate::console::exit::Exit;

#[cfg(target_os = "linux")]
pub(crate) use link::command;

/// Runs as the process that the arguments say.
#[cfg(target_os = "linux")]
pub(crate) fn run(isolated: Isolated) -> Exit {
    match isolated.role {
        Role::Stage => stage::run(isolated),
        Role::Init => init::run(&isolated),
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use std::ffi::OsString;
    use std::io;
    use std::net::SocketAddr;
    use std::path::PathBuf;
    use std::process::Command;

    use super::arguments::Isolated;
    use crate::console::exit::Exit;

    pub(crate) fn run(_: Isolated) -> Exit {
        Exit::Failure
    }

    pub(crate) struct Link;

    impl Link {
        pub(crate) fn bridge(self, _: SocketAddr) -> Option<()> {
            None
        }
    }

    pub(crate) fn command(_: &[OsString], _: SocketAddr, _: &[PathBuf]) -> io::Result<(Command, Link)> {
        Err(io::Error::other("--isolate needs Linux"))
    }
}

#[cfg(not(target_os = "linux"))]
pub(crate) use elsewhere::{command, run};
