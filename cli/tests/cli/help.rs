//! What `--help` promises.

use super::{COMMANDS, run};

#[test]
fn every_subcommand_has_help_with_examples_and_exit_codes() {
    for command in COMMANDS.into_iter().chain(["ca init", "ca export"]) {
        let words: Vec<&str> = command.split(' ').collect();
        let ran = run(&[&words[..], &["--help"]].concat(), "");
        assert_eq!(ran.code, Some(0), "{command}");
        assert!(ran.stdout.contains("Examples:\n"), "{command}");
        assert!(
            ran.stdout.contains(&format!("  weir {command} ")) || ran.stdout.contains(&format!("  weir {command}\n")),
            "{command}"
        );
        assert!(ran.stdout.contains("\nExit code: "), "{command}");
        assert!(!ran.stdout.contains('\u{1b}'), "{command}");
        let wide: Vec<&str> = ran.stdout.lines().filter(|line| line.chars().count() > 118).collect();
        assert!(wide.is_empty(), "{wide:?}");
    }
    let ran = run(&["--help"], "");
    assert!(ran.stdout.contains("Exit codes: 0"));
}

#[test]
fn flags_are_named_alike() {
    for (command, flags) in [
        ("explain", &["-p, --policy <FILE>"][..]),
        ("check", &["-p, --policy <FILE>"]),
        ("up", &["-p, --policy <FILE>", "--ca <DIR>"]),
        ("run", &["-p, --policy <FILE>"]),
        ("filter", &["-p, --policy <FILE>", "-o, --output <DIR>"]),
        ("issuer", &["--ca <DIR>"]),
        ("export", &["-o, --output <DIR>"]),
        ("build", &["-o, --output <DIR>"]),
        ("package", &["-o, --output <DIR>"]),
        ("init", &["-o, --output <FILE>"]),
        ("schema", &["-o, --output <FILE>"]),
        ("completions", &["-o, --output <FILE>"]),
        ("man", &["-o, --output <DIR>"]),
    ] {
        let help = run(&[command, "--help"], "").stdout;
        for flag in flags {
            assert!(help.contains(flag), "{command}: {flag}");
        }
        assert!(!help.contains("--out ") && !help.contains("--dir "), "{command}: an old name is shown");
    }
}

#[test]
fn a_mistake_in_the_command_line_is_2() {
    for arguments in [
        &[][..],
        &["chekc"],
        &["check"],
        &["explain", "GET", "http://a/"],
        &["up", "--policy", "x", "--listen", "3128"],
    ] {
        let ran = run(arguments, "");
        assert_eq!(ran.code, Some(2), "{arguments:?}");
        assert_eq!(ran.stdout, "", "{arguments:?}");
    }
}
