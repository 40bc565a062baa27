//! `weir`: the one binary. Each subcommand has a file of its own; what they print and how they end
//! is the same for all (see `exit` and `terminal`).
//!
//! Nothing here decides a request: that is `weir-policy` alone, here as in the plugin.

mod commands;
mod console;
mod document;
mod follow;
mod proxy;

use clap::{Parser, Subcommand};

use commands::{ca, check, demo, explain, export, filter, issuer, package, run, up};
use console::exit::Exit;

const OVERVIEW: &str = "\
Examples:
  weir demo                                           see it decide, in a real Envoy
  weir check policy.json                              read a policy as the plugin does
  weir explain --policy policy.json GET http://github.com/
  weir run --policy policy.json -- npm test           a command with the internet that it allows
  weir up --policy policy.json                        a proxy with this policy, until Ctrl-C
  weir ca init                                        the authority that TLS inspection needs

Exit codes: 0 done, allowed; 1 failed; 2 a mistake in a policy or the command line; 3 denied.
Data is printed to standard output, words to standard error. NO_COLOR is obeyed.";

/// Decides which parts of the internet an AI coding agent may reach
#[derive(Debug, Parser)]
#[command(name = "weir", version, after_help = OVERVIEW, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
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
    /// What `run --isolate` starts inside the new namespaces
    #[command(hide = true)]
    Isolated(run::Isolated),
}

fn main() -> Exit {
    match Cli::parse().command {
        Command::Demo(demo) => demo.run(),
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
    }
}
