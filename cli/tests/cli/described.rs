//! What describes the command line and the policy for other programs: `weir schema`, `weir completions`, `weir man`.

use std::fs;

use super::{COMMANDS, Folder, run};

#[test]
fn the_schema_is_printed_or_written() {
    let folder = Folder::new();
    let ran = run(&["schema"], "");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert_eq!(ran.json(), weir_policy::json_schema());
    let file = folder.0.join("schema.json");
    let written = run(&["schema", "--output", file.to_str().unwrap()], "");
    assert_eq!((written.code, written.stdout.as_str()), (Some(0), ""));
    assert_eq!(fs::read_to_string(file).unwrap(), ran.stdout);
    assert_eq!(run(&["schema", "-o", "/nonexistent/schema.json"], "").code, Some(1));
}

#[test]
fn completions_know_the_commands_and_nothing_hidden() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = run(&["completions", shell], "");
        assert_eq!(ran.code, Some(0), "{shell}");
        for command in COMMANDS {
            assert!(ran.stdout.contains(command), "{shell}: {command}");
        }
        assert!(!ran.stdout.contains("isolated"), "{shell}");
    }
    let ran = run(&["completions", "csh"], "");
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("possible values: bash"), "{}", ran.stderr);
}

#[test]
fn there_is_a_page_for_each_command() {
    let folder = Folder::new();
    let ran = run(&["man"], "");
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    assert!(ran.stdout.contains(".TH weir 1"), "{}", ran.stdout);
    let pages = folder.0.join("man/man1");
    assert_eq!(run(&["man", "--output", pages.to_str().unwrap()], "").code, Some(0));
    for command in COMMANDS {
        let page = fs::read_to_string(pages.join(format!("weir-{command}.1"))).expect(command);
        assert!(page.contains("Exit code"), "{command}: {page}");
    }
    assert!(pages.join("weir.1").exists() && pages.join("weir-ca-init.1").exists());
    assert!(!pages.join("weir-isolated.1").exists());
    assert_eq!(run(&["man", "--output", "/proc/weir"], "").code, Some(1));
    // A link in the folder is replaced, and what it leads to stays as it is.
    let theirs = folder.0.join("theirs");
    fs::write(&theirs, "theirs").unwrap();
    fs::remove_file(pages.join("weir.1")).unwrap();
    std::os::unix::fs::symlink(&theirs, pages.join("weir.1")).unwrap();
    assert_eq!(run(&["man", "--output", pages.to_str().unwrap()], "").code, Some(0));
    assert!(fs::symlink_metadata(pages.join("weir.1")).unwrap().is_file());
    assert_eq!(fs::read_to_string(&theirs).unwrap(), "theirs");
}
