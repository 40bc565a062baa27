//! `weir ca` and `weir issuer`.

use std::fs::{self, Permissions};
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use super::{Folder, run, weir};

fn mode(path: &str) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn an_authority_is_made_once_and_exported() {
    let folder = Folder::new();
    let dir = folder.0.join("data/ca").display().to_string();
    let ran = run(&["ca", "init", "--ca", &dir, "--json", "--days", "7"], "");
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let made = ran.json();
    assert_eq!(made["certificate"], format!("{dir}/ca.pem"));
    assert_eq!(made["sha256"].as_str().unwrap().len(), 64);
    assert_eq!((mode(&dir), mode(&format!("{dir}/ca.pem")), mode(&format!("{dir}/ca-key.pem"))), (0o700, 0o644, 0o600));

    // The old name of the flag still works.
    let again = run(&["ca", "init", "--dir", &dir], "");
    assert_eq!(again.code, Some(1));
    assert!(again.stderr.contains("--force"), "{}", again.stderr);

    let exported = run(&["ca", "export", "--ca", &dir], "");
    assert_eq!(exported.stdout, fs::read_to_string(format!("{dir}/ca.pem")).unwrap());
    assert!(!exported.stdout.contains("PRIVATE"));

    let roots = folder.write("roots.pem", "-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----");
    let bundle = weir().args(["ca", "export", "--bundle", "--ca", &dir]).env("SSL_CERT_FILE", roots).output().unwrap();
    let bundle = String::from_utf8(bundle.stdout).unwrap();
    assert!(bundle.starts_with("-----BEGIN CERTIFICATE-----\nYQ==\n-----END CERTIFICATE-----\n-----BEGIN"), "{bundle}");
    assert!(bundle.ends_with(&exported.stdout));
    let file = folder.0.join("exported.pem");
    assert_eq!(run(&["ca", "export", "--ca", &dir, "--output", file.to_str().unwrap()], "").stdout, "");
    assert_eq!(fs::read_to_string(file).unwrap(), exported.stdout);

    let forced = run(&["ca", "init", "--ca", &dir, "--force", "--name-constraint", "example.com"], "");
    assert_eq!((forced.code, forced.stdout.as_str()), (Some(0), ""));
    assert!(forced.stderr.contains("names    example.com\n"), "{}", forced.stderr);
    let widened = run(&["ca", "init", "--ca", &dir, "--force"], "");
    assert_eq!(widened.code, Some(2));
    assert!(widened.stderr.contains("valid for example.com only"), "{}", widened.stderr);
    assert_ne!(run(&["ca", "export", "--ca", &dir], "").stdout, exported.stdout);
}

#[test]
fn mistakes_about_an_authority_say_what_to_do() {
    let folder = Folder::new();
    let dir = folder.0.join("ca").display().to_string();
    let missing = run(&["ca", "export", "--ca", &dir], "");
    assert_eq!((missing.code, missing.stdout.as_str()), (Some(1), ""));
    assert!(missing.stderr.contains(&format!("weir ca init --ca {dir}")), "{}", missing.stderr);

    for constraint in ["*.example.com", "https://a.example", "", "10.0.0.1"] {
        assert_eq!(run(&["ca", "init", "--ca", &dir, "--name-constraint", constraint], "").code, Some(2));
    }
    assert_eq!(run(&["ca", "init", "--ca", &dir, "--days", "0"], "").code, Some(2));

    run(&["ca", "init", "--ca", &dir], "");
    let key = format!("{dir}/ca-key.pem");
    fs::set_permissions(&key, Permissions::from_mode(0o640)).unwrap();
    for arguments in [&["ca", "export", "--ca", &dir][..], &["issuer", "--ca", &dir, "--socket", &format!("{dir}/s")]] {
        let ran = run(arguments, "");
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""));
        assert!(ran.stderr.contains(&format!("chmod 0600 {key}")), "{}", ran.stderr);
    }
}

#[test]
fn an_issuer_serves_until_it_is_stopped() {
    let folder = Folder::new();
    let (dir, socket) = (folder.0.join("ca"), folder.0.join("issuer.sock"));
    let mut command = weir();
    command.arg("issuer").arg("--ca").arg(&dir).arg("--socket").arg(&socket);
    let mut issuer = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(issuer.stderr.take().unwrap()).lines().map(Result::unwrap);
    let greeting = lines.next().unwrap();
    assert!(greeting.starts_with("the issuer is up: "), "{greeting}");
    assert_eq!(mode(&socket.display().to_string()), 0o600);
    UnixStream::connect(&socket).unwrap();

    let second = command.output().unwrap();
    assert_eq!(second.status.code(), Some(1));
    assert!(String::from_utf8(second.stderr).unwrap().contains("another issuer listens"));

    let signal = |name: &str| {
        let pid = issuer.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    };
    signal("-USR1");
    let numbers = lines.next().unwrap();
    assert!(numbers.starts_with("issuer: minted 0 (renewed 0), refused 0, "), "{numbers}");
    signal("-TERM");
    assert_eq!(issuer.wait().unwrap().code(), Some(0));
    assert!(!socket.exists());
}
