//! Envoy's cost of a request with the plugin of another revision and with the present one: two modules under one
//! configuration.
//!
//! It measures as `request.rs` does, and replaces each Envoy every few rounds, because the memory layout of a process
//! is random and stays fixed. The present module runs twice: the difference between the two is the noise of this
//! machine. `bench/against` builds the module of another revision and calls this with it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use weir_bench::requests::{ALLOWED, PRESET, READ_ONLY, REFUSED};
use weir_bench::rounds::{Variant, compare};
use weir_envoy::{Launch, Plugin, Running};
use weir_internet::StandIn;
use weir_tests::connect;
use weir_tests::http1::Connection;
use weir_tests::process::cpu_time;
use weir_tests::proxy::{ok, plugin_file};

/// The number of rounds with one Envoy. Not a multiple of two or three, so that the first variant alternates too.
const ROUNDS_EACH: u32 = 13;
/// The number of warm-up rounds: V8 recompiles what runs often.
const WARM: u32 = 6;

fn main() {
    // Cargo adds its own option.
    let before = std::env::args_os().skip(1).find(|argument| argument.to_str() != Some("--bench"));
    let Some(before) = before.map(PathBuf::from) else {
        eprintln!("usage: cargo bench -p weir-bench --bench against -- OTHER.wasm (or: bench/against REVISION)");
        std::process::exit(2);
    };
    let now = plugin_file();
    let internet = ok(StandIn::start());
    let works = [
        ("a GET that is allowed, over a kept HTTP/1.1 connection", READ_ONLY, Work::Kept(ALLOWED, 200)),
        ("a GET that is refused, over a kept HTTP/1.1 connection", READ_ONLY, Work::Kept(REFUSED, 403)),
        ("a connection with a CONNECT that is allowed, closed again", PRESET, Work::Tunnel(b"pypi.org:443", 200)),
        ("a connection with a CONNECT that is refused", PRESET, Work::Tunnel(b"evil.example:443", 403)),
    ];
    for (title, policy, work) in works {
        let side = |module: &Path| Side {
            module: module.to_owned(),
            policy,
            work,
            internet: internet.address(),
            rounds: 0,
            live: None,
        };
        compare(
            &format!("Processor time of Envoy for {title}, microseconds"),
            &mut [side(&before).variant("before"), side(&now).variant("now"), side(&now).variant("now, once more")],
        );
        println!();
    }
}

#[derive(Clone, Copy)]
enum Work {
    /// A request, and the status of its answer.
    Kept(&'static [u8], u16),
    /// The authority of a CONNECT, and the status of its answer.
    Tunnel(&'static [u8], u16),
}

/// A module and the Envoy that currently runs it.
struct Side {
    module: PathBuf,
    policy: &'static [u8],
    work: Work,
    internet: SocketAddr,
    rounds: u32,
    live: Option<(Running, Connection)>,
}

impl Side {
    fn variant(mut self, name: &'static str) -> Variant<'static> {
        Variant::new(name, move || self.round())
    }

    fn round(&mut self) -> Duration {
        if self.rounds.is_multiple_of(ROUNDS_EACH) {
            self.live = None;
        }
        self.rounds += 1;
        let (work, count) = (self.work, self.work.count());
        let (envoy, connection) = self.live.get_or_insert_with(|| {
            let launch =
                Launch::new(ok(Plugin::at(&self.module))).policy(self.policy).concurrency(1).stand_in(self.internet);
            let envoy = ok(launch.start());
            let mut connection = Connection::open(envoy.address());
            for _ in 0..WARM * count {
                work.once(&envoy, &mut connection);
            }
            (envoy, connection)
        });
        let before = cpu_time(envoy.pid());
        for _ in 0..count {
            work.once(envoy, connection);
        }
        cpu_time(envoy.pid()).saturating_sub(before) / count
    }
}

impl Work {
    /// The number of requests in a round.
    fn count(self) -> u32 {
        match self {
            Work::Kept(..) => 250,
            Work::Tunnel(..) => 60,
        }
    }

    fn once(self, envoy: &Running, connection: &mut Connection) {
        let (outcome, expected) = match self {
            Work::Kept(request, status) => (connection.exchange(b"GET", request), status),
            Work::Tunnel(authority, status) => {
                (connect::open(&mut Connection::open(envoy.address()), authority, b""), status)
            }
        };
        assert_eq!(outcome.status(), Some(expected), "{outcome}");
    }
}
