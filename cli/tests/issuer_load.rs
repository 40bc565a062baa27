//! The issuer as its own process behind the whole inspecting proxy: many new names, and a load that continues while the
//! issuer is killed and restarted.
//!
//! The tests print time and memory (`cargo test -p weir --test issuer_load -- --nocapture`) and assert no duration.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use weir_tests::cases::parallel_by;
use weir_tests::process::{allow_many_files, resident};
use weir_tests::{Answer, Inspecting, Outcome, http1, tls};

const POLICY: &[u8] = br#"{"internet_access": "on", "tls": "inspected", "methods": "read-only",
    "allowlist": {"domains": ["*.example.com"]}}"#;
const NAMES: usize = 1000;
const CLIENTS: usize = 8;
/// The phases of the load: the issuer is up, down, and back.
const PHASES: usize = 3;

#[test]
fn many_names_and_an_issuer_that_dies() {
    allow_many_files();

    let mut issuer = None;
    let proxy = Inspecting::issued_by(
        |ca, socket| issuer = Some(Issuer::start(ca, socket)),
        |launch, internet| launch.policy(POLICY).stand_in(internet),
    );
    let issuer = issuer.unwrap();
    let names: Vec<String> = (0..NAMES).map(|number| format!("n{number}.example.com")).collect();
    get(&proxy, "warm.example.com").unwrap();

    a_thousand_names(&proxy, &issuer, &names);
    a_load_without_the_issuer(&proxy, issuer, &names);
}

fn a_thousand_names(proxy: &Inspecting, issuer: &Issuer, names: &[String]) {
    let before = (resident(issuer.pid()), resident(proxy.envoy.pid()));
    let began = Instant::now();
    let failed: Vec<String> =
        parallel_by(CLIENTS, names, |name| get(proxy, name).err()).into_iter().flatten().collect();
    let took = began.elapsed();
    let after = (resident(issuer.pid()), resident(proxy.envoy.pid()));
    println!("{NAMES} new names in {took:.1?}, by {CLIENTS} clients at once");
    println!("issuer: {} KiB resident before, {} after; {}", before.0, after.0, issuer.stats());
    println!("Envoy:  {} KiB resident before, {} after", before.1, after.1);
    assert!(failed.is_empty(), "{} failed: {failed:#?}", failed.len());
    let mut reached: Vec<String> =
        proxy.internet.take_received().into_iter().filter_map(|request| request.arrival.server_name).collect();
    reached.sort();
    reached.dedup();
    assert_eq!(reached.len(), NAMES + 1, "each origin got its own");
}

fn a_load_without_the_issuer(proxy: &Inspecting, issuer: Issuer, names: &[String]) {
    let load = Load { failed: Mutex::default(), phase: AtomicUsize::new(0), answered: Default::default() };
    thread::scope(|scope| {
        let stop = load.stop_at_end();
        for client in 0..2 {
            let load = &load;
            scope.spawn(move || load.go_on(proxy, names, client));
        }
        thread::sleep(Duration::from_secs(1));

        let (ca, socket) = (proxy.ca_folder(), proxy.socket());
        drop(issuer);
        load.phase.store(1, Ordering::SeqCst);
        let began = Instant::now();
        let new: Vec<String> = (0..4).map(|number| format!("unlucky{number}.example.com")).collect();
        let outcomes = parallel_by(new.len(), &new, |name| attempt(proxy, name));
        println!("without the issuer: a new name fails after {:.1?}", began.elapsed());
        // Silence would mean that the client timed out, after twice the configuration's limit for a handshake.
        assert!(outcomes.iter().all(|outcome| *outcome == Outcome::Closed), "{outcomes:?}");

        let issuer = Issuer::start(&ca, &socket);
        load.phase.store(2, Ordering::SeqCst);
        let began = Instant::now();
        for name in new.iter().map(String::as_str).chain(["never-asked-for.example.com"]) {
            until_it_works(proxy, name);
        }
        println!("the issuer is back: new names, and those that failed, work after {:.1?}", began.elapsed());
        thread::sleep(Duration::from_secs(1));
        drop(stop);
        println!("the issuer that was started again: {} KiB resident; {}", resident(issuer.pid()), issuer.stats());
        println!("Envoy: {} KiB resident at the end", resident(proxy.envoy.pid()));
    });
    let answered = load.answered.map(AtomicUsize::into_inner);
    let failed = load.failed.into_inner().unwrap();
    println!(
        "requests on known names, each over a new connection: {answered:?} with, without and with the issuer again"
    );
    assert!(failed.is_empty(), "{} failed: {failed:#?}", failed.len());
    assert!(answered.iter().all(|&count| count > 0), "there was no load: {answered:?}");
}

