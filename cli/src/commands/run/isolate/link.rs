//! The socket between two of the processes: a descriptor and bytes, nothing else.

use std::ffi::OsString;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};

use super::arguments::{Isolated, Role};
use super::bridge::Bridge;

/// This process's end of the socket to the stage.
pub(crate) struct Link(UnixStream);

/// The command that starts the stage, with the link to it.
///
/// # Errors
/// What the system says.
pub(crate) fn command(command: &[OsString], proxy: SocketAddr, hide: &[PathBuf]) -> io::Result<(Command, Link)> {
    let (ours, theirs) = UnixStream::pair()?;
    let isolated = Isolated {
        role: Role::Stage,
        channel: theirs.as_raw_fd(),
        parent: i32::try_from(std::process::id()).map_err(io::Error::other)?,
        proxy,
        hide: hide.to_vec(),
        hide_others: others(hide),
        hide_socket: Vec::new(),
        command: command.to_vec(),
    };
    Ok((start(&isolated, theirs), Link(ours)))
}

/// The private folders of other Envoys of this user: who can write one's policy could meet there with its command.
fn others(ours: &[PathBuf]) -> Vec<PathBuf> {
    let Some(parent) = ours.first().and_then(|folder| folder.parent()) else { return Vec::new() };
    let is_ours = |path: &Path| ours.iter().any(|folder| folder.starts_with(path));
    let folders = std::fs::read_dir(parent).into_iter().flatten().flatten();
    folders
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("weir-envoy-"))
        // Anybody may put a link there, and what it leads to would be hidden.
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .filter(|path| !is_ours(path))
        .collect()
}

/// This program again, in another role and with `channel` open.
pub(super) fn start(isolated: &Isolated, channel: UnixStream) -> Command {
    let mut command = Command::new("/proc/self/exe");
    command.arg0("weir").args(isolated.arguments());
    let channel = OwnedFd::from(channel);
    let keep_open = move || Ok(rustix::io::fcntl_setfd(&channel, rustix::io::FdFlags::empty())?);
    // SAFETY: the closure allocates nothing, takes no lock and makes one system call.
    unsafe { command.pre_exec(keep_open) };
    command
}

/// The socket that the process before left open.
pub(super) fn channel(isolated: &Isolated) -> UnixStream {
    // SAFETY: `start` opened this descriptor for this process alone, and nobody else takes it.
    let channel = unsafe { OwnedFd::from_raw_fd(isolated.channel) };
    let _ = rustix::io::fcntl_setfd(&channel, rustix::io::FdFlags::CLOEXEC);
    UnixStream::from(channel)
}

impl Link {
    /// Takes the listener that the stage made, and serves it until what is returned is dropped; none where the stage failed,
    /// which has told why.
    pub(crate) fn bridge(self, proxy: SocketAddr) -> Option<Bridge> {
        let listener = receive(&self.0).ok()??;
        let bridge = Bridge::start(TcpListener::from(listener), proxy).ok()?;
        io::Write::write_all(&mut &self.0, b"!").ok()?;
        Some(bridge)
    }
}

/// Sends a descriptor.
pub(super) fn send(channel: &UnixStream, descriptor: impl AsFd) -> io::Result<()> {
    let descriptors = [descriptor.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
        return Err(io::Error::other("no room for a descriptor"));
    }
    rustix::net::sendmsg(channel, &[IoSlice::new(b"!")], &mut control, SendFlags::empty())?;
    Ok(())
}

/// Receives a descriptor; none when the other side is gone.
fn receive(channel: &UnixStream) -> io::Result<Option<OwnedFd>> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    rustix::net::recvmsg(channel, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    Ok(control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    }))
}
