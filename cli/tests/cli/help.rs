//! What `--help` promises.

use super::run;

#[test]
fn every_subcommand_has_help_with_examples_and_exit_codes() {
    for command in ["demo", "check", "explain", "up", "run", "build", "filter", "package", "ca", "issuer"] {
        let ran = run(&[command, "--help"], "");
        assert_eq!(ran.code, Some(0), "{command}");
        assert!(ran.stdout.contains(&format!("Examples:\n  weir {command}")) || command == "explain", "{command}");
        assert!(
            ran.stdout.contains(&format!("  weir {command} ")) || ran.stdout.contains(&format!("  weir {command}\n")),
            "{command}"
        );
        assert!(ran.stdout.contains("Exit code: "), "{command}");
        assert!(!ran.stdout.contains('\u{1b}'), "{command}");
        let wide: Vec<&str> = ran.stdout.lines().filter(|line| line.chars().count() > 118).collect();
        assert!(wide.is_empty(), "{wide:?}");
    }
    let ran = run(&["--help"], "");
    assert!(ran.stdout.contains("Exit codes: 0"));
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
