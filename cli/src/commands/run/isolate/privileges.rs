//! What the init gives up for good before it starts the command, and the command with it.
//!
//! Root stays user 0 with the rights over files that installing packages needs; nothing that reaches another namespace, a
//! device or the kernel is left. Another user keeps nothing. A filter of system calls refuses the few ways out that belong to
//! no namespace.

use std::io;

use rustix::thread::{self, CapabilitySet, CapabilitySets};

use super::stage::{Refused, Step as _};

/// What root keeps: `chown`, other users' files, `setuid` and `kill`, as a package manager needs them.
const KEPT: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID);

/// One more than the last capability that any kernel has.
const CAPABILITIES: u32 = 64;

pub(super) fn give_up() -> Result<(), Refused> {
    let root = rustix::process::geteuid().is_root();
    let kept = if root { KEPT } else { CapabilitySet::empty() };
    for number in 0..CAPABILITIES {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        // The kernel says EINVAL to a number that it has no capability for.
        if !kept.contains(capability) && thread::capability_is_in_bounding_set(capability).unwrap_or(false) {
            thread::remove_capability_from_bounding_set(capability).step("giving up capabilities")?;
        }
    }
    thread::clear_ambient_capability_set().step("giving up capabilities")?;
    let had = thread::capabilities(None).step("giving up capabilities")?.permitted;
    let kept = kept & had;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    thread::set_capabilities(None, sets).step("giving up capabilities")?;
    thread::set_no_new_privs(true).step("no new privileges")?;
    refuse_system_calls().step("a filter of system calls")
}

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xC000_00B7;
/// Another one: no filter is installed, and the command is not started.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ARCHITECTURE: u32 = 0;

/// Offsets into `struct seccomp_data`; of an argument its lower half, on these little-endian machines.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGUMENT_0: u32 = 16;
const ARGUMENT_1: u32 = 24;

const LOAD: u16 = 0x20;
const EQUAL: u16 = 0x15;
const AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;
const ALLOW: u32 = 0x7FFF_0000;
const fn refuse(errno: i32) -> u32 {
    0x0005_0000 | errno.cast_unsigned()
}

/// Refuses, for this process and all that it starts:
/// - sockets but IP, Unix and netlink: `AF_VSOCK` reaches the host of a virtual machine, `AF_BLUETOOTH` a radio, and neither
///   belongs to a network namespace;
/// - `TIOCSTI` and `TIOCLINUX`, by which a command types into the terminal that it shares, for the shell that comes after it;
/// - `io_uring`, whose operations no filter sees; programs do without;
/// - the kernel's keys, which belong to no namespace that was made here: for a key that is not there the kernel starts a
///   program outside, which looks up a name in DNS if asked to, and the caller's own keys are in its session;
/// - the 32-bit and x32 calls, whose numbers differ.
fn refuse_system_calls() -> io::Result<()> {
    if ARCHITECTURE == 0 {
        return Err(io::Error::other("not known for this processor"));
    }
    let number = |call: libc::c_long| u32::try_from(call).map_err(io::Error::other);
    let command = |command: libc::Ioctl| u32::try_from(command).map_err(io::Error::other);
    let constant = |value: i32| value.cast_unsigned();
    let step = |code, jump_true, jump_false, value| libc::sock_filter { code, jt: jump_true, jf: jump_false, k: value };
    let mut program = [
        step(LOAD, 0, 0, ARCH),
        step(EQUAL, 1, 0, ARCHITECTURE),
        step(RETURN, 0, 0, refuse(libc::ENOSYS)),
        step(LOAD, 0, 0, NUMBER),
        step(AT_LEAST, 0, 1, 0x4000_0000),
        step(RETURN, 0, 0, refuse(libc::ENOSYS)),
        step(EQUAL, 6, 0, number(libc::SYS_socket)?),
        step(EQUAL, 11, 0, number(libc::SYS_ioctl)?),
        step(EQUAL, 14, 0, number(libc::SYS_io_uring_setup)?),
        step(EQUAL, 13, 0, number(libc::SYS_request_key)?),
        step(EQUAL, 12, 0, number(libc::SYS_add_key)?),
        step(EQUAL, 11, 0, number(libc::SYS_keyctl)?),
        step(RETURN, 0, 0, ALLOW),
        // socket
        step(LOAD, 0, 0, ARGUMENT_0),
        step(EQUAL, 3, 0, constant(libc::AF_UNIX)),
        step(EQUAL, 2, 0, constant(libc::AF_INET)),
        step(EQUAL, 1, 0, constant(libc::AF_INET6)),
        step(EQUAL, 0, 5, constant(libc::AF_NETLINK)),
        step(RETURN, 0, 0, ALLOW),
        // ioctl
        step(LOAD, 0, 0, ARGUMENT_1),
        step(EQUAL, 2, 0, command(libc::TIOCSTI)?),
        step(EQUAL, 1, 0, command(libc::TIOCLINUX)?),
        step(RETURN, 0, 0, ALLOW),
        step(RETURN, 0, 0, refuse(libc::EPERM)),
    ];
    let program =
        libc::sock_fprog { len: u16::try_from(program.len()).map_err(io::Error::other)?, filter: program.as_mut_ptr() };
    // SAFETY: the kernel copies the program, which lives until the call returns.
    let set = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
