//! TLS inspection, with curl and the other clients of this machine, and an origin with its own name.
//!
//! The name is in an /etc/hosts that only this test's mount namespace sees; the product itself is unchanged.

use std::fs;
use std::process::{Command, Stdio};

use weir_internet::StandIn;

use super::{Folder, Ran, left_over, run};

/// Runs a shell command under a policy that inspects, where `origin.example` and `pinned.example` are the stand-in.
fn inspected(folder: &Folder, origin: &StandIn, policy: &str, arguments: &[&str], script: &str) -> Option<Ran> {
    let hosts = folder.write("hosts", &format!("{0} origin.example pinned.example\n", origin.address().ip()));
    let roots = folder.write("roots.pem", origin.ca_pem().unwrap());
    let weir = run(folder, policy, &[&["--roots", &roots], arguments].concat());
    let mut command = Command::new("unshare");
    // Root stays as it is; another user becomes root of a namespace, which is enough for a mount.
    let own = fs::read_to_string("/proc/self/status").unwrap().contains("CapEff:\t0000000000000000");
    command.arg(if own { "-Urm" } else { "-m" });
    command.args(["sh", "-c", "mount --bind \"$0\" /etc/hosts || exit; exec \"$@\"", &hosts]);
    command.arg(weir.get_program()).args(weir.get_args()).args(["--", "bash", "-c", script]).stdin(Stdio::null());
    for (name, value) in weir.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command.env("URL", format!("https://origin.example:{}", origin.address().port()));
    command.env("PINNED", format!("https://pinned.example:{}", origin.address().port()));
    let ran = Ran::from(command.output().ok()?);
    if ran.stderr.contains("unshare: ") || ran.stderr.contains("mount: ") {
        eprintln!("skipped: a mount namespace is needed to give the origin a name: {}", ran.stderr);
        return None;
    }
    Some(ran)
}

const POLICY: &str = r#"{"internet_access": "on", "ports": "any", "methods": "read-only", "tls": "inspected",
    "allowlist": {"domains": ["origin.example", {"domain": "pinned.example", "methods": "all", "tls": "passthrough"}]}}"#;

#[test]
fn methods_are_kept_inside_tunnels_and_clients_trust_the_proxy() {
    for way in [&[][..], &["--isolate"]] {
        let (folder, origin) = (Folder::new(), StandIn::with_tls().unwrap());
        let get = "curl -sS -o /dev/null -w '%{http_code}\\n'";
        let script = format!(
            "{get} $URL/a; {get} -X POST $URL/b; {get} https://refused.example/; {get} --http1.1 $URL/c; \
             {get} --cacert \"$SSL_CERT_FILE\" $PINNED/d; test -r \"$SSL_CERT_FILE\" && ls -a \"$SSL_CERT_DIR/../issuer\" | wc -l; \
             grep -rls 'PRIVATE KEY' \"$SSL_CERT_DIR/..\" | wc -l"
        );
        let Some(ran) = inspected(&folder, &origin, POLICY, way, &script) else { return };
        let lines: Vec<&str> = ran.stdout.lines().collect();
        assert_eq!(lines[..5], ["200", "403", "000", "200", "200"], "{way:?} {}\n{}", ran.stdout, ran.stderr);
        // The issuer's socket: an isolated command sees an empty folder. The key of the CA is in no file.
        assert_eq!(lines[6].trim(), "0", "{}", ran.stdout);
        let seen: u32 = lines[5].trim().parse().unwrap();
        assert_eq!(seen == 2, !way.is_empty(), "{seen}");
        let received: Vec<_> =
            origin.received().iter().map(|request| format!("{} {}", request.method, request.path)).collect();
        assert_eq!(received, ["GET /a", "GET /c", "GET /d"]);
        assert!(ran.stderr.contains("weir: 2 requests allowed and 4 tunnels (2 hosts), 2 denied"), "{}", ran.stderr);
        assert!(
            ran.stderr.contains(r#"{"domain":"=origin.example","methods":["GET","HEAD","OPTIONS","POST"]}"#),
            "{}",
            ran.stderr
        );
        assert_eq!(left_over(&folder), 0);
    }
}

/// Each of these finds the CA by another variable. Python's urllib also requests `connection: close`.
#[test]
fn common_clients_need_no_options() {
    let (folder, origin) = (Folder::new(), StandIn::with_tls().unwrap());
    let java = r#"import java.net.*; public class Get { public static void main(String[] a) throws Exception {
        System.out.println(((HttpURLConnection) new URL(System.getenv("URL") + "/java").openConnection()).getResponseCode()); } }"#;
    let java = {
        fs::create_dir_all(folder.0.join("java")).unwrap();
        folder.write("java/Get.java", java)
    };
    let clients = [
        (
            "curl",
            "old",
            "curl -sS --http1.1 --proxy1.0 ${http_proxy#http://} -o /dev/null -w '%{http_code}' $URL/old".to_owned(),
        ),
        ("curl", "curl", "curl -sS -o /dev/null -w '%{http_code}' $URL/curl".to_owned()),
        ("wget", "wget", "wget -q -O /dev/null $URL/wget && echo 200".to_owned()),
        ("git", "git", "git ls-remote $URL/git 2>&1 | grep -c 'not valid\\|not found\\|fatal'; echo 200".to_owned()),
        (
            "python3",
            "python",
            "python3 -c 'import os, urllib.request as u; print(u.urlopen(os.environ[\"URL\"] + \"/python\").status)'"
                .to_owned(),
        ),
        ("java", "java", format!("java {java}")),
    ];
    for (program, name, script) in clients {
        if !Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: there is no {program}");
            continue;
        }
        let Some(ran) = inspected(&folder, &origin, POLICY, &[], &script) else { return };
        assert!(ran.stdout.trim().ends_with("200"), "{program}: {}\n{}", ran.stdout, ran.stderr);
        let received = origin.take_received();
        assert!(
            received.iter().any(|request| request.path.starts_with(&format!("/{name}"))),
            "{program}: {received:?} {}",
            ran.stderr
        );
    }
}

#[test]
fn another_name_inside_a_tunnel_is_cut_and_told() {
    let (folder, origin) = (Folder::new(), StandIn::with_tls().unwrap());
    // The tunnel is for origin.example, but the ClientHello names pinned.example.
    let script = "curl -sS -o /dev/null --connect-to pinned.example::origin.example: $PINNED/ ; \
        curl -sS -o /dev/null -H 'host: pinned.example' -w '%{http_code}\\n' $URL/fronted";
    let Some(ran) = inspected(&folder, &origin, POLICY, &[], script) else { return };
    assert_eq!(ran.stdout.lines().last(), Some("403"), "{}", ran.stderr);
    assert!(origin.received().is_empty());
    assert!(ran.stderr.contains("1 connection cut inside tunnels"), "{}", ran.stderr);
    assert!(ran.stderr.contains("tls-name-mismatch"), "{}", ran.stderr);
}
