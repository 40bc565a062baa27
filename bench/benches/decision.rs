//! The cost of one decision, natively: nanoseconds and allocations by policy size, compared with the two usual
//! implementations: a hash set with one lookup for each suffix of the name, and a loop over all entries.
//!
//! `just bench-decision` runs it; `results/decision.txt` holds a run with its command and machine.
#![allow(clippy::expect_used, missing_docs, reason = "a benchmark fails by panicking")]

use std::collections::HashSet;

use divan::counter::ItemsCount;
use divan::{AllocProfiler, Bencher, black_box};
use weir_policy::{Policy, Request, preset};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const SIZES: [usize; 4] = [71, 1_000, 10_000, 100_000];

/// One name of each kind: on the list itself, far below an entry, near an entry but not on the list.
const HOSTS: [(&str, &str); 3] =
    [("hit", "github.com"), ("deep", "objects.eu.cdn.api.github.com"), ("miss", "evil-github.com")];

fn main() {
    divan::main();
}

/// The common-dependencies preset, filled up to `size` with generated names.
fn domains(size: usize) -> Vec<String> {
    let words = ["alpha", "cloud", "data", "package", "mirror", "static", "images", "cdn", "repo", "dist"];
    let suffixes = ["com", "org", "net", "io", "dev", "co.uk", "github.io"];
    let preset = preset::find("common-dependencies").expect("the preset exists");
    let mut domains: Vec<String> = preset.domains.iter().map(|&domain| domain.to_owned()).collect();
    let endings = words.iter().cycle().zip(suffixes.iter().cycle());
    let made_up = endings.enumerate().map(|(number, (word, suffix))| format!("{word}-{number}.{suffix}"));
    domains.extend(made_up.take(size - domains.len()));
    domains
}

fn host(kind: &str) -> &'static str {
    HOSTS.iter().find(|(name, _)| *name == kind).expect("a kind of HOSTS").1
}

/// The whole decision: authority, denylist, allowlist, port, method.
#[divan::bench(args = ["hit", "deep", "miss"], consts = SIZES, sample_count = 200, sample_size = 2000)]
fn decision<const SIZE: usize>(bencher: Bencher, kind: &str) {
    let list: Vec<String> = domains(SIZE).iter().map(|domain| format!("\"{domain}\"")).collect();
    let document = format!(r#"{{"internet_access": "on", "allowlist": {{"domains": [{}]}}}}"#, list.join(","));
    let policy = Policy::from_json(document.as_bytes()).expect("a valid policy");
    let request = Request { method: b"GET", authority: host(kind).as_bytes(), ..Request::default() };
    bencher
        .counter(ItemsCount::new(1_usize))
        .bench_local(|| black_box(&policy).decide(black_box(&request)).is_allowed());
}

/// A hash set lookup for the name and each of its parents. It assumes a valid host in lower case, which the decision
/// has to check.
#[divan::bench(args = ["hit", "deep", "miss"], consts = SIZES, sample_count = 200, sample_size = 2000)]
fn hash_set_of_suffixes<const SIZE: usize>(bencher: Bencher, kind: &str) {
    let set: HashSet<String> = domains(SIZE).into_iter().collect();
    let host = host(kind);
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        let mut rest = black_box(host);
        loop {
            if set.contains(rest) {
                return true;
            }
            match rest.split_once('.') {
                Some((_, parent)) => rest = parent,
                None => return false,
            }
        }
    });
}

/// A loop over the entries with an exact and a suffix match for each. It has the same advantage.
#[divan::bench(args = ["hit", "deep", "miss"], consts = SIZES, sample_count = 200, sample_size = 2000)]
fn loop_over_entries<const SIZE: usize>(bencher: Bencher, kind: &str) {
    let list = domains(SIZE);
    let host = host(kind);
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        let host = black_box(host);
        list.iter().any(|domain| {
            host.strip_suffix(domain.as_str()).is_some_and(|above| above.is_empty() || above.ends_with('.'))
        })
    });
}

/// The cost of parsing a policy of this size and compiling its automaton.
#[divan::bench(args = SIZES, sample_count = 5, sample_size = 1)]
fn compile(bencher: Bencher, size: usize) {
    let list: Vec<String> = domains(size).iter().map(|domain| format!("\"{domain}\"")).collect();
    let document = format!(r#"{{"internet_access": "on", "allowlist": {{"domains": [{}]}}}}"#, list.join(","));
    bencher.bench_local(|| Policy::from_json(black_box(document.as_bytes())).is_ok());
}
