//! What a request costs Envoy with the plugin as it was, and as it is: two modules under one configuration.
//!
//! Measured as in `request.rs`, and each Envoy is replaced by a fresh one every few rounds, since where a process has its
//! code and its heap lies by chance and stays as it is. The present module runs twice: how far the two are apart is what
//! this machine cannot tell from nothing. `bench/against` builds the module of another revision and calls this with it.

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

/// So many rounds with one Envoy. No multiple of two or three: who starts first then takes turns as well.
const ROUNDS_EACH: u32 = 13;
/// So many rounds' work before the first that counts: V8 compiles what runs often a second time.
const WARM: u32 = 6;

fn main() {
    // Cargo adds an option of its own.
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
    /// Where a tunnel is asked for, and the status of the answer.
    Tunnel(&'static [u8], u16),
}

/// A module and the Envoy that runs it at the moment.
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
    /// How often in a round.
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
