//! Writes the configurations in `envoy/`, or compares them with their parts: `--check`.

use std::env;
use std::process::ExitCode;

use weir_configs::{Error, REPAIR, differences, write};

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let result = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => update(),
        ["--check"] => differences(),
        _ => {
            eprintln!("usage: configs [--check]");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(differences) if differences.is_empty() => ExitCode::SUCCESS,
        Ok(differences) => {
            eprintln!("{}\n{REPAIR}", differences.join("\n"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

/// Writes the files, and prints their names. No difference is left.
fn update() -> Result<Vec<String>, Error> {
    for path in write()? {
        println!("envoy/{}", path.display());
    }
    Ok(Vec::new())
}
