//! The binary alone: one copied file, read-only, in an empty folder, where neither the checkout nor a Rust toolchain can be
//! seen, as root and as an ordinary user. Every command works there.
//!
//! A mount namespace hides them. Envoy is in a cache of its own, as it is after the first start on a machine.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;
use weir_tests::skipped;

use super::Ran;

/// The command, and a line of shell that shows it at work; it runs in an empty folder. `$WEIR` is the binary, `$POLICY` and
/// `$INSPECTED` are policies, `until_up WORDS COMMAND...` starts a command, waits for its words and stops it.
const ROWS: &[(&str, &str)] = &[
    ("demo", "$WEIR demo"),
    ("run", "$WEIR run --policy $POLICY -- true"),
    ("run", "$WEIR run --policy $INSPECTED -- sh -c 'test -s $SSL_CERT_FILE'"),
    ("run", "$WEIR run --policy $POLICY --setup ': > made' -- test -f made"),
    ("run", "$WEIR run --isolate --policy $INSPECTED -- sh -c 'test -s $SSL_CERT_FILE'"),
    ("up", "until_up 'weir is up' $WEIR up --policy $POLICY --listen 127.0.0.1:0"),
    ("up", "until_up 'weir is up' $WEIR up --policy $INSPECTED --ca ca --listen 127.0.0.1:0"),
    ("filter", "$WEIR filter --policy $POLICY --output . && grep -q example.com filter.yaml filter-tls.yaml"),
    ("package", "$WEIR package && test -s dist/weir-oci/index.json"),
    ("check", "$WEIR check $POLICY $INSPECTED"),
    ("explain", "$WEIR explain --policy $POLICY GET http://refused.example/; test $? = 3"),
    ("ca", "$WEIR ca init --ca ca && $WEIR ca export --ca ca | grep -q BEGIN"),
    ("issuer", "until_up issuer.sock $WEIR issuer --ca ca --socket issuer.sock"),
    ("export", "$WEIR export out && test -s out/weir.wasm && test -x out/redirect.sh"),
    ("build", "$WEIR build && test -s dist/weir.wasm"),
    ("init", "$WEIR init claude-code python && $WEIR check --strict weir-policy.jsonc"),
    ("schema", "$WEIR schema | grep -q allowlist"),
    ("completions", "$WEIR completions bash | bash -n"),
    ("man", "$WEIR man | grep -q 'TH weir' && $WEIR man --output pages && test -s pages/weir-run.1"),
];

/// Run before each row, in the namespace.
const PREPARED: &str = r#"
set -u
for hidden in $HIDDEN; do
    test -z "$(ls -A $hidden 2>/dev/null)" || { echo "$hidden can be seen" >&2; exit 90; }
done
if (: >> $WEIR) 2>/dev/null; then echo "the binary can be written to" >&2; exit 91; fi
until_up() {
    words=$1; shift
    "$@" > words 2>&1 & started=$!
    for _ in $(seq 1200); do
        grep -q "$words" words && break
        kill -0 $started 2>/dev/null || break
        sleep 0.05
    done
    kill $started; wait $started; code=$?
    cat words >&2
    grep -q "$words" words && return $code
}
"#;

const ORDINARY: u32 = 65534;

/// The folder with the binary, and what is hidden around it.
struct Alone {
    folder: TempDir,
    hidden: Vec<PathBuf>,
    is_root: bool,
}

