//! The socket between two of the processes: a descriptor and bytes, nothing else.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use weir_envoy::Folder;

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
    let is_ours = |path: &Path| ours.iter().any(|folder| folder.starts_with(path));
    let bases = ours.first().and_then(|folder| folder.parent()).map(Path::to_owned).into_iter().chain(other_bases());
    let bases: BTreeSet<PathBuf> = bases.filter_map(|base| base.canonicalize().ok()).collect();
    let entries = bases.into_iter().filter_map(|base| std::fs::read_dir(base).ok()).flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(Folder::PREFIX))
        // Anybody may put a link there, and what it leads to would be hidden.
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .filter(|path| !is_ours(path))
        .collect()
}

/// Where other Envoys of this user have their private folders: each was started with its own TMPDIR, and is told of its
/// folder in its command line.
fn other_bases() -> Vec<PathBuf> {
    let user = rustix::process::geteuid().as_raw();
    let mut bases = vec![std::env::temp_dir(), PathBuf::from("/tmp")];
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        if !process.metadata().is_ok_and(|data| data.uid() == user) {
            continue;
        }
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        for argument in line.split(|&byte| byte == 0) {
            let folder = Path::new(OsStr::from_bytes(argument)).parent();
            let is_private = |folder: &&Path| {
                folder.is_absolute()
                    && folder.file_name().is_some_and(|it| it.to_string_lossy().starts_with(Folder::PREFIX))
            };
            bases.extend(folder.filter(is_private).and_then(Path::parent).map(Path::to_owned));
        }
    }
    bases
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Stdio;

    /// The folder of temporary files of one run need not be that of another.
    #[test]
    fn an_envoy_with_another_tmpdir_is_found() {
        let base = tempfile::tempdir().unwrap();
        let base = base.path().canonicalize().unwrap();
        let [envoy, secret] = ["weir-envoy-one", "weir-envoy-two"].map(|name| base.join(name));
        std::fs::create_dir(&envoy).unwrap();
        std::fs::create_dir(&secret).unwrap();
        let mut stand_in = Command::new("sh");
        stand_in.args(["-c", "echo; read line"]).arg(envoy.join("envoy.json"));
        let mut stand_in = stand_in.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        // Its command line can be read a little after it was started.
        io::Read::read_exact(stand_in.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        let found = others(&[]);
        let without_ours = others(std::slice::from_ref(&secret));
        drop(stand_in.stdin.take());
        stand_in.wait().unwrap();
        assert!(found.contains(&envoy) && found.contains(&secret), "{found:?}");
        assert!(without_ours.contains(&envoy) && !without_ours.contains(&secret), "{without_ours:?}");
    }
}
