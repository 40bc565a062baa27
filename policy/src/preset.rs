//! The domain lists of the folder `presets/`, embedded. The name of a file is the name of the preset.

/// A named list of domains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preset {
    /// The name by which a policy asks for it.
    pub name: &'static str,
    /// Its domains, in the order of its file.
    pub domains: &'static [&'static str],
}

include!(concat!(env!("OUT_DIR"), "/presets.rs"));

/// Every preset that lists domains, sorted by name.
pub fn all() -> &'static [Preset] {
    PRESETS
}

/// The preset called `name`.
pub fn find(name: &str) -> Option<&'static Preset> {
    PRESETS.iter().find(|preset| preset.name == name)
}
