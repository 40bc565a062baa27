//! A proxy that looks inside TLS: Envoy with the plugin on both sides, the issuer, and the stand-in behind it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use weir_envoy::{Launch, Running};
use weir_internet::StandIn;
use weir_issuer::{CertificateAuthority, Issuer, Options};

use crate::answer::Outcome;
use crate::http1::Stream;
use crate::proxy::{launch, ok};
use crate::{connect, http1, http2, tls};

/// See the module.
pub struct Inspecting {
    /// Envoy.
    pub envoy: Running,
    /// Where everything goes that is allowed, plain or by TLS.
    pub internet: StandIn,
    /// The issuer; `None` once it was stopped, or where it is a process of its own.
    pub issuer: Option<Issuer>,
    /// The certificate of the issuer's authority, which clients trust.
    pub authority: String,
    folder: TempDir,
}

impl Inspecting {
    /// With this policy.
    pub fn start(policy: &[u8]) -> Inspecting {
        Inspecting::with(|launch, internet| launch.policy(policy).stand_in(internet))
    }

    /// What `change` makes of the launch; it is given the stand-in's address as well.
    pub fn with(change: impl FnOnce(Launch, SocketAddr) -> Launch) -> Inspecting {
        Inspecting::prepare(launch(), change, |ca, socket| {
            Some(ok(Issuer::start(ok(CertificateAuthority::load(ca)), socket)))
        })
    }

    /// The same without the plugin, for benchmarks: every tunnel is opened, and nobody decides.
    pub fn without_plugin(change: impl FnOnce(Launch, SocketAddr) -> Launch) -> Inspecting {
        Inspecting::prepare(Launch::without_plugin(), change, |ca, socket| {
            Some(ok(Issuer::start(ok(CertificateAuthority::load(ca)), socket)))
        })
    }

    /// As [`Inspecting::with`], and `issue` starts the issuer by some other way: it is given the authority's folder and the
    /// socket. The issuer is its own to stop.
    pub fn issued_by(
        issue: impl FnOnce(&Path, &Path),
        change: impl FnOnce(Launch, SocketAddr) -> Launch,
    ) -> Inspecting {
        Inspecting::prepare(launch(), change, |ca, socket| {
            issue(ca, socket);
            None
        })
    }

    fn prepare(
        launch: Launch,
        change: impl FnOnce(Launch, SocketAddr) -> Launch,
        issue: impl FnOnce(&Path, &Path) -> Option<Issuer>,
    ) -> Inspecting {
        let internet = ok(StandIn::with_tls());
        let folder = tempfile::tempdir().expect("a folder");
        let (ca, socket) = (folder.path().join("ca"), folder.path().join("issuer.sock"));
        let authority = ok(CertificateAuthority::create(&ca, &Options::default())).certificate_pem().to_owned();
        let roots = folder.path().join("origins.pem");
        std::fs::write(&roots, internet.ca_pem().unwrap_or_default()).expect("a file");
        let issuer = issue(&ca, &socket);
        let launch = change(launch.inspect(&socket).origin_roots(&roots), internet.address());
        Inspecting { envoy: ok(launch.start()), internet, issuer, authority, folder }
    }

    /// Starts the issuer again, after [`Inspecting::issuer`] was taken away.
    pub fn restart_issuer(&mut self) {
        let authority = ok(CertificateAuthority::load(&self.authority_folder()));
        self.issuer = Some(ok(Issuer::start(authority, &self.socket())));
    }

    /// Where the issuer's authority is.
    pub fn authority_folder(&self) -> PathBuf {
        self.folder.path().join("ca")
    }

    /// The issuer's socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("issuer.sock")
    }

    /// Asks for a tunnel and returns what is inside of it; a refusal fails the test.
    #[track_caller]
    pub fn tunnel(&self, authority: &str) -> Box<dyn Stream> {
        let mut connection = http1::Connection::open(self.envoy.address());
        let opened = connect::open(&mut connection, authority.as_bytes(), b"");
        assert_eq!(opened.status(), Some(200), "CONNECT {authority}: {opened}");
        connection.into_stream()
    }

    /// HTTP/1.1 over TLS inside a tunnel to port 443 of this host, by a client that trusts the authority and no other.
    #[track_caller]
    pub fn http1(&self, host: &str) -> http1::Connection {
        let tunnel = self.tunnel(&format!("{host}:443"));
        http1::Connection::over(tls::trusting(tunnel, host, "http/1.1", &self.authority))
    }

    /// HTTP/2 likewise.
    #[track_caller]
    pub fn http2(&self, host: &str) -> http2::Connection {
        let tunnel = self.tunnel(&format!("{host}:443"));
        http2::Connection::over(tls::trusting(tunnel, host, "h2", &self.authority))
    }

    /// Whether the access log gets a line of a cut connection that `tells` picks: it comes a little after the cut.
    pub fn logs(&self, tells: impl Fn(&Value) -> bool) -> bool {
        self.envoy.wait_for_logs(Duration::from_secs(10), |_, access| {
            access.iter().filter_map(|line| serde_json::from_str(line).ok()).any(|line| tells(&line))
        })
    }

    /// The answer to the CONNECT alone.
    pub fn connect(&self, authority: &str) -> Outcome {
        connect::open(&mut http1::Connection::open(self.envoy.address()), authority.as_bytes(), b"")
    }
}
