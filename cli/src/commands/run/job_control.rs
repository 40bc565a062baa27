//! The terminal, handed to the command while it runs and taken back when it stops or ends.
//!
//! It is only ever given away while it is this process's own: a run in the background leaves it alone.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;
use std::ptr;

use rustix::process::{self, Pid};
use rustix::termios::{self, OptionalActions, Termios};

/// The terminal that this process was started from.
pub(super) struct Terminal {
    tty: File,
    /// How it was set when this began.
    settings: Option<Termios>,
    /// Whether this process had it when this began.
    was_ours: bool,
}

impl Terminal {
    /// None where there is no terminal.
    pub(super) fn of_this_process() -> Option<Terminal> {
        let tty = File::options().read(true).write(true).open("/dev/tty").ok()?;
        termios::tcgetpgrp(&tty).ok()?;
        let settings = termios::tcgetattr(&tty).ok();
        let was_ours = termios::tcgetpgrp(&tty).is_ok_and(|group| group == process::getpgrp());
        Some(Terminal { tty, settings, was_ours })
    }

    /// Whether this process has it.
    fn is_ours(&self) -> bool {
        termios::tcgetpgrp(&self.tty).is_ok_and(|group| group == process::getpgrp())
    }

    /// The command takes it before it begins, where it is this process's to give.
    pub(super) fn hand_over_on_start(&self, command: &mut Command) {
        if !self.was_ours {
            return;
        }
        let tty = self.tty.as_raw_fd();
        let take = move || {
            // SAFETY: the parent keeps the descriptor open until after the fork, and nobody closes this copy before exec.
            let tty = unsafe { BorrowedFd::borrow_raw(tty) };
            Ok(set_group(tty, process::getpid())?)
        };
        // SAFETY: the closure allocates nothing, takes no lock and makes only system calls.
        unsafe { command.pre_exec(take) };
    }

    /// Gives it to `group`, where it is this process's to give.
    pub(super) fn give(&self, group: Pid) -> bool {
        self.is_ours() && set_group(self.tty.as_fd(), group).is_ok()
    }

    /// Takes it back from a command that could not be started.
    pub(super) fn take_back(&self) {
        if self.was_ours {
            let _ = set_group(self.tty.as_fd(), process::getpgrp());
        }
    }

    /// Takes it back from the command's group; from nobody else, since it may be somebody else's by now.
    pub(super) fn take_back_from(&self, group: Pid) {
        if termios::tcgetpgrp(&self.tty)
            .is_ok_and(|holder| holder == group || process::test_kill_process_group(holder).is_err())
        {
            let _ = set_group(self.tty.as_fd(), process::getpgrp());
        }
    }

    /// Sets it as it was: a command that was killed may have left it without echo.
    pub(super) fn restore(&self) {
        if self.is_ours()
            && let Some(settings) = &self.settings
        {
            let _ = blocking_ttou(|| termios::tcsetattr(&self.tty, OptionalActions::Drain, settings));
        }
    }
}

fn set_group(tty: BorrowedFd<'_>, group: Pid) -> rustix::io::Result<()> {
    blocking_ttou(|| termios::tcsetpgrp(tty, group))
}

/// Whoever changes a terminal that is not its own is stopped by SIGTTOU, unless it blocks that.
fn blocking_ttou<T>(change: impl FnOnce() -> T) -> T {
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    let mut only = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both sets are written before they are read; the mask of this thread alone changes.
    unsafe {
        libc::sigemptyset(only.as_mut_ptr());
        libc::sigaddset(only.as_mut_ptr(), libc::SIGTTOU);
        libc::pthread_sigmask(libc::SIG_BLOCK, only.as_ptr(), before.as_mut_ptr());
    }
    let changed = change();
    // SAFETY: `before` was written above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    changed
}

/// The command begins with no signal blocked: it would inherit the mask.
pub(crate) fn unblock_all(command: &mut Command) {
    // SAFETY: `unblock` allocates nothing, takes no lock and makes only system calls.
    unsafe { command.pre_exec(unblock) };
}

/// Blocks no signal any more.
pub(crate) fn unblock() -> io::Result<()> {
    let mut none = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is written before it is read, and both calls are safe between fork and exec.
    let failed = unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), ptr::null_mut())
    };
    if failed == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(failed)) }
}

/// Blocks every signal that can be blocked, for the rest of this process and for what it starts.
pub(crate) fn block_all() {
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: the set is written before it is read.
    unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), ptr::null_mut());
    }
}
