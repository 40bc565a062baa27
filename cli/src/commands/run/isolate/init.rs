//! The init: process 1 of the command's process namespace. It takes away what the command must not have, starts it, and
//! ends when it does; the kernel then ends whatever is left in the namespace.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use rustix::process::{self, Pid, Signal, WaitOptions};

use super::arguments::Isolated;
use super::step::{CODE, Refused, SIGNAL, STOPPED, Step as _};
use super::{link, mounts, privileges};
use crate::commands::run::child::{self, Ended};
use crate::commands::run::job_control;
use crate::console::exit::Exit;
use crate::console::terminal::mistake;

pub(super) fn run(isolated: &Isolated) -> Exit {
    let mut stage = link::channel(isolated);
    let code = match confine(isolated, &mut stage) {
        Ok(()) => start(isolated, &mut stage),
        Err(refused) => {
            refused.tell();
            1
        }
    };
    let _ = stage.write_all(&[CODE, code]);
    Exit::Command(code)
}

fn confine(isolated: &Isolated, stage: &mut UnixStream) -> Result<(), Refused> {
    process::set_parent_process_death_signal(Some(Signal::KILL)).step("tying the command to weir")?;
    // A stage that ended before that sends nothing.
    stage.read_exact(&mut [0]).step("tying the command to weir")?;
    mounts::hide(isolated)?;
    privileges::give_up()?;
    // The command is the same user, and has no business in this process.
    process::set_dumpable_behavior(process::DumpableBehavior::NotDumpable).step("hiding the init")
}

/// Starts the command and waits until it has ended; returns the code of one that could not be started.
fn start(isolated: &Isolated, stage: &mut UnixStream) -> u8 {
    let Some((name, arguments)) = isolated.command.split_first() else { return 127 };
    let mut command = Command::new(name);
    command.args(arguments);
    job_control::unblock_all(&mut command);
    // SAFETY: one system call, without memory of its own. What the caller had open beyond the standard streams may lead out.
    unsafe { command.pre_exec(close_from_three) };
    let started = match command.spawn() {
        Ok(started) => started,
        Err(error) => {
            mistake(format_args!("cannot run {}: {error}", name.display()));
            return child::code_of(&error);
        }
    };
    let command = i32::try_from(started.id()).ok().and_then(Pid::from_raw);
    while let Ok(Some((pid, status))) = process::wait(WaitOptions::UNTRACED) {
        // Others are orphans that came to process 1, and are gone now.
        if Some(pid) != command {
            continue;
        }
        if status.stopped() {
            let mut go_on = [0];
            if stage.write_all(&[STOPPED, 0]).and_then(|()| stage.read_exact(&mut go_on)).is_err() {
                return 1;
            }
            let _ = process::kill_process(pid, Signal::CONT);
            continue;
        }
        match Ended::of(status) {
            Some(Ended::Code(code)) => return code,
            Some(Ended::Signal(signal)) => {
                let _ = stage.write_all(&[SIGNAL, signal]);
                return Ended::Signal(signal).code();
            }
            None => {}
        }
    }
    1
}

fn close_from_three() -> io::Result<()> {
    // On exec, since the descriptor that tells of a failed exec is among them.
    // SAFETY: the call takes integers, and nothing in this process uses the descriptors after exec.
    let closed = unsafe { libc::close_range(3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC.cast_signed()) };
    if closed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
