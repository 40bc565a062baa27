//! Envoy's cost of a request: processor time, with the plugin and without, through the shipped configuration.
//!
//! The machine is shared and noisy, so the variants take turns in many short rounds, each in another order, and the
//! result is the difference within a round. Envoy's own time comes from `/proc/PID/task/*/schedstat`, which excludes
//! the client and the stand-in.

use std::time::Duration;

use weir_bench::requests::{ALLOWED, PRESET, READ_ONLY, REFUSED};
use weir_bench::rounds::{Variant, compare};
use weir_envoy::{Launch, Running};
use weir_internet::StandIn;
use weir_tests::http1::Connection;
use weir_tests::process::cpu_time;
use weir_tests::proxy::{launch, ok};

const REQUESTS: u32 = 500;

fn main() {
    let internet = ok(StandIn::start());
    let start = |launch: Launch| ok(launch.concurrency(1).stand_in(internet.address()).start());
    let bare = start(Launch::without_plugin());
    let preset = start(launch().policy(PRESET));
    let read_only = start(launch().policy(READ_ONLY));
    compare(
        "Processor time of Envoy for one request over a kept HTTP/1.1 connection, microseconds",
        &mut [
            requests("no plugin", &bare, ALLOWED, 200),
            requests("preset, all methods", &preset, ALLOWED, 200),
            requests("preset, read-only", &read_only, ALLOWED, 200),
            requests("refused", &read_only, REFUSED, 403),
        ],
    );
}

fn requests<'e>(name: &'static str, envoy: &'e Running, request: &'static [u8], status: u16) -> Variant<'e> {
    let mut connection = Connection::open(envoy.address());
    Variant::new(name, move || -> Duration {
        let before = cpu_time(envoy.pid());
        for _ in 0..REQUESTS {
            let outcome = connection.exchange(b"GET", request);
            assert_eq!(outcome.status(), Some(status), "{outcome}");
        }
        cpu_time(envoy.pid()).saturating_sub(before) / REQUESTS
    })
}
