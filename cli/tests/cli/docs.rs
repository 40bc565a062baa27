//! The pages of the repository: their links resolve, the commands, flags, recipes and files that they name exist, and
//! their lines fit. These tests do not check the prose.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::run;

/// Folders of the repository: code that begins with one of these names a file in it.
const FOLDERS: [&str; 12] = [
    "bench/",
    "cli/",
    "docs/",
    "envoy/",
    "examples/",
    "filter/",
    "issuer/",
    "module/",
    "policy/",
    "presets/",
    "tests/",
    ".ci/",
];
/// The longest line, in characters. A row of a table cannot be broken, so it may be longer.
const LONGEST: usize = 120;
/// The README is one screen a section, and no more sections than this takes.
const README_LINES: usize = 130;

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let (mut broken, mut seen) = (Vec::new(), 0);
    for page in pages() {
        for line in &page.prose {
            for target in links(&without_code(line)) {
                if target.contains("://") {
                    continue;
                }
                seen += 1;
                let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
                let file = if path.is_empty() { page.file.clone() } else { page.folder().join(path) };
                let found = match fs::metadata(&file) {
                    Err(_) => false,
                    Ok(_) if anchor.is_empty() => true,
                    Ok(_) => anchors(&Page::read(file)).contains(anchor),
                };
                if !found {
                    broken.push(format!("{}: {target}", page.name()));
                }
            }
        }
    }
    assert!(seen > 20, "only {seen} links were found");
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_file_of_the_repository_that_a_page_names_exists() {
    let (mut missing, mut seen) = (Vec::new(), 0);
    for page in pages() {
        for code in page.prose.iter().flat_map(|line| code_spans(line)) {
            if !FOLDERS.iter().any(|folder| code.starts_with(folder)) || code.contains([' ', '*', '{']) {
                continue;
            }
            seen += 1;
            if !root().join(code.trim_end_matches(':')).exists() {
                missing.push(format!("{}: {code}", page.name()));
            }
        }
    }
    assert!(seen > 20, "only {seen} files were found");
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_command_and_flag_that_a_page_names_is_in_the_help() {
    let mut commands = BTreeSet::new();
    for page in pages() {
        let spans = page.prose.iter().flat_map(|line| code_spans(line)).filter_map(|code| command(&code, false));
        let lines = page.code.iter().filter_map(|(line, typed)| command(line, *typed));
        commands.extend(spans.chain(lines).map(|words| (page.name(), words)));
    }
    assert!(commands.len() > 40, "only {} commands were found", commands.len());
    let mut wrong = Vec::new();
    for (page, words) in commands {
        let names = words.iter().take(if words.first().is_some_and(|word| word == "ca") { 2 } else { 1 });
        let names: Vec<&str> = names.map(String::as_str).filter(|name| !name.starts_with('-')).collect();
        let help = run(&[&names[..], &["--help"]].concat(), "");
        let flags: BTreeSet<&str> = help.stdout.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).collect();
        if help.code != Some(0) {
            wrong.push(format!("{page}: weir {}: no such command", names.join(" ")));
        }
        for flag in words.iter().filter_map(|word| word.split('=').next()).filter(|word| word.starts_with("--")) {
            if !flags.contains(flag) {
                wrong.push(format!("{page}: weir {}: no flag {flag}", names.join(" ")));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_recipe_that_a_page_names_is_in_the_justfile() {
    let justfile = fs::read_to_string(root().join("justfile")).expect("the justfile");
    let recipes: BTreeSet<&str> = justfile
        .lines()
        .filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()) && line.contains(':'))
        .filter_map(|line| line.split([' ', ':']).next())
        .collect();
    assert!(recipes.contains("demo"), "{recipes:?}");
    let mut missing = Vec::new();
    for page in pages() {
        for code in page.prose.iter().flat_map(|line| code_spans(line)) {
            if let Some(recipe) = code.strip_prefix("just ").and_then(|rest| rest.split(' ').next())
                && !recipes.contains(recipe)
            {
                missing.push(format!("{}: {code}", page.name()));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_line_fits() {
    let mut long = Vec::new();
    for page in pages() {
        let text = fs::read_to_string(&page.file).expect("a page");
        for (number, line) in (1..).zip(text.lines()) {
            if line.chars().count() > LONGEST && !line.trim_start().starts_with('|') {
                long.push(format!("{}:{number}", page.name()));
            }
        }
        if page.name() == "README.md" && text.lines().count() > README_LINES {
            long.push(format!("README.md: {} lines, at most {README_LINES}", text.lines().count()));
        }
    }
    assert!(long.is_empty(), "longer than {LONGEST} characters: {long:#?}");
}

/// A page, its prose and its code blocks apart.
struct Page {
    file: PathBuf,
    prose: Vec<String>,
    /// Each line of a block, and whether it is typed: a line of a shell block, or one after a prompt.
    code: Vec<(String, bool)>,
}

impl Page {
    fn read(file: PathBuf) -> Page {
        let text = fs::read_to_string(&file).expect("a page").replace("\\\n", " ");
        let (mut prose, mut code, mut block) = (Vec::new(), Vec::new(), None);
        for line in text.lines() {
            let bare = line.trim_start();
            if let Some(language) = bare.strip_prefix("```") {
                block = if block.is_none() { Some(language) } else { None };
            } else if let Some(language) = block {
                // A console's output is not a command, even if it begins with the name of one.
                match bare.strip_prefix("$ ") {
                    Some(typed) => code.push((typed.to_owned(), true)),
                    None if language == "console" => {}
                    None => code.push((bare.to_owned(), language == "sh")),
                }
            } else {
                prose.push(line.to_owned());
            }
        }
        assert!(block.is_none(), "{}: a code block does not end", file.display());
        Page { file, prose, code }
    }

    fn folder(&self) -> &Path {
        self.file.parent().expect("a folder")
    }

    fn name(&self) -> String {
        self.file.strip_prefix(root()).unwrap_or(&self.file).display().to_string()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository")
}

/// The Markdown of the root, of `docs/` and of `examples/`, with the folders in them.
fn pages() -> Vec<Page> {
    let mut files = markdown_of(root());
    let mut folders = vec![root().join("docs"), root().join("examples")];
    while let Some(folder) = folders.pop() {
        files.extend(markdown_of(&folder));
        folders.extend(entries(&folder).into_iter().filter(|path| path.is_dir()));
    }
    let pages: Vec<Page> = files.into_iter().map(Page::read).collect();
    assert!(pages.len() > 20, "only {} pages", pages.len());
    pages
}

fn markdown_of(folder: &Path) -> Vec<PathBuf> {
    entries(folder).into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect()
}

/// The text between backquotes.
fn code_spans(line: &str) -> Vec<String> {
    line.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn without_code(line: &str) -> String {
    // The text of a link may be code, its target is none.
    line.split('`').step_by(2).collect()
}

/// The targets of `[text](target)`.
fn links(line: &str) -> Vec<String> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next()).map(str::to_owned).collect()
}

/// GitHub's anchors of a page's headings: lower case, spaces as hyphens, no punctuation.
fn anchors(page: &Page) -> BTreeSet<String> {
    let headings = page.prose.iter().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let heading = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
            heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
        })
        .collect()
}

/// The words after `weir` if a line calls it. In a typed line it may come later, after `setpriv` for example; elsewhere
/// the line has to begin with it.
fn command(line: &str, typed: bool) -> Option<Vec<String>> {
    let line = line.replace("cargo run -q -- ", "weir ").replace("cargo run -- ", "weir ");
    let line = line.split('#').next().unwrap_or_default();
    let mut words = line.split([' ', '(', ')']).filter(|word| !word.is_empty());
    let first = if typed { words.find(|word| *word == "weir") } else { words.next().filter(|word| *word == "weir") };
    first?;
    let ends = |word: &&str| !matches!(*word, "--" | "|" | ">" | ">>" | "&&" | "&" | ";" | "}");
    let words: Vec<String> = words.take_while(ends).map(|word| word.trim_end_matches(';').to_owned()).collect();
    let called = words.first().is_some_and(|word| word.starts_with(|c: char| c.is_ascii_lowercase()));
    called.then_some(words)
}
