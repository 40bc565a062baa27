//! `weir issuer`: the issuer as a process of its own, beside an Envoy that somebody else runs.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use signal_hook::consts::SIGUSR1;
use signal_hook::flag;
use weir_issuer::{CertificateAuthority, Issuer as Server, Options, Settings, Stats};

use crate::console::exit::Exit;
use crate::console::interrupt::Interrupt;
use crate::console::terminal::{FAINT, GOOD, mistake, paint, words};
use crate::proxy::certificates as ca;

const EXAMPLES: &str = "\
Examples:
  weir issuer --socket /run/weir/issuer.sock
  weir issuer --ca /var/lib/weir/ca --socket /run/weir/issuer.sock

Envoy asks the issuer for the certificate of each host whose TLS it inspects (inspecting-proxy.yaml, cluster issuer). \
The CA is created on first use; clients have to trust it, see `weir ca export`. Counts are printed to standard error \
once a minute while they change, and on SIGUSR1.

Exit code: 0 stopped by Ctrl-C or SIGTERM, 1 not started, 2 a mistake in the command line.";

const TICK: Duration = Duration::from_millis(100);
const NEWS: Duration = Duration::from_mins(1);

/// Sign certificates for the hosts whose TLS Envoy inspects
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Issuer {
    /// Folder of the CA; created on first use [default: as in `weir ca`]
    #[arg(long, value_name = "DIR")]
    ca: Option<PathBuf>,
    /// Unix socket to listen on
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// How long a certificate is valid, from 5s to 8784h: a number with s, m or h
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = life)]
    leaf_life: Duration,
    /// Number of certificates to keep for an Envoy that restarts
    #[arg(long, value_name = "N", default_value_t = Settings::default().cached)]
    cache: usize,
}

/// A time such as `24h`.
fn life(text: &str) -> Result<Duration, String> {
    let unit = |name: char, seconds: u64| Some((text.strip_suffix(name)?, seconds));
    let parts = unit('s', 1).or_else(|| unit('m', 60)).or_else(|| unit('h', 3600));
    let seconds = parts.and_then(|(number, unit)| number.parse::<u64>().ok()?.checked_mul(unit));
    match seconds {
        Some(seconds @ 5..=31_622_400) => Ok(Duration::from_secs(seconds)),
        _ => Err("write a time such as 24h or 30m, from 5s to 8784h".to_owned()),
    }
}

impl Issuer {
    pub(crate) fn run(&self) -> Exit {
        let (interrupt, asked) = match watch() {
            Ok(watched) => watched,
            Err(error) => {
                mistake(format_args!("cannot watch for signals: {error}"));
                return Exit::Failure;
            }
        };
        let Some(folder) = ca::folder(self.ca.as_deref()) else { return Exit::Mistake };
        interrupt.hold();
        let settings = Settings { leaf_life: self.leaf_life, cached: self.cache };
        let started = CertificateAuthority::load_or_create(&folder, &Options::default()).and_then(|authority| {
            let until = authority.expires();
            Server::start_with(authority, &self.socket, &settings).map(|server| (server, until))
        });
        let (server, until) = match started {
            Ok(started) => started,
            Err(error) => return ca::failed(&error),
        };
        words(format_args!(
            "{} {} (CA in {}, valid until {until})",
            paint(GOOD, "the issuer is up:"),
            self.socket.display(),
            folder.display()
        ));
        report(&server, &interrupt, &asked);
        drop(server);
        words("the issuer is down");
        Exit::Success
    }
}

/// The signals that end it, and the one that asks for the numbers.
fn watch() -> io::Result<(Interrupt, Arc<AtomicBool>)> {
    let asked = Arc::new(AtomicBool::new(false));
    flag::register(SIGUSR1, Arc::clone(&asked))?;
    Ok((Interrupt::watch()?, asked))
}

/// Prints the numbers now and then until the process is to end.
fn report(server: &Server, interrupt: &Interrupt, asked: &AtomicBool) {
    let (mut told, mut at) = (Stats::default(), Instant::now());
    while !interrupt.came() {
        let asked = asked.swap(false, Ordering::Relaxed);
        if asked || at.elapsed() >= NEWS {
            let now = server.stats();
            if asked || now != told {
                words(format_args!("{} {now}", paint(FAINT, "issuer:")));
            }
            (told, at) = (now, Instant::now());
        }
        thread::sleep(TICK);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(life("24h").unwrap(), Duration::from_hours(24));
        assert_eq!(life("5s").unwrap(), Duration::from_secs(5));
        for text in ["", "24", "h", "-1h", "4s", "9000h", "99999999999999999999h", "1d"] {
            life(text).unwrap_err();
        }
    }
}
