//! The variables by which programs find their proxy and the certificates that they trust.
//!
//! One table, for the command and for its help. What the caller's environment says already is overridden, never merged:
//! an entry of its `NO_PROXY` would lead round the proxy, and its CA files do not know the CA of this run. Nothing here
//! holds a command back: it may unset every variable, which is what `--isolate` is for.

use std::env;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// What a variable is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Value {
    /// The proxy's URL.
    Proxy,
    /// The hosts that are reached without the proxy: this machine's own, and nothing else.
    Direct,
    /// The file with the system's roots and the CA of this run.
    Bundle,
    /// The folder with that file.
    BundleFolder,
    /// A startup file for wget that names the bundle.
    Wgetrc,
    /// These options for a Java machine after those of the caller.
    Java,
    /// This.
    Fixed(&'static str),
}

/// One line of the table.
struct Variable {
    name: &'static str,
    value: Value,
    read_by: &'static str,
}

const fn variable(name: &'static str, value: Value, read_by: &'static str) -> Variable {
    Variable { name, value, read_by }
}

/// Hosts that a program reaches directly. Its own test servers would not work otherwise, since the proxy refuses loopback;
/// under `--isolate` these are the loopback of the command's own network, where nothing of the machine listens.
const DIRECT: &str = "localhost,127.0.0.1,::1";

use Value::{Bundle, BundleFolder, Direct, Fixed, Java, Proxy, Wgetrc};

#[rustfmt::skip]
const VARIABLES: &[Variable] = &[
    variable("http_proxy", Proxy, "curl, wget, git, Python, Go, Ruby, apt; curl reads this one in lower case alone"),
    variable("https_proxy", Proxy, "the same, for https"),
    variable("all_proxy", Proxy, "curl, git, Rust (reqwest), for everything else"),
    variable("HTTP_PROXY", Proxy, "Python, Go, Node.js, Rust, .NET, Ruby"),
    variable("HTTPS_PROXY", Proxy, "the same, for https"),
    variable("ALL_PROXY", Proxy, "curl, Rust, .NET"),
    variable("ftp_proxy", Proxy, "curl, wget: ftp over an HTTP proxy"),
    variable("FTP_PROXY", Proxy, "the same"),
    variable("no_proxy", Direct, "all of these"),
    variable("NO_PROXY", Direct, "all of these"),
    variable("NODE_USE_ENV_PROXY", Fixed("1"), "Node.js 22.21 and 24.5 or later: fetch and http obey the variables above"),
    variable("npm_config_proxy", Proxy, "npm, before a proxy in .npmrc"),
    variable("npm_config_https_proxy", Proxy, "npm"),
    variable("npm_config_noproxy", Direct, "npm"),
    variable("YARN_HTTP_PROXY", Proxy, "Yarn 2 or later, before .yarnrc.yml"),
    variable("YARN_HTTPS_PROXY", Proxy, "Yarn 2 or later"),
    variable("PIP_PROXY", Proxy, "pip, before a proxy in pip.conf"),
    variable("CARGO_HTTP_PROXY", Proxy, "cargo, before a proxy in its config.toml"),
    variable("GLOBAL_AGENT_HTTP_PROXY", Proxy, "Node.js programs with global-agent"),
    variable("GLOBAL_AGENT_HTTPS_PROXY", Proxy, "the same"),
    variable("GLOBAL_AGENT_NO_PROXY", Direct, "the same"),
    variable("ELECTRON_GET_USE_PROXY", Fixed("1"), "the installer of Electron"),
    variable("JAVA_TOOL_OPTIONS", Java, "every Java machine; added to what the caller has there"),
    variable("SSL_CERT_FILE", Bundle, "OpenSSL, Go, Ruby, Rust (rustls-native-certs), uv, PHP, Elixir"),
    variable("SSL_CERT_DIR", BundleFolder, "the same"),
    variable("CURL_CA_BUNDLE", Bundle, "curl, R, Python's requests"),
    variable("REQUESTS_CA_BUNDLE", Bundle, "Python's requests: pip, Poetry, conda, HTTPie"),
    variable("PIP_CERT", Bundle, "pip"),
    variable("HTTPLIB2_CA_CERTS", Bundle, "Python's httplib2"),
    variable("AWS_CA_BUNDLE", Bundle, "AWS CLI and SDKs"),
    variable("CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", Bundle, "gcloud"),
    variable("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", Bundle, "gRPC"),
    variable("CONDA_SSL_VERIFY", Bundle, "conda"),
    variable("MAMBA_SSL_VERIFY", Bundle, "mamba, micromamba"),
    variable("NODE_EXTRA_CA_CERTS", Bundle, "Node.js, Bun, Playwright, Electron's Node.js"),
    variable("npm_config_cafile", Bundle, "npm, before NODE_EXTRA_CA_CERTS"),
    variable("YARN_HTTPS_CA_FILE_PATH", Bundle, "Yarn 4"),
    variable("YARN_CA_FILE_PATH", Bundle, "Yarn 2 and 3"),
    variable("DENO_CERT", Bundle, "Deno"),
    variable("GIT_SSL_CAINFO", Bundle, "git"),
    variable("CARGO_HTTP_CAINFO", Bundle, "cargo"),
    variable("NIX_SSL_CERT_FILE", Bundle, "Nix and what it built"),
    variable("BUNDLE_SSL_CA_CERT", Bundle, "Bundler"),
    variable("COMPOSER_CAFILE", Bundle, "Composer"),
    variable("HEX_CACERTS_PATH", Bundle, "Mix and Hex"),
    variable("PERL_LWP_SSL_CA_FILE", Bundle, "Perl's LWP"),
    variable("JULIA_SSL_CA_ROOTS_PATH", Bundle, "Julia"),
    variable("SYSTEM_WGETRC", Wgetrc, "wget, which reads no variable for this; instead of /etc/wgetrc, whose lines are kept"),
];