impl Alone {
    /// None where this machine has no namespaces for it, after saying so.
    fn new() -> Option<Alone> {
        let folder = tempfile::tempdir().unwrap();
        let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
        let home = |name: &str, below: &str| {
            let named = std::env::var_os(name).map(PathBuf::from);
            named.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(below)))
        };
        let checkout = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned();
        let hidden = [Some(checkout), home("CARGO_HOME", ".cargo"), home("RUSTUP_HOME", ".rustup")];
        let mut hidden: Vec<PathBuf> = hidden.into_iter().flatten().filter(|path| path.is_dir()).collect();
        // Where it was built, which may be elsewhere.
        let built = Path::new(env!("CARGO_BIN_EXE_weir")).parent().unwrap();
        if !hidden.iter().any(|folder| built.starts_with(folder)) {
            hidden.push(built.to_owned());
        }
        let alone = Alone { folder, hidden, is_root };
        if alone.hidden.iter().any(|hidden| alone.path("").starts_with(hidden)) {
            skipped("the binary alone: the folder for temporary files is inside of the checkout");
            return None;
        }
        let binary = alone.path("weir");
        fs::copy(env!("CARGO_BIN_EXE_weir"), &binary).unwrap();
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o555)).unwrap();
        let envoy = weir_envoy::Binary::find().unwrap();
        let cached = alone.path(&format!("cache/weir/envoy/{}/envoy/_bin", envoy.version()));
        fs::create_dir_all(&cached).unwrap();
        fs::copy(envoy.path(), cached.join("envoy")).unwrap();
        fs::write(alone.path("policy.json"), r#"{"internet_access": "on", "allowlist": {"domains": ["example.com"]}}"#)
            .unwrap();
        fs::write(alone.path("inspected.json"), r#"{"internet_access": "on", "tls": "inspected"}"#).unwrap();
        fs::set_permissions(alone.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        alone.can_run(None).then_some(alone)
    }

    /// Whether this machine has namespaces and users for it; says so where not.
    fn can_run(&self, user: Option<u32>) -> bool {
        let ran = self.run("true", user);
        let refused = ["unshare: ", "mount: ", "setpriv: "].iter().any(|program| ran.stderr.contains(program));
        if refused {
            skipped(format_args!("the binary alone: no namespaces for it here: {}", ran.stderr));
        } else {
            assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        }
        !refused
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a line of shell in an empty folder, as this user if none is named.
    fn run(&self, line: &str, user: Option<u32>) -> Ran {
        let empty = tempfile::tempdir_in(self.folder.path()).unwrap();
        if let Some(user) = user {
            chown(empty.path(), Some(user), Some(user)).unwrap();
        }
        let hidden: Vec<_> = self.hidden.iter().map(|path| path.to_str().unwrap()).collect();
        // The folder above is root's: a tmpfs would hide the wrong thing if a path had a space in it.
        assert!(hidden.iter().all(|path| !path.contains(char::is_whitespace)), "{hidden:?}");
        let script = "set -e
            mount --bind $WEIR $WEIR; mount -o remount,ro,bind $WEIR
            for hidden in $HIDDEN; do mount -t tmpfs -o mode=755 hidden $hidden; done
            cd $EMPTY; exec \"$@\"";
        let mut command = Command::new("unshare");
        command.args(if self.is_root { &["--mount"][..] } else { &["--user", "--map-root-user", "--mount"] });
        command.args(["sh", "-c", script, "sh"]);
        if let Some(user) = user {
            let user = user.to_string();
            command.args(["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups"]);
        }
        command.args(["sh", "-c", &format!("{PREPARED}{line}")]);
        command.env_clear().current_dir("/").stdin(Stdio::null());
        for (name, value) in [
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".into()),
            ("HOME", empty.path().into()),
            ("EMPTY", empty.path().into()),
            ("XDG_CACHE_HOME", self.path("cache")),
            ("WEIR", self.path("weir")),
            ("POLICY", self.path("policy.json")),
            ("INSPECTED", self.path("inspected.json")),
            ("HIDDEN", hidden.join(" ").into()),
        ] {
            command.env(name, value);
        }
        Ran::from(command.output().unwrap())
    }

    fn every_row_works(&self, user: Option<u32>) {
        for (command, line) in ROWS {
            let ran = self.run(line, user);
            if ran.stderr.contains("--isolate is not possible here") {
                skipped(format_args!("the binary alone, {command}: {}", ran.stderr));
                continue;
            }
            assert_eq!(ran.code, Some(0), "{user:?} {line}\n{}\n{}", ran.stdout, ran.stderr);
        }
    }
}

#[test]
fn every_command_works_without_the_checkout() {
    let Some(alone) = Alone::new() else { return };
    alone.every_row_works(None);
}

#[test]
fn every_command_works_for_an_ordinary_user() {
    let Some(alone) = Alone::new() else { return };
    if !alone.is_root {
        eprintln!("left out: this is an ordinary user, and the other test shows it");
        return;
    }
    if alone.can_run(Some(ORDINARY)) {
        alone.every_row_works(Some(ORDINARY));
    }
}

/// A command that is added gets a row.
#[test]
fn every_command_has_a_row() {
    let help = super::run(&["--help"], "").stdout;
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let names = commands.filter_map(|line| line.strip_prefix("  ")?.split(' ').next());
    let missing: Vec<_> = names
        .filter(|name| !name.is_empty() && *name != "help" && !ROWS.iter().any(|(command, _)| command == name))
        .collect();
    assert_eq!(missing, [""; 0]);
}
