//! `weir man`: the manual pages.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_mangen::{Man as Page, generate_to};

use crate::console::exit::Exit;
use crate::console::output;
use crate::console::terminal::mistake;

const EXAMPLES: &str = "\
Examples:
  weir man | man -l -
  weir man --output ~/.local/share/man/man1

Without --output, prints the page of weir itself. With it, writes a page for each command: weir.1, weir-run.1, ...

Exit code: 0 written, 1 not written, 2 a mistake in the command line.";

/// Print the manual page, or write one for each command
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Man {
    /// Folder to write the pages to; created if needed
    #[arg(long, short, value_name = "DIR")]
    output: Option<PathBuf>,
}

impl Man {
    /// Writes those of `command`.
    pub(crate) fn run(&self, command: Command) -> Exit {
        let written = if let Some(folder) = &self.output {
            write(folder, command).map(|()| Exit::Success)
        } else {
            let mut page = Vec::new();
            let rendered =
                Page::new(command.disable_help_subcommand(true)).render(&mut page).map_err(|error| error.to_string());
            rendered.map(|()| output::write(None, &page))
        };
        written.unwrap_or_else(|error| {
            mistake(error);
            Exit::Failure
        })
    }
}

fn write(folder: &Path, command: Command) -> Result<(), String> {
    let failed = |error| format!("cannot write to {}: {error}", folder.display());
    fs::create_dir_all(folder).map_err(failed)?;
    generate_to(command, folder).map_err(failed)
}
