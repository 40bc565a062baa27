//! `weir`: the one binary. Each subcommand has a file of its own; what they print and how they end
//! is the same for all (see `exit` and `terminal`).
//!
//! Nothing here decides a request: that is `weir-policy` alone, here as in the plugin.

mod commands;
mod console;
mod document;
mod follow;
mod proxy;
mod version;

use clap::{CommandFactory, Parser, Subcommand};

use commands::{ca, check, completions, demo, explain, export, filter, init, issuer, man, package, run, schema, up};
use console::exit::Exit;

const OVERVIEW: &str = "\
Examples:
  weir demo                                           see it decide, in a real Envoy
  weir init claude-code --output policy.jsonc         a commented policy to start from
  weir check policy.jsonc                             read a policy as the plugin does
  weir explain --policy policy.jsonc GET https://github.com/
  weir run --policy policy.jsonc --isolate -- claude  run a command under a policy
  weir up --policy policy.jsonc                       run a proxy under a policy, until Ctrl-C
  weir ca init                                        create the CA that TLS inspection needs

A policy is JSON (.json), JSON with comments (.jsonc) or YAML (.yaml, .yml). WEIR_POLICY names the policy where \
--policy does not; none is ever taken from the current folder.

Exit codes: 0 done, allowed; 1 failed; 2 a mistake in a policy or the command line; 3 denied. \
Data goes to standard output, messages to standard error. NO_COLOR is obeyed.";

/// Decides which parts of the internet an AI coding agent may reach
#[derive(Debug, Parser)]
#[command(name = "weir", version = version::short(), long_version = version::long())]
#[command(after_help = OVERVIEW, arg_required_else_help = true, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Init(init::Init),
    Check(check::Check),
    Explain(explain::Explain),
    Up(up::Up),
    Run(run::Run),
    Export(export::Export),
    Build(export::Build),
    Filter(filter::Filter),
    Package(package::Package),
    Ca(ca::Ca),
    Issuer(issuer::Issuer),
    Schema(schema::Schema),
    Completions(completions::Completions),
    Man(man::Man),
    /// What `run --isolate` starts inside the new namespaces
    #[command(hide = true)]
    Isolated(run::Isolated),
}

fn main() -> Exit {
    match Cli::parse().command {
        Command::Demo(demo) => demo.run(),
        Command::Init(init) => init.run(),
        Command::Check(check) => check.run(),
        Command::Explain(explain) => explain.run(),
        Command::Up(up) => up.run(),
        Command::Run(run) => run.run(),
        Command::Isolated(isolated) => run::isolated(isolated),
        Command::Export(export) => export.run(),
        Command::Build(build) => build.run(),
        Command::Filter(filter) => filter.run(),
        Command::Package(package) => package.run(),
        Command::Ca(ca) => ca.run(),
        Command::Issuer(issuer) => issuer.run(),
        Command::Schema(schema) => schema.run(),
        Command::Completions(completions) => completions.run(&Cli::command()),
        Command::Man(man) => man.run(Cli::command()),
    }
}
