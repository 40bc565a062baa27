//! `--isolate`, attacked from inside. Every attack also runs without it and must then succeed: an attack that cannot
//! work proves nothing.
//!
//! The attacker (`attacker.rs`) is this test binary, which `weir run` runs as the command.

use std::env;
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use super::attacker::{HOST_NETWORK, TARGETS};
use super::{Folder, Origin, Ran, policy, run, shell, status};

/// The targets that the command must not reach, with counts of the connections that they got.
struct Outside {
    reached: Arc<AtomicU32>,
    targets: String,
}

impl Outside {
    fn start(folder: &Folder) -> Outside {
        let reached = Arc::new(AtomicU32::new(0));
        let mut targets = String::new();
        let mut add = |name: &str, value: &str| targets.extend([name, "=", value, "\n"]);
        let public = own_address();
        for (name, address) in [("loopback", "127.0.0.1"), ("address", public.as_str()), ("v6", "::1")] {
            let Ok(listener) = TcpListener::bind((address, 0)) else {
                eprintln!("left out: nothing can listen at {address} here");
                continue;
            };
            add(name, &listener.local_addr().unwrap().to_string());
            count(&reached, move || listener.accept().is_ok());
        }
        // Port 53 if it is free; any port will do in a network without a way out.
        let udp = UdpSocket::bind((public.as_str(), 53)).or_else(|_| UdpSocket::bind((public.as_str(), 0))).unwrap();
        add("udp", &udp.local_addr().unwrap().to_string());
        count(&reached, move || {
            let mut query = [0; 64];
            let Ok((_, from)) = udp.recv_from(&mut query) else { return false };
            udp.send_to(b"answer", from).is_ok()
        });
        let name = format!("weir-test-{}", folder.0.display());
        let listener = UnixListener::bind_addr(&UnixAddr::from_abstract_name(&name).unwrap()).unwrap();
        add("abstract", &name);
        count(&reached, move || listener.accept().is_ok());
        let path = folder.0.join("engine.sock");
        let listener = UnixListener::bind(&path).unwrap();
        add("socket", path.to_str().unwrap());
        count(&reached, move || listener.accept().is_ok());
        let inherited = TcpListener::bind("127.0.0.1:0").unwrap();
        add("inherited", &inherited.local_addr().unwrap().port().to_string());
        thread::spawn(move || inherited.incoming().flatten().collect::<Vec<_>>());
        add("temporary", folder.0.join("temporary").to_str().unwrap());
        Outside { reached, targets }
    }

    fn reached(&self) -> u32 {
        // Datagrams may still be on their way.
        thread::sleep(Duration::from_millis(200));
        self.reached.swap(0, Ordering::SeqCst)
    }
}

fn count(reached: &Arc<AtomicU32>, came: impl Fn() -> bool + Send + 'static) {
    let reached = Arc::clone(reached);
    thread::spawn(move || {
        while came() {
            reached.fetch_add(1, Ordering::SeqCst);
        }
    });
}

/// The address of this machine in its network; loopback if it has none.
fn own_address() -> String {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // This sends nothing: it only queries the routing table.
    let _ = socket.connect("192.0.2.1:53");
    let address = socket.local_addr().unwrap().ip();
    if address.is_unspecified() { "127.0.0.3".to_owned() } else { address.to_string() }
}

/// Runs every attack and returns the result of each: `out` or a reason.
fn attack(folder: &Folder, outside: &Outside, before: &[&str], arguments: &[&str]) -> Vec<(String, String)> {
    let weir = run(folder, &policy(""), arguments);
    // With an open connection.
    let mut command = Command::new("bash");
    let port = outside.targets.lines().find_map(|line| line.strip_prefix("inherited=")).unwrap();
    command.args(["-c", &format!("exec 9<>/dev/tcp/127.0.0.1/{port}; exec \"$@\""), "bash"]);
    let command = command.args(before).arg(weir.get_program()).args(weir.get_args());
    for (name, value) in weir.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    let attacker = env::current_exe().unwrap();
    let ran = command
        .arg("--")
        .arg(attacker)
        .args(["--exact", "run::attacker::attacker", "--ignored", "--nocapture"])
        .env(TARGETS, &outside.targets)
        .env(HOST_NETWORK, fs::read_link("/proc/self/ns/net").unwrap())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let ran = Ran::from(ran);
    assert_eq!(ran.code, Some(0), "{}\n{}", ran.stdout, ran.stderr);
    let came = ran.stdout.lines().filter_map(|line| line.split_once("attack ")?.1.split_once(": "));
    let came: Vec<_> = came.map(|(attack, outcome)| (attack.to_owned(), outcome.to_owned())).collect();
    assert!(came.len() > 10, "{}\n{}", ran.stdout, ran.stderr);
    came
}

