//! What may be done at a host, in words. What that is, the policy alone knows.

use weir_policy::{Limits, Methods, Ports};

/// The methods.
pub(crate) fn methods(limits: &Limits) -> String {
    match &limits.methods {
        Methods::All => "all".to_owned(),
        Methods::Only(methods) if limits.git_fetch => format!("{}, and git fetch", methods.join(", ")),
        Methods::Only(methods) => methods.join(", "),
    }
}

/// The ports.
pub(crate) fn ports(limits: &Limits) -> String {
    match &limits.ports {
        Ports::Any => "any".to_owned(),
        Ports::Only(ports) => ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", "),
    }
}

/// The path prefixes.
pub(crate) fn paths(limits: &Limits) -> String {
    let Some(paths) = &limits.paths else { return "all".to_owned() };
    paths.iter().map(weir_policy::PathPrefix::as_str).collect::<Vec<_>>().join(", ")
}
