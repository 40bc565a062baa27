//! `--setup`: the setup has the whole internet, the command has the policy, and nothing of the setup's access remains.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::Stdio;
use std::thread;

use super::{Folder, Origin, Ran, is_running, left_over, run, shell, status, wait_for};

const OFF: &str = r#"{"internet_access": "off"}"#;

fn ways() -> [&'static [&'static str]; 2] {
    // If the kernel has no namespaces, the tests of `isolate` report it.
    [&[], &["--isolate"]]
}

#[test]
fn the_setup_has_more_than_the_command() {
    for way in ways() {
        let (origin, folder) = (Origin::start(), Folder::new());
        let script = status(&format!("http://{}/", origin.address));
        let setup = format!("echo setup; touch {}/made; {}", folder.0.display(), script);
        let arguments = [&["--setup", setup.as_str()][..], way].concat();
        let ran = shell(&folder, OFF, &arguments, &format!("echo command; ls {}/made; {script}", folder.0.display()));
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let lines: Vec<&str> = ran.stdout.lines().collect();
        assert_eq!((lines[0], lines[2]), ("setup", "command"), "{}", ran.stderr);
        assert_eq!(lines[1], "204", "{}", ran.stderr);
        assert_eq!(lines[4], "403", "{}", ran.stderr);
        assert!(ran.stderr.contains("setup: 1 request through the proxy: 127.0.0.2"), "{}", ran.stderr);
        assert_eq!(origin.received().len(), 1);
        assert_eq!(left_over(&folder), 0);
    }
}

#[test]
fn a_setup_that_fails_ends_the_run() {
    let folder = Folder::new();
    let ran = shell(&folder, OFF, &["--setup", "exit 9"], "echo command");
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(9), ""), "{}", ran.stderr);
    assert!(ran.stderr.contains("the setup ended with 9, so the command is not started"), "{}", ran.stderr);
}

/// The command's proxy is started from the same files, by the same user.
#[test]
fn a_setup_cannot_put_its_own_envoy_or_plugin_in_place() {
    for name in ["envoy", "weir.wasm"] {
        let folder = Folder::new();
        let (envoy, plugin) = (folder.0.join("envoy"), folder.0.join("weir.wasm"));
        std::os::unix::fs::symlink(weir_envoy::Binary::find().unwrap().path(), &envoy).unwrap();
        std::fs::copy(weir_tests::proxy::plugin_file(), &plugin).unwrap();
        let place = folder.0.join(name).display().to_string();
        let setup = format!("echo '#!/bin/sh' > {place}.new; chmod +x {place}.new; mv {place}.new {place}");
        let mut command = run(&folder, OFF, &["--setup", &setup]);
        command.env("WEIR_ENVOY", &envoy).env("WEIR_PLUGIN", &plugin).args(["--", "echo", "command"]);
        let ran = Ran::from(command.output().unwrap());
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(1), ""), "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains("Envoy or the plugin was changed while the setup ran"), "{name}: {}", ran.stderr);
        assert_eq!(left_over(&folder), 0);
    }
}

#[test]
fn no_process_of_the_setup_lives_on() {
    for way in ways() {
        let folder = Folder::new();
        let pids = folder.0.join("pids").display().to_string();
        // In the background, in a session of its own, and twice forked with its standard streams closed.
        let setup = format!(
            "sleep 1000 & setsid sleep 1000 & (setsid sh -c 'sh -c \"exec sleep 1000\" <&- >&- 2>&- &' &) ; \
             sleep 0.3; ps -e -o pid=,args= | grep '[s]leep 1000' | grep -v sh > {pids}; wc -l < {pids}"
        );
        let arguments = [&["--setup", setup.as_str()][..], way].concat();
        let ran = shell(&folder, OFF, &arguments, "ps -e -o args= | grep -c '^sleep 1000' || true");
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let lines: Vec<&str> = ran.stdout.split_whitespace().collect();
        assert_eq!(lines, ["3", "0"], "{way:?}: {}", ran.stderr);
    }
}

/// A client that opens a connection through the setup's proxy and tries to keep using it.
#[test]
fn no_connection_or_tunnel_of_the_setup_lives_on() {
    let folder = Folder::new();
    let listener = TcpListener::bind("127.0.0.2:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let ended = thread::spawn(move || {
        // One plain connection and one tunnel; each is read until its end.
        let mut readers = Vec::new();
        for stream in listener.incoming().flatten().take(2) {
            readers.push(thread::spawn(move || {
                let (mut stream, mut all) = (stream, Vec::new());
                let mut piece = [0; 1024];
                loop {
                    match stream.read(&mut piece) {
                        Ok(0) | Err(_) => return String::from_utf8_lossy(&all).into_owned(),
                        Ok(length) => {
                            all.extend_from_slice(&piece[..length]);
                            if all.starts_with(b"GET ") && all.ends_with(b"\r\n\r\n") {
                                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
                            } else if all == b"in the tunnel\n" {
                                let _ = stream.write_all(b"arrived\n");
                            }
                        }
                    }
                }
            }));
        }
        readers.into_iter().map(|reader| reader.join().unwrap()).collect::<Vec<_>>()
    });
    let client = format!(
        r#"
port=${{http_proxy##*:}}
exec 7<>/dev/tcp/127.0.0.1/$port
printf 'GET http://127.0.0.2:{port}/kept HTTP/1.1\r\nhost: 127.0.0.2:{port}\r\n\r\n' >&7
read -r line <&7; echo "$line"
exec 8<>/dev/tcp/127.0.0.1/$port
printf 'CONNECT 127.0.0.2:{port} HTTP/1.1\r\nhost: 127.0.0.2:{port}\r\n\r\n' >&8
read -r line <&8; echo "$line"
printf 'in the tunnel\n' >&8
while read -r line <&8 && [ "$line" != arrived ]; do :; done
(trap '' HUP TERM PIPE; setsid bash -c 'while sleep 0.1; do printf more >&8; done' &)
"#
    );
    let script = folder.write("setup.sh", &client);
    let setup = format!("bash {script}");
    let mut command = run(&folder, OFF, &["--setup", &setup]);
    let (ready, go) = (folder.0.join("ready"), folder.0.join("go"));
    let script = format!("touch {}; while ! test -e {}; do sleep 0.05; done; exit 3", ready.display(), go.display());
    command.args(["--", "sh", "-c", &script]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("the command", || ready.exists());
    // The command runs, and both connections have ended already.
    wait_for("the end of the connections", || ended.is_finished());
    assert!(is_running(child.id()));
    std::fs::write(go, "").unwrap();
    let got = ended.join().unwrap();
    assert!(got[0].starts_with("GET /kept HTTP/1.1") && !got[0].contains("more"), "{got:?}");
    assert!(got[1].starts_with("in the tunnel"), "{got:?}");
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert!(ran.stdout.starts_with("HTTP/1.1 200"), "{}", ran.stdout);
    assert!(ran.stderr.contains("left in the background, ended"), "{}", ran.stderr);
}
