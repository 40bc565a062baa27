//! `weir init`: a policy to start from, for an agent and the ecosystems that it works in.
//!
//! It opens no more than what it names, and it never replaces a file unasked.

mod render;
mod template;

use std::fs::File;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use weir_envoy::replace;

use crate::console::exit::Exit;
use crate::console::terminal::{GOOD, STRONG, data, mistake, paint, words};
use crate::document::input::Format;
use template::Template;

const EXAMPLES: &str = "\
Examples:
  weir init claude-code                                   writes weir-policy.jsonc
  weir init claude-code python source-control --output policy.yaml
  weir init --agent codex --ecosystem rust --output policy.json
  weir init generic --output - | weir check -

NAME is an agent (claude-code, codex, generic) or an ecosystem: cloud, containers, dart, dotnet, editors, elixir, go, \
haskell, java, linux, mobile, node, perl, php, python, ruby, rust, schemas, source-control, swift.

The policy allows an agent its own API with every method, and what its ecosystems need for downloads with GET, HEAD \
and OPTIONS; without an ecosystem, the common dependencies. FILE ends in .jsonc, .yaml or .yml, with comments, or in \
.json, without. Read the policy and narrow it before you use it.

Exit code: 0 written; 1 not written, for example because the file exists; 2 a mistake in the command line.";

/// Write a policy to start from, for an agent and its ecosystems
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Init {
    /// Agents and ecosystems, by their names alone
    #[arg(value_name = "NAME", value_parser = template::names(), hide_possible_values = true)]
    names: Vec<String>,
    /// Agent that the policy is for
    #[arg(long, value_name = "NAME", value_parser = template::agent_names())]
    agent: Option<String>,
    /// Ecosystem that the agent works in; can be repeated
    #[arg(long, value_name = "NAME", value_parser = template::ecosystem_names(), hide_possible_values = true)]
    ecosystem: Vec<String>,
    /// File to write, in the format of its ending; - prints it
    #[arg(long, short, value_name = "FILE", default_value = "weir-policy.jsonc")]
    output: PathBuf,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
}

impl Init {
    pub(crate) fn run(&self) -> Exit {
        let names = self.agent.iter().chain(&self.ecosystem).chain(&self.names);
        let template = match Template::of(names.map(String::as_str)) {
            Ok(template) => template,
            Err(wrong) => {
                mistake(wrong);
                return Exit::Mistake;
            }
        };
        if self.output == Path::new("-") {
            data(render::render(&template, Format::Jsonc).trim_end());
            return Exit::Success;
        }
        let Some(format) = Format::of(&self.output) else {
            mistake(format_args!("{}: name a file that ends in .jsonc, .json, .yaml or .yml", self.output.display()));
            return Exit::Mistake;
        };
        match self.write(&render::render(&template, format)) {
            Ok(()) => self.tell(&template),
            Err(error) => {
                mistake(error);
                return Exit::Failure;
            }
        }
        Exit::Success
    }

    fn write(&self, policy: &str) -> Result<(), String> {
        let path = self.output.display();
        if self.force {
            return replace(&self.output, policy.as_bytes()).map_err(|error| error.to_string());
        }
        let created = File::create_new(&self.output).and_then(|mut file| file.write_all(policy.as_bytes()));
        created.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => format!("{path} exists; --force replaces it"),
            _ => format!("cannot write {path}: {error}"),
        })
    }

    fn tell(&self, template: &Template) {
        let path = self.output.display();
        words(format_args!("{} {path}", paint(GOOD, "written:")));
        words("next, read it, narrow it, and run your agent under it:");
        words(paint(STRONG, format_args!("  weir check {path}")));
        words(paint(STRONG, format_args!("  weir run --policy {path} --isolate -- {}", template.command())));
    }
}
