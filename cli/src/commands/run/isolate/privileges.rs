//! What the init gives up for good before it starts the command, and the command with it.
//!
//! Root stays user 0 with the rights over files that installing packages needs; nothing that reaches another namespace, a
//! device or the kernel is left. Another user keeps nothing. A filter of system calls refuses the few ways out that belong to
//! no namespace.

use rustix::thread::{self, CapabilitySet, CapabilitySets};

use super::step::{Refused, Step as _};
use super::system_calls;

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
    system_calls::refuse().step("a filter of system calls")
}
