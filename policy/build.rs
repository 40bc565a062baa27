//! Embeds `presets/` into the crate, and fails the build on a line that a policy could not hold.

#[path = "src/authority.rs"]
#[expect(dead_code, unreachable_pub, reason = "a module of the crate, of which patterns need a part")]
mod authority;
#[path = "src/labels.rs"]
mod labels;
#[path = "src/pattern.rs"]
#[expect(dead_code, unreachable_pub, reason = "a module of the crate, of which the parser is needed")]
mod pattern;

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// Words of the policy document that a preset cannot be called by.
const RESERVED: &[&str] = &["none", "all", "allowlist", "denylist"];

fn main() -> Result<(), Box<dyn Error>> {
    let presets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../presets");
    let mut found = BTreeMap::new();
    for folder in [presets.clone(), presets.join("ecosystems")] {
        println!("cargo::rerun-if-changed={}", folder.display());
        for file in text_files(&folder)? {
            println!("cargo::rerun-if-changed={}", file.display());
            let name =
                file.file_stem().and_then(|stem| stem.to_str()).ok_or("a preset's name must be UTF-8")?.to_owned();
            if RESERVED.contains(&name.as_str()) || found.insert(name.clone(), domains(&file)?).is_some() {
                return Err(format!("{}: a preset cannot be called {name:?}", file.display()).into());
            }
        }
    }

    let mut code = String::from("pub(crate) const PRESETS: &[Preset] = &[\n");
    for (name, domains) in &found {
        writeln!(code, "    Preset {{ name: {name:?}, domains: &{domains:?} }},")?;
    }
    code.push_str("];\n");
    fs::write(PathBuf::from(env::var("OUT_DIR")?).join("presets.rs"), code)?;
    Ok(())
}

fn text_files(folder: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "txt") {
            files.push(path);
        }
    }
    Ok(files)
}

/// The domains of one preset, in its order.
fn domains(file: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut domains = Vec::new();
    for (index, line) in fs::read_to_string(file)?.lines().enumerate() {
        let domain = line.split('#').next().unwrap_or_default().trim();
        if domain.is_empty() {
            continue;
        }
        let place = format!("{}:{}", file.display(), index + 1);
        match pattern::Pattern::parse(domain) {
            Ok(pattern::Pattern::Domain { name, .. }) if name.is_ascii() => {}
            Ok(pattern::Pattern::Address(_) | pattern::Pattern::Domain { .. }) => {
                return Err(format!("{place}: a preset holds domains alone").into());
            }
            Err(error) => return Err(format!("{place}: {error}").into()),
        }
        if domains.iter().any(|earlier| earlier == domain) {
            return Err(format!("{place}: {domain} stands here twice").into());
        }
        domains.push(domain.to_owned());
    }
    Ok(domains)
}
