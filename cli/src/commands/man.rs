//! `weir man`: the manual pages.
//!
//! A page takes the place of what has its name, and is never written through a link: what a link leads to is another's.

use std::fs;
use std::path::{Path, PathBuf};

use clap::{Args, Command};
use clap_mangen::Man as Page;
use weir_envoy::replace;

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
    fs::create_dir_all(folder).map_err(|error| format!("cannot write to {}: {error}", folder.display()))?;
    let mut command = command.disable_help_subcommand(true);
    command.build();
    write_pages(folder, &command)
}

fn write_pages(folder: &Path, command: &Command) -> Result<(), String> {
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        write_pages(folder, command)?;
    }
    let page = Page::new(command.clone());
    let path = folder.join(page.get_filename());
    let mut text = Vec::new();
    page.render(&mut text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    replace(&path, &text).map_err(|error| error.to_string())
}
