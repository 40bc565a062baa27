//! What the command sees of the file system: all of it, but for what would be a way out or a way to the policy.
//!
//! Only the command's own mount namespace changes.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, symlink};
use std::path::Path;

use rustix::mount::{self, MountFlags, MountPropagationFlags};

use super::arguments::Isolated;
use super::step::{Refused, Step as _};

/// Below /proc, what changes the machine instead of a process. User 0 may write them without any capability: the program
/// named in `core_pattern`, say, is run outside.
const KERNEL: &[&str] = &["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/acpi"];

/// The devices that a program needs. All others are left out for user 0, who may open disks without any capability.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts"];

/// Hides what must not be seen.
pub(super) fn hide(isolated: &Isolated) -> Result<(), Refused> {
    mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).step("mounts of its own")?;
    for socket in &isolated.hide_socket {
        match mount::mount_bind("/dev/null", socket) {
            // Gone meanwhile, or out of this user's reach anyway.
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::ACCESS | rustix::io::Errno::NOTDIR) => {}
            hidden => hidden.step(&format!("hiding {}", socket.display()))?,
        }
    }
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount::mount("proc", "/proc", "proc", flags, None).step("a /proc of its own")?;
    if rustix::process::geteuid().is_root() {
        for path in KERNEL.iter().map(Path::new).filter(|path| path.exists()) {
            mount::mount_bind(path, path)
                .map_err(io::Error::from)
                .and_then(|()| read_only(path))
                .step(&format!("{} read-only", path.display()))?;
        }
        read_only(Path::new("/sys")).step("/sys read-only")?;
        devices(isolated).step("a /dev of its own")?;
    }
    for folder in &isolated.hide_others {
        match empty(folder, MountFlags::RDONLY) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {}
            hidden => hidden.step(&format!("hiding {}", folder.display()))?,
        }
    }
    for folder in &isolated.hide {
        empty(folder, MountFlags::RDONLY).step(&format!("hiding {}", folder.display()))?;
    }
    Ok(())
}

/// Mounts an empty folder over `path`.
fn empty(path: &Path, more: MountFlags) -> io::Result<()> {
    let flags = MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV | more;
    Ok(mount::mount("weir", path, "tmpfs", flags, Some(c"mode=755,size=64k"))?)
}

/// Makes everything mounted at and below `path` read-only.
fn read_only(path: &Path) -> io::Result<()> {
    let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes())?;
    let attributes = libc::mount_attr { attr_set: libc::MOUNT_ATTR_RDONLY, attr_clr: 0, propagation: 0, userns_fd: 0 };
    // SAFETY: mount_setattr(2) reads a path that ends in NUL and a struct of the size that it is told.
    let set = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// A /dev with little in it, put together over a folder that is hidden afterwards.
fn devices(isolated: &Isolated) -> io::Result<()> {
    let place = isolated.hide.first().ok_or_else(|| io::Error::other("no folder to prepare it in"))?;
    mount::mount("weir", place, "tmpfs", MountFlags::NOSUID | MountFlags::NOEXEC, Some(c"mode=755,size=1m"))?;
    for name in DEVICES {
        let (from, to) = (Path::new("/dev").join(name), place.join(name));
        let Ok(data) = fs::metadata(&from) else { continue };
        if data.is_dir() {
            fs::create_dir(&to)?;
        } else if data.file_type().is_char_device() {
            fs::File::create(&to)?;
        }
        mount::mount_bind_recursive(&from, &to)?;
    }
    for (name, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlink(target, place.join(name))?;
    }
    let shared = place.join("shm");
    fs::create_dir(&shared)?;
    mount::mount("weir", &shared, "tmpfs", MountFlags::NOSUID | MountFlags::NODEV, Some(c"mode=1777"))?;
    Ok(mount::mount_move(place, "/dev")?)
}
