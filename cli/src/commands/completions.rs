//! `weir completions`: what a shell needs to complete commands, flags and names.

use std::path::PathBuf;

use clap::{Args, Command};
use clap_complete::{Shell, generate};

use crate::console::exit::Exit;
use crate::console::output;

const EXAMPLES: &str = "\
Examples:
  weir completions bash > ~/.local/share/bash-completion/completions/weir
  weir completions zsh > ~/.zfunc/_weir
  weir completions fish > ~/.config/fish/completions/weir.fish

Exit code: 0 written, 1 not written, 2 a mistake in the command line.";

/// Print a shell's completions for this command
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    shell: Shell,
    /// File to write [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Completions {
    /// Prints those of `command`, without what is hidden.
    pub(crate) fn run(&self, command: &Command) -> Exit {
        let visible = command.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
        let mut command = Command::new("weir").version(env!("CARGO_PKG_VERSION")).subcommands(visible);
        let mut text = Vec::new();
        generate(self.shell, &mut command, "weir", &mut text);
        output::write(self.output.as_deref(), &text)
    }
}
