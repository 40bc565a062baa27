//! What a build makes.

/// A module that was built.
#[derive(Clone, Debug)]
pub struct Built {
    /// The module.
    pub bytes: Vec<u8>,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// What Envoy can call, sorted.
    pub exports: Vec<String>,
    /// What it can call of Envoy, sorted; all in its import module `env`.
    pub imports: Vec<String>,
}
