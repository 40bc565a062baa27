//! What a client sends to the proxy for a URL.
//!
//! The URL is cut by hand, into scheme, authority and path, and nothing is decoded, folded or
//! repaired: a parser that tidies (`0x7f.1` to `127.0.0.1`, say) would explain another request than
//! the one that the plugin sees.

use std::fmt;

use crate::console::terminal::shown;

/// The parts of a URL as they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target<'u> {
    /// The scheme.
    pub(super) scheme: Scheme,
    /// All between `//` and the path.
    pub(super) authority: &'u [u8],
    /// The path with its query, without fragment; may be empty.
    path: &'u [u8],
}

/// How the URL is to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    /// A plain request to the proxy.
    Http,
    /// A tunnel, and a request inside TLS.
    Https,
    /// An upgrade in the clear.
    Ws,
    /// An upgrade inside a tunnel.
    Wss,
    /// No URL at all: the `host:port` of a CONNECT.
    Tunnel,
    /// A connection under TLS passthrough, to a `host:port`.
    TlsPassthrough {
        /// The port; 443 where none is written.
        port: u16,
    },
}

/// What is written instead of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoTarget {
    /// No `scheme://`.
    Relative(String),
    /// Something else than http, https, ws or wss.
    Scheme(String),
    /// A URL after CONNECT.
    ConnectUrl(String),
    /// A URL of TLS itself, `tls://` say.
    TlsUrl(String),
    /// TLS to what is no port.
    Port(String),
}

impl fmt::Display for NoTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoTarget::Relative(url) => {
                write!(
                    f,
                    "{url:?} is not a URL: write http://{url} or https://{url} (host:port follows CONNECT and TLS \
                     alone)"
                )
            }
            NoTarget::Scheme(scheme) => {
                write!(f, "{scheme:?} does not go through an HTTP proxy: write http, https, ws or wss")
            }
            NoTarget::ConnectUrl(authority) => {
                write!(f, "CONNECT names a host and a port, not a URL: write {authority}")
            }
            NoTarget::TlsUrl(authority) => {
                write!(f, "a TLS connection goes to a host and a port: write TLS {authority}")
            }
            NoTarget::Port(port) => write!(f, "{port:?} is not a port: write TLS host:443"),
        }
    }
}

impl<'u> Target<'u> {
    /// Cuts `url`; for CONNECT it is the authority as it is.
    pub(super) fn of(method: &[u8], url: &'u [u8]) -> Result<Target<'u>, NoTarget> {
        let split = url.windows(3).position(|window| window == b"://");
        let Some(split) = split else {
            return match method {
                b"CONNECT" => Ok(Target { scheme: Scheme::Tunnel, authority: url, path: b"" }),
                b"TLS" => passthrough(url),
                _ => Err(NoTarget::Relative(shown(url))),
            };
        };
        let (scheme, rest) = url.split_at(split);
        let rest = rest.get(3..).unwrap_or_default();
        let end = rest.iter().position(|byte| b"/?#".contains(byte)).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let path = path.split(|&byte| byte == b'#').next().unwrap_or_default();
        let scheme = match scheme.to_ascii_lowercase().as_slice() {
            b"http" => Scheme::Http,
            b"https" => Scheme::Https,
            b"ws" => Scheme::Ws,
            b"wss" => Scheme::Wss,
            b"tls" => return Err(NoTarget::TlsUrl(shown(authority))),
            other => return Err(NoTarget::Scheme(shown(other))),
        };
        let target = Target { scheme, authority, path };
        if method == b"CONNECT" { Err(NoTarget::ConnectUrl(shown(&target.tunnel()))) } else { Ok(target) }
    }

    /// The `:path` of the request.
    pub(super) fn path(&self) -> Vec<u8> {
        match self.path.first() {
            Some(b'/') => self.path.to_owned(),
            _ => [b"/", self.path].concat(),
        }
    }

    /// The authority with the port that a tunnel needs.
    pub(super) fn tunnel(&self) -> Vec<u8> {
        let after_brackets = self.authority.iter().rposition(|&byte| byte == b']').map_or(0, |close| close + 1);
        if self.scheme == Scheme::Tunnel
            || self.authority.get(after_brackets..).is_some_and(|rest| rest.contains(&b':'))
        {
            return self.authority.to_owned();
        }
        let port: &[u8] = if matches!(self.scheme, Scheme::Http | Scheme::Ws) { b":80" } else { b":443" };
        [self.authority, port].concat()
    }

    /// The name that a client puts into its `ClientHello`: the host, and none for an address.
    pub(super) fn server_name(&self) -> &'u [u8] {
        if self.authority.first() == Some(&b'[') {
            return b"";
        }
        let host = if let Scheme::TlsPassthrough { .. } = self.scheme {
            // As it is in the audit record.
            self.authority
        } else {
            let host = self.authority.split(|&byte| byte == b':').next().unwrap_or_default();
            host.strip_suffix(b".").unwrap_or(host)
        };
        let is_address = str::from_utf8(host).is_ok_and(|host| host.parse::<std::net::Ipv4Addr>().is_ok());
        if is_address { b"" } else { host }
    }

