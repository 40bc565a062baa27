//! The attacker that tries to get out, as the command of `weir run --isolate`.

use std::env;
use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The file with the attacker's targets, one `name=value` a line.
pub(super) const TARGETS: &str = "WEIR_TEST_TARGETS";
/// The network namespace of the test, as /proc names it.
pub(super) const HOST_NETWORK: &str = "WEIR_TEST_HOST_NET";

/// Not a test but the command of `isolate`'s tests. It tries every way out and prints the result of each.
#[test]
#[ignore = "run by the tests of isolate, inside of weir run"]
fn attacker() {
    let Ok(targets) = env::var(TARGETS) else { return };
    let target =
        |name: &str| targets.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).map(str::to_owned);
    let say = |attack: &str, came: Result<(), String>| {
        println!(
            "attack {attack}: {}",
            came.map_or_else(|refused| format!("refused ({refused})"), |()| "out".to_owned())
        );
    };
    let proxy: SocketAddr = env::var("http_proxy").unwrap().trim_start_matches("http://").parse().unwrap();
    say("the proxy", text(TcpStream::connect(proxy)));
    for name in ["loopback", "address", "v6"] {
        if let Some(address) = target(name) {
            say(name, text(TcpStream::connect(&address)));
        }
    }
    say("an address of the internet", connect("192.0.2.1:80"));
    say("IPv6", connect("[2001:db8::1]:443"));
    say("udp", ask(&target("udp").unwrap()));
    say(
        "the resolver",
        fs::read_to_string("/etc/resolv.conf").map_or(Err("none".into()), |file| {
            let server =
                file.lines().find_map(|line| line.strip_prefix("nameserver ")).map(|it| format!("{}:53", it.trim()));
            server.map_or(Err("none".into()), |server| ask(&server))
        }),
    );
    let abstract_name = UnixAddr::from_abstract_name(target("abstract").unwrap()).unwrap();
    say("abstract", text(UnixStream::connect_addr(&abstract_name)));
    say("socket", text(UnixStream::connect(target("socket").unwrap())));
    let folder = private_folder(Path::new(&target("temporary").unwrap()));
    say(
        "admin",
        folder.as_ref().map_or(Err("no folder to be seen".into()), |folder| {
            fs::read_to_string(folder.join("admin-address"))
                .map_err(|e| e.to_string())
                .and_then(|address| connect(address.trim()))
        }),
    );
    // The same content again: the test goes on.
    say(
        "policy",
        folder.as_ref().map_or(Err("no folder to be seen".into()), |folder| {
            let file = folder.join("filter.json");
            text(fs::read(&file).and_then(|content| fs::write(&file, content)))
        }),
    );
    // Envoy reads any new file, even from a recreated folder.
    let parent = std::os::unix::process::parent_id();
    // Of process 1 outside, and of the parent, which is the init or weir.
    say(
        "parent",
        text(fs::read_link(format!("/proc/{parent}/ns/net")).and_then(|net| {
            let host = env::var(HOST_NETWORK).unwrap_or_default();
            if net.as_os_str().to_string_lossy() == host {
                Ok(())
            } else {
                Err(std::io::Error::other("another network"))
            }
        })),
    );
    say("a network to enter", enter_networks());
    say("a device", reach_devices());
    say(
        "the kernel's settings",
        fs::OpenOptions::new()
            .write(true)
            .open("/proc/sys/kernel/core_pattern")
            .and_then(|mut file| {
                // Opening it for writing is enough to know; nothing is changed.
                file.flush()
            })
            .map_err(|e| e.to_string())
            .and(isolated()),
    );
    say("mounts", command(&["mount", "-o", "remount,rw,bind", "/proc/sys"]).and(isolated()));
    say(
        "nested namespaces",
        command(&["unshare", "-Urn", "bash", "-c", "echo > /dev/tcp/192.0.2.1/80"]).and(isolated()),
    );
    let temporary = target("temporary").unwrap();
    // With every capability in a new namespace: covered folders stay covered.
    let uncover = "for d in $0/weir-envoy-*; do umount \"$d\"; mount --bind $0 /mnt; done 2>/dev/null; ls $0/*/filter.json /mnt/*/filter.json";
    say("what is covered", command(&["unshare", "-Urm", "sh", "-c", uncover, &temporary]).and(isolated()));
    say("vsock", socket(40));
    say("packet", socket(17).and(isolated()));
    say("keys", keys());
    say("an open descriptor", open_descriptors());
    say("weir's processes", other_processes());
}

