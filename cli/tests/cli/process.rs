//! Processes that the binary started, as the system reports them.

use std::fs;
use std::process::{Child, Command};

/// The processes below one.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let children: String = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok()).collect();
    children.split_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

/// Whether a thread of it still runs: the first may have ended, and wait to be noticed, before the others.
pub(crate) fn is_running(pid: u32) -> bool {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let mut states = tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
    states.any(|stat| !stat.contains(") Z ") && !stat.contains(") X "))
}

pub(crate) fn is_envoy(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "envoy")
}

/// The Envoy that a child started.
pub(crate) fn envoy_of(child: &Child) -> u32 {
    children(child.id()).into_iter().find(|pid| is_envoy(*pid)).expect("an Envoy")
}

pub(crate) fn signal(pid: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}
