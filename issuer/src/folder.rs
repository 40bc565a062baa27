//! The folder of a CA: where it is unless another one is named, and what its files are called.

use std::env;
use std::path::PathBuf;

/// The certificate that clients have to trust.
pub const CERTIFICATE_FILE: &str = "ca.pem";
/// Its private key.
pub const KEY_FILE: &str = "ca-key.pem";

/// The default folder of the CA: `$XDG_DATA_HOME/weir/ca`, or else `~/.local/share/weir/ca`. `None` if neither variable
/// is set.
pub fn default_folder() -> Option<PathBuf> {
    let absolute = |name: &str| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let data = absolute("XDG_DATA_HOME").or_else(|| Some(absolute("HOME")?.join(".local/share")))?;
    Some(data.join("weir/ca"))
}
