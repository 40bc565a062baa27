//! `weir schema`: the JSON Schema of a policy, for editors.

use std::path::PathBuf;

use clap::Args;

use crate::console::exit::Exit;
use crate::console::output;

const EXAMPLES: &str = "\
Examples:
  weir schema > weir-policy.schema.json
  weir schema --output weir-policy.schema.json

Name the file in the policy, as \"$schema\": \"./weir-policy.schema.json\", or in the settings of an editor. The plugin \
ignores \"$schema\". The schema knows less than `weir check`, which reads a policy as the plugin does.

Exit code: 0 written, 1 not written, 2 a mistake in the command line.";

/// Print the JSON Schema of a policy, for completion and checks in an editor
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Schema {
    /// File to write [default: standard output]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Schema {
    pub(crate) fn run(&self) -> Exit {
        let schema = format!("{:#}\n", weir_policy::json_schema());
        output::write(self.output.as_deref(), schema.as_bytes())
    }
}
