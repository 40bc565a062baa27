//! The setup: a shell command with access to the whole internet, before the command itself.
//!
//! Nothing of it may live on. It has a proxy of its own, which is stopped before the command's proxy is started, and with it
//! every connection and tunnel. Its processes are ended: this process adopts what the setup leaves behind, whatever session
//! or group it is in, and kills until the kernel says that no child is left. Where one stays, the command is not started.

use std::io;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use serde_json::json;

#[cfg(target_os = "linux")]
pub(crate) use linux::{adopt, sweep};

/// The policy of the setup's proxy: every name, port and method. Private addresses and cloud metadata stay out of reach, but
/// for the addresses that the caller names.
pub(crate) fn policy(allow_upstream: &[IpNet]) -> Vec<u8> {
    let addresses: Vec<String> = allow_upstream
        .iter()
        .filter(|network| network.prefix_len() == network.max_prefix_len())
        .map(|network| network.addr().to_string())
        .collect();
    let policy = json!({
        "name": "setup",
        "internet_access": "on",
        "allowlist": {"preset": "all", "domains": addresses},
        "methods": "all",
        "ports": "any",
        "audit": {"log": "none"},
    });
    policy.to_string().into_bytes()
}

/// How long the processes of the setup may take to end once they are killed.
const LIMIT: Duration = Duration::from_secs(10);

#[cfg(not(target_os = "linux"))]
pub(crate) fn adopt(_: bool) -> io::Result<()> {
    Err(io::Error::other("--setup needs Linux: only there can what it leaves behind be found"))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn sweep() -> io::Result<usize> {
    adopt(false).map(|()| 0)
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::HashMap;
    use std::fs;
    use std::thread;

    use rustix::process::{self, Pid, Signal, WaitOptions};

    use super::{Duration, Instant, LIMIT, io};

    /// Whether this process becomes the parent of every process that it or its children started and that lost its own.
    ///
    /// # Errors
    /// What the system says.
    pub(crate) fn adopt(on: bool) -> io::Result<()> {
        Ok(process::set_child_subreaper(on.then(process::getpid))?)
    }

    /// Kills every process that descends from this one and returns how many there were. Before it, [`adopt`] has to be on,
    /// and nothing else may be running that this process started.
    ///
    /// # Errors
    /// Some are still there after ten seconds.
    pub(crate) fn sweep() -> io::Result<usize> {
        let mut killed = HashMap::new();
        let end = Instant::now() + LIMIT;
        loop {
            // The kernel's own word, not a list that may be old: no child means no descendant, since those are adopted.
            loop {
                match process::wait(WaitOptions::NOHANG) {
                    Err(rustix::io::Errno::CHILD) => return Ok(killed.len()),
                    Ok(Some(_)) => {}
                    Ok(None) => break,
                    Err(error) => return Err(error.into()),
                }
            }
            let alive = descendants()?;
            for (pid, name) in &alive {
                // One that is gone by now, or that this user may not end: the next look tells.
                let _ = process::kill_process(*pid, Signal::KILL);
                killed.insert(*pid, name.clone());
            }
            if Instant::now() >= end {
                let names: Vec<String> = alive.into_iter().map(|(pid, name)| format!("{name} ({pid})")).collect();
                return Err(io::Error::other(format!("still running: {}", names.join(", "))));
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The processes that descend from this one, with their names.
    fn descendants() -> io::Result<Vec<(Pid, String)>> {
        let mut parents: HashMap<i32, (i32, String)> = HashMap::new();
        for entry in fs::read_dir("/proc")?.flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
            if let Ok(stat) = fs::read_to_string(entry.path().join("stat"))
                && let Some((parent, name)) = parse(&stat)
            {
                parents.insert(pid, (parent, name));
            }
        }
        let us = process::getpid().as_raw_nonzero().get();
        let descends = |pid: i32| {
            let mut at = pid;
            // Longer than any chain: numbers are read one after the other and need not fit together.
            for _ in 0..parents.len() {
                match parents.get(&at) {
                    Some((parent, _)) if *parent == us => return true,
                    Some((parent, _)) => at = *parent,
                    None => return false,
                }
            }
            false
        };
        let found = parents.iter().filter(|(pid, _)| descends(**pid));
        Ok(found.filter_map(|(pid, (_, name))| Some((Pid::from_raw(*pid)?, name.clone()))).collect())
    }

    /// The parent and the name in /proc/PID/stat; the name may hold anything, parentheses too.
    fn parse(stat: &str) -> Option<(i32, String)> {
        let (head, rest) = stat.rsplit_once(')')?;
        let name = head.split_once('(')?.1;
        Some((rest.split_whitespace().nth(1)?.parse().ok()?, name.to_owned()))
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_name_may_hold_anything() {
            assert_eq!(parse("12 (a) S 1) S 34 5 6"), Some((34, "a) S 1".to_owned())));
            assert_eq!(parse(""), None);
        }
    }
}