/// Attacks that prove nothing if the command is not isolated.
fn isolated() -> Result<(), String> {
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    if own.as_os_str().to_string_lossy() == env::var(HOST_NETWORK).unwrap() { Err("not asked".into()) } else { Ok(()) }
}

fn text<T>(came: std::io::Result<T>) -> Result<(), String> {
    came.map(drop).map_err(|error| error.to_string())
}

fn connect(address: &str) -> Result<(), String> {
    let address = address.parse().map_err(|_| "no address".to_owned())?;
    text(TcpStream::connect_timeout(&address, Duration::from_secs(2)))
}

fn ask(server: &str) -> Result<(), String> {
    let ask = || {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        // A query for the root's name servers.
        socket.send_to(b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\0\0\x02\0\x01", server)?;
        socket.recv_from(&mut [0; 512])
    };
    text(ask())
}

/// Envoy's private folder, if it is not empty.
fn private_folder(temporary: &Path) -> Option<PathBuf> {
    let mut folders = fs::read_dir(temporary).ok()?.flatten().map(|entry| entry.path());
    folders.find(|folder| folder.join("filter.json").exists())
}

fn command(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(arguments[0]).args(&arguments[1..]).output().map_err(|e| e.to_string())?;
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).trim().replace('\n', " "))
    }
}

/// Tries the network of every visible process.
fn enter_networks() -> Result<(), String> {
    isolated()?;
    let own = fs::read_link("/proc/self/ns/net").unwrap();
    let mut refused = String::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let net = entry.path().join("ns/net");
        if fs::read_link(&net).is_ok_and(|link| link != own) {
            return Ok(());
        }
    }
    for pid in [1, std::process::id()] {
        match command(&["nsenter", "-t", &pid.to_string(), "-n", "true"]) {
            Ok(()) => return Ok(()),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

/// Disks and memory, which user 0 may open without capabilities.
fn reach_devices() -> Result<(), String> {
    isolated()?;
    // Not net/tun, which every user may open: its device is in the network of the process that opens it.
    for name in ["mem", "kmsg", "vda", "sda", "nvme0n1", "vsock"] {
        if fs::OpenOptions::new().write(true).open(Path::new("/dev").join(name)).is_ok() {
            return Ok(());
        }
    }
    let node = env::temp_dir().join("node");
    command(&["mknod", node.to_str().unwrap(), "c", "1", "11"])
}

/// The calls by which a program outside is asked for a key that is not there; this one ends with the process.
fn keys() -> Result<(), String> {
    const PROCESS: libc::c_long = -2;
    // SAFETY: the strings end in NUL; keyctl's KEYCTL_GET_KEYRING_ID (0) takes and returns integers.
    let (made, asked) = unsafe {
        let (kind, name) = (c"user".as_ptr(), c"weir-test".as_ptr());
        (
            libc::syscall(libc::SYS_add_key, kind, name, c"x".as_ptr(), 1, PROCESS),
            libc::syscall(libc::SYS_keyctl, 0, PROCESS, 1),
        )
    };
    if made >= 0 || asked >= 0 { Ok(()) } else { Err(std::io::Error::last_os_error().to_string()) }
}

fn socket(family: i32) -> Result<(), String> {
    // SAFETY: takes and returns integers.
    let descriptor = unsafe { libc::socket(family, libc::SOCK_STREAM, 0) };
    if descriptor < 0 {
        return Err(std::io::Error::last_os_error().to_string());
    }
    // SAFETY: it was opened just now.
    drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
    Ok(())
}

/// The descriptors that this process inherited beyond the standard streams.
fn open_descriptors() -> Result<(), String> {
    let found: Vec<_> = fs::read_dir("/proc/self/fd")
        .unwrap()
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter(|link| link.to_string_lossy().starts_with("socket:"))
        .collect();
    if found.is_empty() { Err("none".into()) } else { Ok(()) }
}

/// Whether this process can see and trace one that does not belong to the command.
fn other_processes() -> Result<(), String> {
    isolated()?;
    let mut names = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        if let Ok(name) = fs::read_to_string(entry.path().join("comm")) {
            names.push(name.trim().to_owned());
        }
    }
    let mut memory = String::new();
    match fs::File::open("/proc/1/environ").and_then(|mut file| file.read_to_string(&mut memory)) {
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {}
        came => return Err(format!("process 1 can be read: {came:?}")).or(Ok(())),
    }
    if names.iter().any(|name| name == "envoy") { Ok(()) } else { Err(format!("only {}", names.join(", "))) }
}
