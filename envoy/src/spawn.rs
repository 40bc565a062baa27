//! Starts a child that does not outlive this process.
//!
//! The kernel can signal a child when its parent ends (`PR_SET_PDEATHSIG`), but it means the parent *thread*. A test's
//! thread ends long before a proxy that several tests share, so one thread that lives as long as the process starts
//! every child.

use std::io;
use std::process::{Child, Command};
use std::sync::{LazyLock, Mutex, PoisonError, mpsc};
use std::thread;

type Order = (Command, mpsc::Sender<io::Result<Child>>);

static STARTER: LazyLock<Mutex<mpsc::Sender<Order>>> = LazyLock::new(|| {
    let (orders, received) = mpsc::channel::<Order>();
    thread::spawn(move || {
        for (mut command, answer) in received {
            let _ = answer.send(command.spawn());
        }
    });
    Mutex::new(orders)
});

/// Starts `command`. On Linux the kernel kills the child when this process ends, even by SIGKILL: the child has nothing
/// to clean up.
pub(crate) fn spawn(mut command: Command) -> io::Result<Child> {
    end_with_parent(&mut command);
    let (answer, answered) = mpsc::channel();
    let gone = || io::Error::other("the thread that starts processes is gone");
    STARTER.lock().unwrap_or_else(PoisonError::into_inner).send((command, answer)).map_err(|_| gone())?;
    answered.recv().map_err(|_| gone())?
}

#[cfg(target_os = "linux")]
fn end_with_parent(command: &mut Command) {
    use std::os::unix::process::CommandExt;

    let parent = std::process::id();
    let set = move || {
        // SAFETY: prctl and getppid take and return integers and are safe to call between fork and exec.
        let (set, parent_now) = unsafe { (libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL), libc::getppid()) };
        if set != 0 {
            return Err(io::Error::last_os_error());
        }
        // The parent may have ended before the signal was requested.
        if u32::try_from(parent_now) != Ok(parent) {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe));
        }
        Ok(())
    };
    // Ctrl-C in a terminal signals the whole process group, but this process decides when Envoy ends.
    command.process_group(0);
    // SAFETY: the closure allocates nothing, takes no lock and calls only what is safe between fork and exec.
    unsafe { command.pre_exec(set) };
}

#[cfg(not(target_os = "linux"))]
fn end_with_parent(_command: &mut Command) {}

/// Asks the child to end.
pub(crate) fn terminate(child: &Child) {
    if let Ok(pid) = libc::pid_t::try_from(child.id()) {
        // SAFETY: kill takes integers. The child has not been waited for, so the id is still its own.
        unsafe { libc::kill(pid, libc::SIGTERM) };
    }
}
