//! What the start of `weir run` costs: the whole, and where in Envoy it goes.
//!
//! `just bench-run` builds the binary and runs this. Wall time, the least and the median of 20 rounds, or of as many as
//! `WEIR_ROUNDS` says: on a machine that does something else read the least. `WEIR_BINARY` names another `weir`.

#![allow(clippy::expect_used, reason = "a benchmark may fail")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use weir_envoy::{Launch, Line};
use weir_issuer::{CertificateAuthority, Issuer, Options};

const PASSTHROUGH: &str = r#"{"internet_access": "on", "allowlist": {"preset": "common-dependencies"}}"#;
const INSPECTED: &str =
    r#"{"internet_access": "on", "allowlist": {"preset": "common-dependencies"}, "tls": "inspected"}"#;

/// The end of each phase of Envoy's start, by a line of its own log.
const PHASES: [(&str, &str); 4] = [
    ("process starts, until its first line", "initializing epoch"),
    ("configuration is read", "admin address: "),
    ("clusters and listeners are made", "all clusters initialized. initializing init manager"),
    ("plugin is compiled (V8) and given its policy", "starting workers"),
];

fn main() {
    let rounds = std::env::var("WEIR_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(20_usize);
    let folder = tempfile::tempdir().expect("a folder");
    let ca = CertificateAuthority::create(&folder.path().join("ca"), &Options::default()).expect("a CA");
    let socket = folder.path().join("issuer.sock");
    let _issuer = Issuer::start(ca, &socket).expect("an issuer");
    for (name, policy) in [("passthrough", PASSTHROUGH), ("inspected", INSPECTED)] {
        println!("\nEnvoy by itself, {name}; ms, {rounds} rounds\n| phase | least | median |\n|---|---|---|");
        let issuer = (name == "inspected").then_some(socket.as_path());
        let started: Vec<Vec<Duration>> = (0..=rounds).map(|_| start(policy, issuer)).skip(1).collect();
        let names = PHASES.iter().map(|(phase, _)| *phase).chain(["workers start, and the launcher sees it", "end"]);
        for (place, phase) in names.enumerate() {
            row(phase, started.iter().filter_map(|phases| phases.get(place).copied()).collect());
        }
        row("all", started.iter().map(|phases| phases.iter().sum()).collect());
    }
    println!("\nweir run -- true; ms, {rounds} rounds\n| policy | least | median |\n|---|---|---|");
    for (name, policy) in [("passthrough", PASSTHROUGH), ("inspected", INSPECTED)] {
        let file = folder.path().join("policy.json");
        std::fs::write(&file, policy).expect("a policy");
        for isolate in [&[][..], &["--isolate"]] {
            let times = (0..=rounds).map(|_| run(&file, isolate)).skip(1).collect();
            row(format!("{name} {}", isolate.concat()).trim_end(), times);
        }
    }
}

/// Starts and stops one Envoy; returns how long each phase took.
fn start(policy: &str, issuer: Option<&Path>) -> Vec<Duration> {
    let seen: Arc<Mutex<Vec<(usize, Instant)>>> = Arc::default();
    let lines = Arc::clone(&seen);
    let launch = Launch::new(weir_tests::proxy::plugin()).policy(policy).on_line(move |line| {
        let Line::Log(line) = line else { return };
        if let Some(phase) = PHASES.iter().position(|(_, end)| line.message.contains(end)) {
            lines.lock().expect("a lock").push((phase, Instant::now()));
        }
    });
    let launch = issuer.into_iter().fold(launch, Launch::inspect);
    let begun = Instant::now();
    let envoy = launch.start().expect("an Envoy");
    let ready = Instant::now();
    envoy.stop();
    let ended = Instant::now();
    let mut seen = seen.lock().expect("a lock").clone();
    seen.sort_unstable();
    seen.dedup_by_key(|(phase, _)| *phase);
    let ends = seen.into_iter().map(|(_, at)| at).chain([ready, ended]);
    let mut before = begun;
    ends.map(|end| end.saturating_duration_since(std::mem::replace(&mut before, end))).collect()
}

fn run(policy: &Path, isolate: &[&str]) -> Duration {
    let binary = std::env::var_os("WEIR_BINARY").map_or_else(beside, PathBuf::from);
    let mut command = Command::new(binary);
    command.args(["run", "--no-summary", "--policy"]).arg(policy).args(isolate).args(["--", "true"]);
    let begun = Instant::now();
    let status = command.stdin(Stdio::null()).status().expect("weir, which `cargo build --release -p weir` makes");
    assert!(status.success(), "{status}");
    begun.elapsed()
}

/// The binary of the same build.
fn beside() -> PathBuf {
    let this = std::env::current_exe().expect("this program");
    this.parent().and_then(Path::parent).expect("the folder of the build").join("weir")
}

fn row(name: &str, mut times: Vec<Duration>) {
    times.sort();
    let ms = |at: usize| times.get(at).map_or(0.0, |time| time.as_secs_f64() * 1e3);
    println!("| {name} | {:.0} | {:.0} |", ms(0), ms(times.len() / 2));
}
