//! The result of a build.

/// A built module.
#[derive(Clone, Debug)]
pub struct Built {
    /// The module.
    pub bytes: Vec<u8>,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// The functions that Envoy can call, sorted.
    pub exports: Vec<String>,
    /// Envoy's functions that it can call, sorted; all in its import module `env`.
    pub imports: Vec<String>,
}
