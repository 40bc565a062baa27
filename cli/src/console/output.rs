//! Where commands that print a text put it: standard output, or a file that is named.

use std::io::{self, Write as _};
use std::path::Path;

use weir_envoy::replace;

use super::exit::Exit;
use super::terminal::mistake;

/// Writes `text` to `path`, whole or not at all, or to standard output.
pub(crate) fn write(path: Option<&Path>, text: &[u8]) -> Exit {
    let Some(path) = path.filter(|path| *path != Path::new("-")) else {
        // When a reader has gone (`weir schema | head`), nobody is left to report to.
        let _ = io::stdout().lock().write_all(text);
        return Exit::Success;
    };
    match replace(path, text) {
        Ok(()) => Exit::Success,
        Err(error) => {
            mistake(error);
            Exit::Failure
        }
    }
}
