//! `--isolate`: the command in namespaces of its own, whose network has no way out but the proxy.
//!
//! Three processes beside this one. The *stage* makes the namespaces, listens for the command at the proxy's address on the
//! loopback of the new network, and hands that listener out to this process, which carries the bytes to the real proxy (see
//! `bridge`). The *init* is process 1 of the new process namespace: it hides what must not be seen (`mounts`), gives up its
//! privileges (`privileges`), and starts the command, the third. When any of them is killed the kernel ends all behind it.
//!
//! Where a step is refused the command is not started. It must never run with less around it than this.

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

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::console::exit::Exit;

#[cfg(target_os = "linux")]
pub(crate) use link::command;

/// Which of the processes this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Role {
    Stage,
    Init,
}

/// What this process hands to the stage, and the stage to the init.
#[derive(Clone, Debug, Args)]
pub(crate) struct Isolated {
    #[arg(long)]
    role: Role,
    /// Descriptor of the socket to the process before.
    #[arg(long)]
    channel: i32,
    /// Id of the process before.
    #[arg(long)]
    parent: i32,
    /// Where the command finds the proxy.
    #[arg(long)]
    proxy: SocketAddr,
    /// Folders to hide.
    #[arg(long)]
    hide: Vec<PathBuf>,
    /// Folders to hide if they are still there.
    #[arg(long)]
    hide_others: Vec<PathBuf>,
    /// Sockets to hide.
    #[arg(long)]
    hide_socket: Vec<PathBuf>,
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

#[cfg(target_os = "linux")]
impl Isolated {
    pub(crate) fn run(self) -> Exit {
        match self.role {
            Role::Stage => stage::run(self),
            Role::Init => init::run(&self),
        }
    }

    /// The arguments that say the same.
    fn arguments(&self) -> Vec<OsString> {
        let role = if self.role == Role::Stage { "stage" } else { "init" };
        let mut arguments: Vec<OsString> = ["isolated", "--role", role].map(OsString::from).to_vec();
        for (name, value) in [
            ("--channel", self.channel.to_string()),
            ("--parent", self.parent.to_string()),
            ("--proxy", self.proxy.to_string()),
        ] {
            arguments.extend([name.into(), value.into()]);
        }
        for (name, paths) in
            [("--hide", &self.hide), ("--hide-others", &self.hide_others), ("--hide-socket", &self.hide_socket)]
        {
            arguments.extend(paths.iter().flat_map(|path| [name.into(), path.into()]));
        }
        arguments.push("--".into());
        arguments.extend(self.command.iter().cloned());
        arguments
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use super::{Exit, Isolated, OsString, PathBuf, SocketAddr};
    use std::io;
    use std::process::Command;

    impl Isolated {
        pub(crate) fn run(self) -> Exit {
            Exit::Failure
        }
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
pub(crate) use elsewhere::command;
