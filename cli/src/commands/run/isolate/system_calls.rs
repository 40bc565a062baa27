//! The filter of system calls: the few ways out of the namespaces that belong to none of them.
//!
//! Refused, for this process and all that it starts:
//! - sockets but IP, Unix and netlink: `AF_VSOCK` reaches the host of a virtual machine, `AF_BLUETOOTH` a radio, and
//!   neither belongs to a network namespace;
//! - `TIOCSTI` and `TIOCLINUX`, by which a command types into the terminal that it shares, for the shell that comes after;
//! - `io_uring`, whose operations no filter sees; programs do without;
//! - the kernel's keys, which belong to no namespace that was made here: for a key that is not there the kernel starts a
//!   program outside, which looks up a name in DNS if asked to, and the caller's own keys are in its session;
//! - the x32 twins of these calls, whose numbers differ. A 32-bit call ends the process that makes it.

use std::collections::BTreeMap;
use std::io;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Is, SeccompCondition as Condition,
    SeccompFilter, SeccompRule as Rule, TargetArch,
};

/// Set in the number of every x32 call (`__X32_SYSCALL_BIT`). The kernel of another processor knows no call of that number.
const X32: i64 = 0x4000_0000;
/// `ioctl` of x32 has a number of its own.
const X32_IOCTL: i64 = 514;

/// Installs the filter; a processor that it is not known for is an error.
pub(super) fn refuse() -> io::Result<()> {
    let architecture = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
    let refused = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let rules = rules().map_err(io::Error::other)?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, architecture).map_err(io::Error::other)?;
    let program: BpfProgram = filter.try_into().map_err(io::Error::other)?;
    seccompiler::apply_filter(&program).map_err(io::Error::other)
}

/// The rules of each call: any one that fits refuses it, and none at all refuses it always.
fn rules() -> Result<BTreeMap<i64, Vec<Rule>>, seccompiler::BackendError> {
    let argument = |number, is, value: u64| Condition::new(number, Length::Dword, is, value);
    let families = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK];
    let other_family = families.map(|family| argument(0, Is::Ne, u64::from(family.cast_unsigned())));
    let socket = vec![Rule::new(other_family.into_iter().collect::<Result<_, _>>()?)?];
    let typing = [libc::TIOCSTI, libc::TIOCLINUX].map(|command| Rule::new(vec![argument(1, Is::Eq, command)?]));
    let ioctl: Vec<Rule> = typing.into_iter().collect::<Result<_, _>>()?;
    let mut rules = BTreeMap::from([
        (libc::SYS_socket, socket.clone()),
        (libc::SYS_socket | X32, socket),
        (libc::SYS_ioctl, ioctl.clone()),
        (X32_IOCTL | X32, ioctl),
    ]);
    for call in [libc::SYS_io_uring_setup, libc::SYS_request_key, libc::SYS_add_key, libc::SYS_keyctl] {
        rules.extend([(call, Vec::new()), (call | X32, Vec::new())]);
    }
    Ok(rules)
}