    /// Whether the URL stands for an upgrade.
    pub(super) fn is_upgrade(&self) -> bool {
        matches!(self.scheme, Scheme::Ws | Scheme::Wss)
    }

    /// Whether the client asks for a tunnel before it sends the request.
    pub(super) fn is_tunnelled(&self) -> bool {
        matches!(self.scheme, Scheme::Https | Scheme::Wss)
    }
}

/// Cuts the port off: the connection has one, the name in its `ClientHello` has none.
fn passthrough(written: &[u8]) -> Result<Target<'_>, NoTarget> {
    let colon = written.iter().rposition(|&byte| byte == b':').filter(|_| written.last() != Some(&b']'));
    let (authority, port) = match colon.and_then(|colon| written.split_at_checked(colon)) {
        Some((authority, port)) => (authority, port.get(1..).unwrap_or_default()),
        None => (written, &b"443"[..]),
    };
    let digits = str::from_utf8(port).ok().filter(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    let port = digits.and_then(|port| port.parse().ok()).filter(|port| *port != 0);
    let port = port.ok_or_else(|| NoTarget::Port(shown(written)))?;
    Ok(Target { scheme: Scheme::TlsPassthrough { port }, authority, path: b"" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_cut_and_not_tidied() {
        for (url, scheme, authority, path) in [
            ("http://example.com", Scheme::Http, "example.com", "/"),
            ("HTTP://Example.COM./a/../b?x#y", Scheme::Http, "Example.COM.", "/a/../b?x"),
            ("http://0x7f.1/", Scheme::Http, "0x7f.1", "/"),
            ("https://[::1]:8443?q", Scheme::Https, "[::1]:8443", "/?q"),
            ("ws://a@b\\c/", Scheme::Ws, "a@b\\c", "/"),
            ("wss:///x", Scheme::Wss, "", "/x"),
            ("http://a#b/c", Scheme::Http, "a", "/"),
            ("http://%67ithub.com:080/", Scheme::Http, "%67ithub.com:080", "/"),
        ] {
            let target = Target::of(b"GET", url.as_bytes()).unwrap();
            assert_eq!((target.scheme, target.authority), (scheme, authority.as_bytes()), "{url}");
            assert_eq!(target.path(), path.as_bytes(), "{url}");
        }
    }

    #[test]
    fn a_tunnel_has_a_port() {
        let tunnel = |url: &str| String::from_utf8(Target::of(b"GET", url.as_bytes()).unwrap().tunnel()).unwrap();
        assert_eq!(tunnel("https://a.com/"), "a.com:443");
        assert_eq!(tunnel("https://a.com:8443/"), "a.com:8443");
        assert_eq!(tunnel("https://[::1]/"), "[::1]:443");
        assert_eq!(tunnel("https://[::1]:8443/"), "[::1]:8443");
        assert_eq!(tunnel("https://::1/"), "::1");
        assert_eq!(Target::of(b"CONNECT", b"a.com").unwrap().tunnel(), b"a.com");
    }

    #[test]
    fn the_server_name_is_the_host() {
        let name =
            |url: &str| String::from_utf8(Target::of(b"GET", url.as_bytes()).unwrap().server_name().to_vec()).unwrap();
        assert_eq!(name("https://A.com.:8443/"), "A.com");
        assert_eq!(name("https://192.0.2.1/"), "");
        assert_eq!(name("https://[2001:db8::1]/"), "");
    }

    #[test]
    fn tls_passthrough_has_a_port_beside_its_name() {
        for (written, name, port) in [
            ("a.com", "a.com", 443),
            ("A.com.:8443", "A.com.", 8443),
            (":443", "", 443),
            ("", "", 443),
            ("a:b:443", "a:b", 443),
            ("192.0.2.1:443", "", 443),
            ("[2001:db8::1]:443", "", 443),
            ("[2001:db8::1]", "", 443),
            ("0x7f.1", "0x7f.1", 443),
        ] {
            let target = Target::of(b"TLS", written.as_bytes()).unwrap();
            assert_eq!(target.scheme, Scheme::TlsPassthrough { port }, "{written}");
            assert_eq!(target.server_name(), name.as_bytes(), "{written}");
        }
        for written in ["a.com:", "a.com:0", "a.com:65536", "a.com:+443", "a.com:https"] {
            assert_eq!(Target::of(b"TLS", written.as_bytes()), Err(NoTarget::Port(written.to_owned())), "{written}");
        }
        assert_eq!(Target::of(b"TLS", b"http://a.com/").unwrap().scheme, Scheme::Http, "a method like any other");
    }

    #[test]
    fn what_is_no_url_is_told_what_to_write() {
        let told = |method: &[u8], url: &[u8]| Target::of(method, url).unwrap_err().to_string();
        assert!(told(b"GET", b"a.com").contains("http://a.com"));
        assert!(told(b"GET", b"ftp://a.com/").contains("\"ftp\""));
        assert!(told(b"CONNECT", b"https://a.com/x").ends_with("write a.com:443"));
        assert!(told(b"GET", b"tls://a.com:443").ends_with("write TLS a.com:443"));
    }
}