/// The files of one run that variables point at.
#[derive(Clone, Debug)]
pub(crate) struct Trust {
    /// Roots and CA in PEM.
    pub(crate) bundle: PathBuf,
    /// The startup file for wget.
    pub(crate) wgetrc: PathBuf,
    /// The same certificates as a Java trust store.
    pub(crate) java: PathBuf,
}

/// The variables for a command that is to use the proxy at `proxy`. Without `trust` those about certificates stay as the
/// caller has them: where TLS is passed through, nothing new is to be trusted.
pub(crate) fn variables(proxy: SocketAddr, trust: Option<&Trust>) -> Vec<(&'static str, OsString)> {
    VARIABLES.iter().filter_map(|variable| Some((variable.name, value(variable, proxy, trust)?))).collect()
}

fn value(variable: &Variable, proxy: SocketAddr, trust: Option<&Trust>) -> Option<OsString> {
    Some(match variable.value {
        Proxy => format!("http://{proxy}").into(),
        Direct => DIRECT.into(),
        Fixed(text) => text.into(),
        Bundle => trust?.bundle.clone().into(),
        BundleFolder => trust?.bundle.parent().unwrap_or(Path::new("/")).into(),
        Wgetrc => trust?.wgetrc.clone().into(),
        Java => java_options(proxy, trust),
    })
}

/// Options for a Java machine, after the caller's: of two for the same property the later one counts.
fn java_options(proxy: SocketAddr, trust: Option<&Trust>) -> OsString {
    let mut options = env::var_os("JAVA_TOOL_OPTIONS").unwrap_or_default();
    let (host, port) = (proxy.ip(), proxy.port());
    for scheme in ["http", "https"] {
        options.push(format!(" -D{scheme}.proxyHost={host} -D{scheme}.proxyPort={port}"));
    }
    options.push(" -Dhttp.nonProxyHosts=localhost|127.0.0.1|[::1]");
    if let Some(trust) = trust {
        options.push(" -Djavax.net.ssl.trustStoreType=JKS -Djavax.net.ssl.trustStore=");
        options.push(&trust.java);
    }
    options
}

/// The table as text: name, value, who reads it.
pub(crate) fn table() -> Vec<[&'static str; 3]> {
    let word = |value| match value {
        Proxy => "http://127.0.0.1:PORT",
        Direct => DIRECT,
        Bundle => "FOLDER/ca-bundle.pem",
        BundleFolder => "FOLDER",
        Wgetrc => "FOLDER/wgetrc",
        Java => "-Dhttps.proxyHost=... -Djavax.net.ssl.trustStore=...",
        Fixed(text) => text,
    };
    VARIABLES.iter().map(|variable| [variable.name, word(variable.value), variable.read_by]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn without_inspection_no_trust_is_changed() {
        let proxy = SocketAddr::from(([127, 0, 0, 1], 3128));
        let set: HashSet<_> = variables(proxy, None).into_iter().map(|(name, _)| name).collect();
        assert!(set.contains("https_proxy") && set.contains("NO_PROXY"));
        assert!(!set.contains("SSL_CERT_FILE") && !set.contains("SYSTEM_WGETRC"));
        let trust =
            Trust { bundle: "/run/x/ca-bundle.pem".into(), wgetrc: "/run/x/wgetrc".into(), java: "/run/x/j".into() };
        let all = variables(proxy, Some(&trust));
        assert_eq!(all.len(), VARIABLES.len());
        assert!(all.contains(&("SSL_CERT_DIR", "/run/x".into())));
    }

    #[test]
    fn the_agent_of_docker_compose_has_every_variable() {
        let compose = include_str!("../../../../envoy/compose/docker-compose.yaml");
        let set: HashSet<_> =
            compose.lines().filter_map(|line| line.strip_prefix("      ")?.split(':').next()).collect();
        let missing: Vec<_> =
            VARIABLES.iter().filter(|variable| !set.contains(variable.name)).map(|it| it.name).collect();
        assert_eq!(missing, [""; 0]);
    }

    #[test]
    fn no_variable_stands_twice() {
        let names: HashSet<_> = VARIABLES.iter().map(|variable| variable.name).collect();
        assert_eq!(names.len(), VARIABLES.len());
    }
}