/// The names of the attacks that led out.
fn out(came: &[(String, String)]) -> Vec<&str> {
    came.iter().filter(|(_, outcome)| outcome == "out").map(|(attack, _)| attack.as_str()).collect()
}

/// Whether this kernel lets this user isolate; reports it if not.
fn is_possible() -> bool {
    let folder = Folder::new();
    let ran = shell(&folder, "{}", &["--isolate"], "exit 33");
    if ran.code != Some(33) {
        eprintln!("skipped: --isolate is not possible here, so nothing is shown of it:\n{}", ran.stderr);
    }
    ran.code == Some(33)
}

#[test]
fn nothing_leads_out() {
    let folder = Folder::new();
    let outside = Outside::start(&folder);
    let free = attack(&folder, &outside, &[], &[]);
    // Attacks on namespaces prove nothing without them, and those on the kernel need root.
    for expected in
        ["loopback", "address", "udp", "abstract", "socket", "admin", "policy", "parent", "an open descriptor"]
    {
        assert!(out(&free).contains(&expected), "{expected} does not even work without --isolate: {free:?}");
    }
    assert!(outside.reached() >= 5);
    if !is_possible() {
        return;
    }
    let came = attack(&folder, &outside, &[], &["--isolate"]);
    assert_eq!(out(&came), ["the proxy"], "{came:?}");
    assert_eq!(outside.reached(), 0);
}

#[test]
fn nothing_leads_out_of_a_user_namespace_either() {
    let folder = Folder::new();
    let outside = Outside::start(&folder);
    // The capabilities of a container's root or of an ordinary user.
    let setpriv = ["setpriv", "--bounding-set", "-all,+dac_override,+setfcap", "--inh-caps", "-all"];
    let probe = Command::new("setpriv").args(["--bounding-set", "-all,+setfcap", "unshare", "-Urn", "true"]).status();
    if !probe.is_ok_and(|status| status.success()) {
        eprintln!("skipped: no setpriv(1), no root or no user namespaces here; other users' runs show the same");
        return;
    }
    let came = attack(&folder, &outside, &setpriv, &["--isolate"]);
    assert_eq!(out(&came), ["the proxy"], "{came:?}");
    assert_eq!(outside.reached(), 0);
}

/// User 0 keeps capabilities over an exec that others lose, so the tests try the others too.
#[test]
fn an_ordinary_user_is_isolated_as_well() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        eprintln!("skipped: this is an ordinary user, and the other tests show it");
        return;
    }
    let folder = Folder::new();
    let plugin = weir_tests::proxy::plugin_file();
    for (from, to) in [(weir_envoy::Binary::find().unwrap().path(), "envoy"), (&plugin, "weir.wasm")] {
        let to = folder.0.join(to);
        // No link, which changes the file: other tests have a setup that must not see that.
        fs::copy(from, &to).unwrap();
    }
    fs::create_dir_all(folder.0.join("temporary")).unwrap();
    let outside = Outside::start(&folder);
    for path in [folder.0.clone(), folder.0.join("temporary")] {
        chown(path, Some(65534), Some(65534)).unwrap();
    }
    let (envoy, plugin) = (folder.0.join("envoy"), folder.0.join("weir.wasm"));
    let (envoy, plugin) = (format!("WEIR_ENVOY={}", envoy.display()), format!("WEIR_PLUGIN={}", plugin.display()));
    let setpriv = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let reaches = |path: &std::path::Path| {
        Command::new("setpriv").args(&setpriv[1..]).args(["test", "-x"]).arg(path).status().is_ok_and(|it| it.success())
    };
    if !reaches(&env::current_exe().unwrap()) || !reaches(&folder.0) {
        eprintln!("skipped: another user cannot reach {}, or there is no setpriv(1)", folder.0.display());
        return;
    }
    let before = [&setpriv[..], &["env", "HOME=/", &envoy, &plugin]].concat();
    let came = attack(&folder, &outside, &before, &["--isolate"]);
    assert_eq!(out(&came), ["the proxy"], "{came:?}");
    assert_eq!(outside.reached(), 0);
}

