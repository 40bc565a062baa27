//! A proxy that inspects TLS: Envoy with the plugin on the outer and the inner listener, the issuer, and the stand-in
//! as origin.

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

/// A running inspecting proxy with its issuer and origin.
pub struct Inspecting {
    /// Envoy.
    pub envoy: Running,
    /// The origin of every allowed request, plain or over TLS.
    pub internet: StandIn,
    /// The issuer; `None` once it was stopped, or if it runs as its own process.
    pub issuer: Option<Issuer>,
    /// The certificate of the issuer's CA, which clients trust.
    pub ca_pem: String,
    folder: TempDir,
}

impl Inspecting {
    /// Starts it with this policy.
    pub fn start(policy: &[u8]) -> Inspecting {
        Inspecting::with(|launch, internet| launch.policy(policy).stand_in(internet))
    }

    /// Starts what `change` returns for the launch and the stand-in's address.
    pub fn with(change: impl FnOnce(Launch, SocketAddr) -> Launch) -> Inspecting {
        Inspecting::prepare(launch(), change, |ca, socket| {
            Some(ok(Issuer::start(ok(CertificateAuthority::load(ca)), socket)))
        })
    }

    /// The same without the plugin, for benchmarks: Envoy inspects every tunnel and refuses none.
    pub fn without_plugin(change: impl FnOnce(Launch, SocketAddr) -> Launch) -> Inspecting {
        Inspecting::prepare(Launch::without_plugin(), change, |ca, socket| {
            Some(ok(Issuer::start(ok(CertificateAuthority::load(ca)), socket)))
        })
    }

    /// As [`Inspecting::with`], but `issue` starts the issuer from the CA's folder and the socket path. The caller
    /// stops that issuer.
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
        let ca_pem = ok(CertificateAuthority::create(&ca, &Options::default())).certificate_pem().to_owned();
        let roots = folder.path().join("origins.pem");
        std::fs::write(&roots, internet.ca_pem().unwrap_or_default()).expect("a file");
        let issuer = issue(&ca, &socket);
        let launch = change(launch.inspect(&socket).origin_roots(&roots), internet.address());
        Inspecting { envoy: ok(launch.start()), internet, issuer, ca_pem, folder }
    }

    /// Restarts the issuer after [`Inspecting::issuer`] was dropped.
    pub fn restart_issuer(&mut self) {
        let ca = ok(CertificateAuthority::load(&self.ca_folder()));
        self.issuer = Some(ok(Issuer::start(ca, &self.socket())));
    }

    /// The folder of the issuer's CA.
    pub fn ca_folder(&self) -> PathBuf {
        self.folder.path().join("ca")
    }

    /// The issuer's socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("issuer.sock")
    }

    /// Requests a tunnel and returns its inside; a refusal fails the test.
    #[track_caller]
    pub fn tunnel(&self, authority: &str) -> Box<dyn Stream> {
        let mut connection = http1::Connection::open(self.envoy.address());
        let opened = connect::open(&mut connection, authority.as_bytes(), b"");
        assert_eq!(opened.status(), Some(200), "CONNECT {authority}: {opened}");
        connection.into_stream()
    }

    /// HTTP/1.1 over TLS inside a tunnel to port 443 of this host, by a client that trusts only this CA.
    #[track_caller]
    pub fn http1(&self, host: &str) -> http1::Connection {
        let tunnel = self.tunnel(&format!("{host}:443"));
        http1::Connection::over(tls::trusting(tunnel, host, "http/1.1", &self.ca_pem))
    }

    /// The same with HTTP/2.
    #[track_caller]
    pub fn http2(&self, host: &str) -> http2::Connection {
        let tunnel = self.tunnel(&format!("{host}:443"));
        http2::Connection::over(tls::trusting(tunnel, host, "h2", &self.ca_pem))
    }

    /// Waits for the access log's line of a closed connection that `tells` selects; Envoy writes it shortly after
    /// closing.
    pub fn logs(&self, tells: impl Fn(&Value) -> bool) -> bool {
        self.envoy.wait_for_logs(Duration::from_secs(10), |_, access| {
            access.iter().filter_map(|line| serde_json::from_str(line).ok()).any(|line| tells(&line))
        })
    }

    /// Sends only a CONNECT and returns its answer.
    pub fn connect(&self, authority: &str) -> Outcome {
        connect::open(&mut http1::Connection::open(self.envoy.address()), authority.as_bytes(), b"")
    }
}
