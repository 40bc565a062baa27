//! The Envoy releases that Weir is tested with.

use std::fmt;

use crate::error::{Error, Result};

/// The version that Weir targets.
pub const DEFAULT: Version = Version(1, 40, 0);

/// The first version that supports everything in `forward-proxy.yaml`.
pub const OLDEST: Version = Version(1, 39, 0);

/// The first version that runs `inspecting-proxy.yaml`: on-demand certificates came with 1.37, and the filter state
/// that distinguishes connections inside Envoy (`envoy.hashable_string`) with 1.38.
pub const OLDEST_INSPECTING: Version = Version(1, 38, 0);

/// A release of Envoy that can be fetched, with the SHA-256 of its wheels.
#[derive(Debug)]
pub struct Release {
    /// Its version.
    pub version: Version,
    /// `manylinux_2_31_x86_64`.
    pub linux_x86_64: &'static str,
    /// `manylinux_2_31_aarch64`.
    pub linux_aarch64: &'static str,
}

/// The tested releases. 1.38.3 is missing because its wheel has no V8. None of these has a wheel for macOS.
pub const RELEASES: [Release; 5] = [
    Release {
        version: Version(1, 36, 4),
        linux_x86_64: "86dfc14ae7fad32de3b3ace54fbd400187c3b4fd6731781ff5bc633fa133f3f9",
        linux_aarch64: "05b06a19c4f6499c752f1a5a034a02752f0cdbd0422c3d8eb515237a36e82cd2",
    },
    Release {
        version: Version(1, 37, 0),
        linux_x86_64: "bf7a89ecfa8133a77d066c3d3f9cd0b9b975ed26a5d5d9e508896e57b78cabfc",
        linux_aarch64: "ee3e51fb44bb8f1a7053556b6e216ecd7a92cae07d092cd8315bd336586bd315",
    },
    Release {
        version: Version(1, 38, 2),
        linux_x86_64: "c1e2e293364686e3ee79b32f9743bb1f7fd40c196945cb9062fbb25655d35188",
        linux_aarch64: "8b1b1bea393578e886a26350e3ab8738a066372869e82f54be464f4a914c9df4",
    },
    Release {
        version: Version(1, 39, 3),
        linux_x86_64: "ee848b81b10b86f1d919f793b75852d24884928f2733752b4443bcd66d7bc5a6",
        linux_aarch64: "2c624b8623c132e05f6f615f2e34b34fcdd1fdd0aaef065b3af55697178d2a50",
    },
    Release {
        version: Version(1, 40, 0),
        linux_x86_64: "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
        linux_aarch64: "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea",
    },
];

/// Major, minor, patch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32, pub u32);

impl Version {
    /// Parses `1.40.0`; a suffix after `-` (as in `1.41.0-dev`) is ignored.
    pub fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split('-').next()?.split('.').map(|n| n.parse().ok());
        let version = Self(numbers.next()??, numbers.next()??, numbers.next()??);
        numbers.next().is_none().then_some(version)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// The release that `WEIR_ENVOY_VERSION=text` requires.
pub(crate) fn release(text: &str) -> Result<&'static Release> {
    let wanted = Version::parse(text);
    RELEASES.iter().find(|release| Some(release.version) == wanted).ok_or_else(|| {
        let known: Vec<String> = RELEASES.iter().map(|release| release.version.to_string()).collect();
        Error::NoEnvoy(format!(
            "WEIR_ENVOY_VERSION={text} is none of {}; to use another Envoy set WEIR_ENVOY to its path",
            known.join(", ")
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(Version::parse("1.40.0"), Some(Version(1, 40, 0)));
        assert_eq!(Version::parse("1.41.0-dev"), Some(Version(1, 41, 0)));
        assert_eq!(Version::parse("1.40"), None);
        assert_eq!(Version::parse("1.40.0.1"), None);
        assert_eq!(Version::parse("x"), None);
        assert!(Version(1, 9, 0) < Version(1, 36, 4));
    }

    #[test]
    fn an_unknown_release_lists_the_known_ones() {
        let error = release("1.2.3").unwrap_err().to_string();
        assert!(error.contains("1.36.4, 1.37.0, 1.38.2, 1.39.3, 1.40.0"), "{error}");
    }
}