#[test]
fn where_the_kernel_refuses_nothing_is_started() {
    let folder = Folder::new();
    let mark = folder.0.join("mark");
    let weir = run(&folder, "{}", &["--isolate"]);
    let mut command = Command::new("unshare");
    let script = "echo 0 > /proc/sys/user/max_user_namespaces; exec setpriv --bounding-set -all,+dac_override,+setfcap --inh-caps -all \"$@\"";
    command.args(["-Ur", "sh", "-c", script, "sh"]).arg(weir.get_program()).args(weir.get_args());
    command.args(["--", "touch"]).arg(&mark).stdin(Stdio::null());
    let Ok(output) = command.output() else {
        eprintln!("skipped: there is no unshare(1)");
        return;
    };
    let ran = Ran::from(output);
    if ran.stderr.contains("unshare: ") || ran.stderr.contains("setpriv: ") {
        eprintln!("skipped: user namespaces are needed to take them away: {}", ran.stderr);
        return;
    }
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    assert!(ran.stderr.contains("--isolate is not possible here: a user namespace"), "{}", ran.stderr);
    assert!(ran.stderr.contains("max_user_namespaces is 0"), "{}", ran.stderr);
    assert!(!mark.exists());
}

#[test]
fn inside_all_is_as_without_it() {
    if !is_possible() {
        return;
    }
    let (origin, folder) = (Origin::start(), Folder::new());
    let script = [
        status(&format!("http://{}/", origin.address)),
        status("http://refused.example/"),
        // Its own servers, through its own loopback.
        "test -w /dev/null && test -w /dev/shm && test -d /proc/$$ && echo devices;".to_owned(),
        "exit 21".to_owned(),
    ];
    let ran = shell(&folder, &policy(""), &["--isolate"], &script.concat());
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(21), "204\n403\ndevices\n"), "{}", ran.stderr);
    assert!(ran.stderr.contains("weir: 1 request allowed (1 host), 1 denied"), "{}", ran.stderr);
    let code =
        |command: &[&str]| Ran::from(run(&folder, "{}", &["--isolate"]).arg("--").args(command).output().unwrap()).code;
    assert_eq!(code(&["sh", "-c", "kill -KILL $$"]), Some(137));
    assert_eq!(code(&["/nowhere/command"]), Some(127));
    assert_eq!(code(&[&folder.write("no-program", "")]), Some(126));
    // A background process ends with the command.
    assert_eq!(code(&["sh", "-c", "setsid sleep 4321 & exit 3"]), Some(3));
    let sleeping = Command::new("pgrep").args(["-f", "^sleep 4321"]).output().unwrap();
    assert!(sleeping.stdout.is_empty());
}

#[test]
fn signals_reach_an_isolated_command_and_its_end_is_weirs() {
    if !is_possible() {
        return;
    }
    let folder = Folder::new();
    let (child, _) = super::lasting(&folder, &["--isolate"], "trap 'exit 17' TERM;");
    super::signal(child.id(), "-TERM");
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(17));
    // When weir is killed, all processes end, whatever signals the command handles.
    let folder = Folder::new();
    let (mut child, envoy) = super::lasting(&folder, &["--isolate"], "trap '' TERM HUP;");
    let stage = super::children(child.id()).into_iter().find(|pid| *pid != envoy).unwrap();
    let init = super::children(stage)[0];
    let command = super::children(init)[0];
    child.kill().unwrap();
    child.wait().unwrap();
    super::wait_for("their end", || ![envoy, stage, init, command].into_iter().any(super::is_running));
}
