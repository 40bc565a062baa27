//! What this process hands to the stage, and the stage to the init: the arguments of a hidden command.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

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
    pub(super) role: Role,
    /// Descriptor of the socket to the process before.
    #[arg(long)]
    pub(super) channel: i32,
    /// Id of the process before.
    #[arg(long)]
    pub(super) parent: i32,
    /// Where the command finds the proxy.
    #[arg(long)]
    pub(super) proxy: SocketAddr,
    /// Folders to hide.
    #[arg(long)]
    pub(super) hide: Vec<PathBuf>,
    /// Folders to hide if they are still there.
    #[arg(long)]
    pub(super) hide_others: Vec<PathBuf>,
    /// Sockets to hide.
    #[arg(long)]
    pub(super) hide_socket: Vec<PathBuf>,
    #[arg(last = true, required = true)]
    pub(super) command: Vec<OsString>,
}

#[cfg(target_os = "linux")]
impl Isolated {
    /// The arguments that say the same.
    pub(super) fn arguments(&self) -> Vec<OsString> {
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
