//! Runs one command as a shell would: in a process group of its own, which has the terminal while it runs, with the
//! signals that come to this process passed on, and its end told as a shell tells it.
//!
//! Nothing of the command is read or changed: its three standard streams are the caller's.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::{self, Pid, Signal, WaitOptions, WaitStatus};
use signal_hook::consts::{SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};

use super::job_control::Terminal;
use crate::console::interrupt;

/// What is passed on to the command. Ctrl-Z stops the command itself, see [`Child::stopped`].
const PASSED_ON: [i32; 7] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGUSR1, SIGUSR2];

/// The signals that come to this process, from now on.
pub(crate) struct Signals(signal_hook::iterator::Signals);

impl Signals {
    /// Takes them over. A signal that whoever started this process told it to ignore (`nohup`) stays ignored, for the
    /// command too.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn watch() -> io::Result<Signals> {
        let wanted = PASSED_ON.into_iter().filter(|&signal| !interrupt::is_ignored(signal));
        signal_hook::iterator::Signals::new(wanted.chain([SIGCHLD, SIGCONT])).map(Signals)
    }
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By itself.
    Code(u8),
    /// By this signal.
    Signal(u8),
}

impl Ended {
    /// The code that a shell would tell.
    pub(crate) fn code(self) -> u8 {
        match self {
            Ended::Code(code) => code,
            Ended::Signal(signal) => 128_u8.saturating_add(signal),
        }
    }

    pub(crate) fn of(status: WaitStatus) -> Option<Ended> {
        let byte = |number: i32| u8::try_from(number).unwrap_or(u8::MAX);
        match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Some(Ended::Code(byte(code))),
            (_, Some(signal)) => Some(Ended::Signal(byte(signal))),
            _ => None,
        }
    }
}

/// A command that runs.
pub(crate) struct Child {
    /// Of the process and of its group.
    pid: Pid,
    terminal: Option<Terminal>,
}

impl Child {
    /// Starts `command`.
    ///
    /// # Errors
    /// What the system says of it; see [`code_of`].
    pub(crate) fn start(mut command: Command) -> io::Result<Child> {
        let terminal = Terminal::of_this_process();
        command.process_group(0);
        if let Some(terminal) = &terminal {
            terminal.hand_over_on_start(&mut command);
        }
        end_with_parent(&mut command);
        let started = command.spawn();
        if started.is_err()
            && let Some(terminal) = &terminal
        {
            terminal.take_back();
        }
        let pid = i32::try_from(started?.id()).ok().and_then(Pid::from_raw);
        Ok(Child { pid: pid.ok_or_else(|| io::Error::other("a process without an id"))?, terminal })
    }

    /// Waits until it ends. `changed` is called whenever a child of this process may have changed.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn wait(self, signals: &mut Signals, mut changed: impl FnMut()) -> io::Result<Ended> {
        loop {
            // First the look, then the wait: what comes in between is kept for the wait.
            while let Some((_, status)) = process::waitpid(Some(self.pid), WaitOptions::NOHANG | WaitOptions::UNTRACED)?
            {
                if status.stopped() {
                    self.stopped();
                } else if let Some(ended) = Ended::of(status) {
                    if let Some(terminal) = &self.terminal {
                        terminal.take_back_from(self.pid);
                        if let Ended::Signal(_) = ended {
                            terminal.restore();
                        }
                    }
                    return Ok(ended);
                }
            }
            changed();
            for signal in signals.0.wait() {
                if PASSED_ON.contains(&signal)
                    && let Some(signal) = Signal::from_named_raw(signal)
                {
                    // The group may be gone by now.
                    let _ = process::kill_process_group(self.pid, signal);
                }
            }
        }
    }

    /// The command was stopped, by Ctrl-Z say: so is this process, until somebody wants it to go on.
    fn stopped(&self) {
        let Some(terminal) = &self.terminal else { return };
        // A command that was started in the background is stopped when it reads the terminal, which this process may
        // have been given since.
        if !terminal.give(self.pid) {
            terminal.take_back_from(self.pid);
            let _ = process::kill_process(process::getpid(), Signal::TSTP);
            terminal.give(self.pid);
        }
        let _ = process::kill_process_group(self.pid, Signal::CONT);
    }
}

/// Asks for the command to be ended when this process is killed: nobody is left then to pass anything on.
#[cfg(target_os = "linux")]
fn end_with_parent(command: &mut Command) {
    let set = || Ok(process::set_parent_process_death_signal(Some(Signal::TERM))?);
    // SAFETY: one system call without memory of its own, which is safe between fork and exec.
    unsafe { command.pre_exec(set) };
}

#[cfg(not(target_os = "linux"))]
fn end_with_parent(_command: &mut Command) {}

/// What a shell exits with where a command could not be started.
pub(crate) fn code_of(error: &io::Error) -> u8 {
    if error.kind() == io::ErrorKind::NotFound { 127 } else { 126 }
}
