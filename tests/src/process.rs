//! Processor time and memory of a process.

use std::fs;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The processor time of all threads so far, in nanoseconds, unlike `stat`.
pub fn cpu_time(pid: u32) -> Duration {
    threads(pid, |_| true)
}

/// The same for the threads of this process with this name: a part of the product that runs here.
pub fn own_cpu_time(thread: &str) -> Duration {
    threads(std::process::id(), |name| name == thread)
}

fn threads(pid: u32, counts: impl Fn(&str) -> bool) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("a process").flatten();
    let nanoseconds = tasks.filter_map(|task| {
        let name = fs::read_to_string(task.path().join("comm")).ok()?;
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        let nanoseconds = text.split_whitespace().next()?.parse::<u64>().ok()?;
        counts(name.trim_end()).then_some(nanoseconds)
    });
    Duration::from_nanos(nanoseconds.sum())
}

/// The resident memory now (`VmRSS`), in KiB.
pub fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// Raises the limit of open files of this process and its later children to the hard limit: Envoy keeps a connection to
/// each of many origins for a while, and the stand-in has the other ends.
pub fn allow_many_files() {
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: hard, maximum: hard }).expect("a limit below the hard one");
}
