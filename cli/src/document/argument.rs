//! The flag that names a policy, alike in every command.
//!
//! A policy that was not named is never looked for: whoever can write to the current folder would decide what is allowed.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;

use super::input::{self, Input};
use super::policy_file::Document;
use crate::console::exit::Exit;
use crate::console::terminal::{mistake, words};

/// The environment variable that names a policy where no flag does.
const VARIABLE: &str = "WEIR_POLICY";

/// `--policy FILE`.
#[derive(Debug, Args)]
pub(crate) struct PolicyArgument {
    /// Policy: a .json, .jsonc, .yaml or .yml file [default: the one that `WEIR_POLICY` names]
    #[arg(long, short, value_name = "FILE")]
    policy: Option<PathBuf>,
}

impl PolicyArgument {
    /// The file that was named.
    ///
    /// # Errors
    /// None was, which is reported.
    pub(crate) fn path(&self) -> Result<PathBuf, Exit> {
        named(self.policy.as_deref(), env::var_os(VARIABLE)).ok_or_else(|| {
            mistake(format_args!(
                "no policy is named: use --policy FILE, or set {VARIABLE} to a file; `weir init` writes one to start \
                 from"
            ));
            Exit::Mistake
        })
    }

    /// The file that was named, where it is read again and again.
    ///
    /// # Errors
    /// None was, or standard input, which is reported.
    pub(crate) fn followed_path(&self) -> Result<PathBuf, Exit> {
        let path = self.path()?;
        if path == Path::new("-") {
            mistake("the policy is read again whenever it changes: name a file, not standard input");
            return Err(Exit::Mistake);
        }
        Ok(path)
    }

    /// Reads the policy that was named.
    ///
    /// # Errors
    /// None was, or it cannot be read or has mistakes, which is reported.
    pub(crate) fn read(&self) -> Result<(Input, Document), Exit> {
        read(&self.path()?)
    }
}

fn named(flag: Option<&Path>, variable: Option<OsString>) -> Option<PathBuf> {
    let variable = variable.filter(|path| !path.is_empty()).map(PathBuf::from);
    flag.map(Path::to_owned).or(variable)
}

/// Reads the policy at `path`.
///
/// # Errors
/// It cannot be read or has mistakes, which is reported.
pub(crate) fn read(path: &Path) -> Result<(Input, Document), Exit> {
    let input = input::read(path).map_err(|unreadable| {
        mistake(unreadable);
        Exit::Mistake
    })?;
    match input.document() {
        Ok(document) => Ok((input, document)),
        Err(refused) => {
            words(refused.in_words(&input.name));
            Err(Exit::Mistake)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flag_counts_more_than_the_variable() {
        let named = |flag: Option<&str>, variable: Option<&str>| {
            named(flag.map(Path::new), variable.map(OsString::from)).map(|path| path.display().to_string())
        };
        assert_eq!(named(Some("a"), Some("b")).as_deref(), Some("a"));
        assert_eq!(named(None, Some("b")).as_deref(), Some("b"));
        assert_eq!(named(None, Some("")), None);
        assert_eq!(named(None, None), None);
    }
}
