//! The stage: makes the namespaces and the way to the proxy, then waits for what the init has to tell.
//!
//! It is outside the process namespace that it makes, so the command cannot name it, and it ends as the command ends: for
//! whoever started it, it is the command.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::net::TcpListener;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::process::{self, Pid, Signal, WaitOptions};
use rustix::thread::{CapabilitySet, UnshareFlags};

use super::arguments::{Isolated, Role};
use super::link;
use super::step::{CODE, Refused, SIGNAL, Step as _};
use crate::commands::run::child::Ended;
use crate::commands::run::job_control;
use crate::console::exit::Exit;

pub(super) fn run(isolated: Isolated) -> Exit {
    // Whatever is sent to the group is the command's: this process only ends when the command has.
    job_control::block_all();
    match stage(isolated) {
        Ok(Ended::Code(code)) => Exit::Command(code),
        Ok(Ended::Signal(signal)) => {
            end_by(signal);
            Exit::Command(Ended::Signal(signal).code())
        }
        Err(refused) => {
            refused.tell();
            Exit::Failure
        }
    }
}

fn stage(mut isolated: Isolated) -> Result<Ended, Refused> {
    let channel = link::channel(&isolated);
    // As the machine has them: the list is another one in the new network.
    isolated.hide_socket = listening_sockets();
    unshare()?;
    // After the change of user namespace, which takes it back.
    process::set_parent_process_death_signal(Some(Signal::KILL)).step("tying the command to weir")?;
    if process::getppid().map(Pid::as_raw_nonzero).map(i32::from) != Some(isolated.parent) {
        return Err(io::Error::other("weir has ended")).step("tying the command to weir");
    }
    loopback_up().step("the loopback of the new network")?;
    let listener = TcpListener::bind(isolated.proxy).step("a listener in the new network")?;
    link::send(&channel, &listener).step("handing the listener out")?;
    (&channel).read_exact(&mut [0]).step("weir's answer")?;
    drop((listener, channel));

    let (mut ours, theirs) = UnixStream::pair().step("a socket for the init")?;
    isolated.role = Role::Init;
    isolated.channel = theirs.as_raw_fd();
    let init = link::start(&isolated, theirs).spawn().step("starting the init")?;
    // The init waits for this: it has tied itself to this process by the time it reads.
    ours.write_all(b"!").step("starting the init")?;
    let told = follow(&mut ours);
    let pid = i32::try_from(init.id()).ok().and_then(Pid::from_raw);
    let ended = process::waitpid(pid, WaitOptions::empty()).step("waiting for the init")?;
    // An init that was killed told nothing.
    let ended = told.or_else(|| Ended::of(ended?.1));
    ended.ok_or_else(|| Refused { what: "the init".into(), error: io::Error::other("it ended without a word") })
}

/// Waits for how the command ends.
fn follow(init: &mut UnixStream) -> Option<Ended> {
    loop {
        let mut message = [0, 0];
        init.read_exact(&mut message).ok()?;
        match message {
            [CODE, code] => return Some(Ended::Code(code)),
            [SIGNAL, signal] => return Some(Ended::Signal(signal)),
            _ => {
                // As the command: whoever waits for this process has to see it. It is woken with the command.
                let _ = process::kill_process(process::getpid(), Signal::STOP);
                init.write_all(b"!").ok()?;
            }
        }
    }
}

/// Ends this process as the command was ended.
fn end_by(signal: u8) {
    // A core file of this process would tell nothing of the command.
    let _ = process::set_dumpable_behavior(process::DumpableBehavior::NotDumpable);
    if let Some(signal) = Signal::from_named_raw(i32::from(signal)) {
        let _ = process::kill_process(process::getpid(), signal);
        let _ = job_control::unblock();
    }
}

fn unshare() -> Result<(), Refused> {
    let (user, group) = (process::geteuid(), process::getegid());
    let privileged = rustix::thread::capabilities(None)
        .is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN | CapabilitySet::NET_ADMIN));
    let namespaces = UnshareFlags::NEWNET | UnshareFlags::NEWNS | UnshareFlags::NEWPID | UnshareFlags::NEWIPC;
    if privileged {
        return separate(namespaces).step("namespaces for network, mounts and processes");
    }
    separate(UnshareFlags::NEWUSER).step("a user namespace")?;
    // The command stays the user that it is.
    let map = |id: u32| format!("{id} {id} 1");
    fs::write("/proc/self/setgroups", "deny").step("the groups of the user namespace")?;
    fs::write("/proc/self/uid_map", map(user.as_raw())).step("the users of the user namespace")?;
    fs::write("/proc/self/gid_map", map(group.as_raw())).step("the groups of the user namespace")?;
    separate(namespaces).step("namespaces for network, mounts and processes")?;
    keep_over_exec().step("the rights of the user namespace")
}

/// A user that is not 0 loses its rights in the new namespaces when the init is executed, unless they are ambient. The init
/// gives them up.
fn keep_over_exec() -> io::Result<()> {
    let mut sets = rustix::thread::capabilities(None)?;
    sets.inheritable = sets.permitted;
    let permitted = sets.permitted;
    rustix::thread::set_capabilities(None, sets)?;
    for capability in permitted.iter() {
        rustix::thread::configure_capability_in_ambient_set(capability, true)?;
    }
    Ok(())
}

fn separate(namespaces: UnshareFlags) -> io::Result<()> {
    // SAFETY: no flag among them shares or separates descriptors or memory, and this process has one thread.
    Ok(unsafe { rustix::thread::unshare_unsafe(namespaces) }?)
}

/// Switches on the one device of the new network.
fn loopback_up() -> io::Result<()> {
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None)?;
    // SAFETY: zeros are a valid ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = i16::try_from(libc::IFF_UP | libc::IFF_RUNNING).unwrap_or_default();
    // SAFETY: the socket is open, and the request is one that SIOCSIFFLAGS reads.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// The Unix sockets that somebody on this machine listens at: a container engine, a name server, a desktop, an agent for
/// keys. Each would do for the command what it may not do itself.
fn listening_sockets() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for line in fs::read_to_string("/proc/net/unix").unwrap_or_default().lines() {
        // The path is the last field; one in the abstract namespace begins with @, and belongs to the network.
        if let Some(path) = line.find(" /").and_then(|at| line.get(at + 1..)) {
            found.push(PathBuf::from(path));
        }
    }
    // Those of other networks are not in that list.
    for folder in ["/run", "/var/run", "/tmp"] {
        if let Ok(folder) = fs::canonicalize(folder) {
            walk(&folder, 3, &mut found);
        }
    }
    let mut found: Vec<PathBuf> = found.into_iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
    found.retain(|path| fs::symlink_metadata(path).is_ok_and(|data| data.file_type().is_socket()));
    found.sort();
    found.dedup();
    found
}

fn walk(folder: &Path, depth: u32, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_socket() {
            found.push(entry.path());
        } else if kind.is_dir() && depth > 0 {
            walk(&entry.path(), depth - 1, found);
        }
    }
}