/// What clients of known names experience while the issuer stops and restarts.
struct Load {
    failed: Mutex<Vec<String>>,
    phase: AtomicUsize,
    answered: [AtomicUsize; PHASES],
}

impl Load {
    /// Requests one name after another until the last phase ends.
    fn go_on(&self, proxy: &Inspecting, names: &[String], from: usize) {
        for name in names.iter().cycle().skip(from * names.len() / 2) {
            let Some(answered) = self.answered.get(self.phase.load(Ordering::SeqCst)) else { return };
            match get(proxy, name) {
                Ok(()) => answered.fetch_add(1, Ordering::SeqCst),
                Err(error) => {
                    self.failed.lock().unwrap().push(error);
                    0
                }
            };
        }
    }

    /// Ends the load when dropped, even by a failing test: its thread scope would otherwise wait forever.
    fn stop_at_end(&self) -> impl Drop {
        struct Stop<'l>(&'l AtomicUsize);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(PHASES, Ordering::SeqCst);
            }
        }
        Stop(&self.phase)
    }
}

/// A request over a new connection, tunnel and handshake, by a client that trusts only the issuer's CA.
fn attempt(proxy: &Inspecting, name: &str) -> Outcome {
    let tunnel = proxy.tunnel(&format!("{name}:443"));
    let mut connection = http1::Connection::over(tls::trusting(tunnel, name, "http/1.1", &proxy.ca_pem));
    connection.exchange(b"GET", format!("GET / HTTP/1.1\r\nhost: {name}\r\n\r\n").as_bytes())
}

/// The same; the origin of that name must answer.
fn get(proxy: &Inspecting, name: &str) -> Result<(), String> {
    let outcome = attempt(proxy, name);
    let answered = outcome.answer().filter(|answer| answer.status == 200).map(Answer::text);
    if answered == Some(format!("stand-in for {name}\n")) { Ok(()) } else { Err(format!("{name}: {outcome}")) }
}

fn until_it_works(proxy: &Inspecting, name: &str) {
    let mut last = Ok(());
    for _ in 0..20 {
        last = get(proxy, name);
        if last.is_ok() {
            return;
        }
        thread::sleep(Duration::from_millis(100));
    }
    panic!("a new name does not work although the issuer is back: {last:?}");
}

/// `weir issuer`, which is killed when this is dropped.
struct Issuer {
    child: Child,
    log: PathBuf,
}

impl Issuer {
    /// Returns when it listens.
    fn start(ca: &Path, socket: &Path) -> Issuer {
        let log = ca.with_file_name("issuer.log");
        let child = Command::new(env!("CARGO_BIN_EXE_weir"))
            .arg("issuer")
            .args(["--ca".as_ref(), ca, "--socket".as_ref(), socket])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let mut issuer = Issuer { child, log };
        while UnixStream::connect(socket).is_err() {
            if let Some(status) = issuer.child.try_wait().unwrap() {
                panic!("weir issuer: {status}: {}", std::fs::read_to_string(&issuer.log).unwrap_or_default());
            }
            thread::sleep(Duration::from_millis(10));
        }
        issuer
    }

    fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its counters so far, as its users read them.
    fn stats(&self) -> String {
        let before = self.lines().len();
        kill_process(Pid::from_child(&self.child), Signal::USR1).unwrap();
        for _ in 0..500 {
            thread::sleep(Duration::from_millis(20));
            if let Some(line) = self.lines().get(before) {
                return line.clone();
            }
        }
        panic!("the issuer does not answer SIGUSR1: {:?}", self.lines());
    }

    fn lines(&self) -> Vec<String> {
        std::fs::read_to_string(&self.log).unwrap().lines().map(str::to_owned).collect()
    }
}

impl Drop for Issuer {
    fn drop(&mut self) {
        // SIGKILL, so that it cannot clean up.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
