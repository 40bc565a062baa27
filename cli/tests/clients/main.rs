//! Real clients through `weir run`: downloads pass, uploads do not.
//!
//! Each runs in its own network namespace (`internet.rs`), in which public names lead to a local https origin. `weir
//! run` is what a user starts, unchanged.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a test may fail")]

mod internet;

use internet::{Internet, Ran};

const READ_ONLY: &str = r#"{
    "name": "clients", "internet_access": "on", "tls": "inspected", "methods": "read-only",
    "allowlist": {"preset": "common-dependencies"}
}"#;
const GIT_FETCH: &str = r#"{
    "name": "clients", "internet_access": "on", "tls": "inspected", "methods": "read-only", "allow": ["git-fetch"],
    "allowlist": {"preset": "common-dependencies"}
}"#;

/// Runs a script under the read-only policy.
fn run(script: &str) -> Ran {
    Internet::new(READ_ONLY).run(script)
}

impl Ran {
    #[track_caller]
    fn succeeded(&self) -> &Ran {
        assert_eq!(self.code, Some(0), "{self}");
        self
    }

    #[track_caller]
    fn printed(&self, text: &str) -> &Ran {
        assert!(self.stdout.contains(text), "{text:?} was not printed: {self}");
        self
    }

    #[track_caller]
    fn origin_received(&self, request: &str) -> &Ran {
        assert!(self.received.iter().any(|it| it == request), "the origin did not receive {request:?}: {self}");
        self
    }

    /// Whatever the client did, only read-only requests reached the origin.
    #[track_caller]
    fn origin_was_only_read(&self) {
        let read_only = |request: &&String| ["GET ", "HEAD ", "OPTIONS "].iter().any(|it| request.starts_with(it));
        assert!(self.received.iter().all(|it| read_only(&it)), "{self}");
    }
}

impl std::fmt::Display for Ran {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Ran { code, stdout, stderr, received } = self;
        write!(f, "exit {code:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}\n--- origin\n{}", received.join("\n"))
    }
}

#[test]
fn curl_over_http1_and_http2() {
    if !internet::has(&["curl", "python3"]) {
        return;
    }
    for version in ["--http1.1", "--http2"] {
        let ran = run(&format!(
            "$RUN -- sh -c '
                curl -sS {version} -w \"%{{http_version}} %{{http_code}}\\n\" https://pypi.org/simple/weir-hello/
                for method in POST PUT DELETE PATCH get; do
                    curl -sS -o /dev/null {version} -X $method -w \"$method %{{http_code}} %header{{x-weir-decision}}\\n\" https://github.com/$method
                done
                curl -sS {version} https://evil.example/ || echo \"curl exit $?\"'"
        ));
        ran.succeeded().printed("weir_hello-1.0.0-py3-none-any.whl").printed(" 200\n");
        for method in ["POST", "PUT", "DELETE", "PATCH", "get"] {
            ran.printed(&format!("{method} 403 deny; reason=method-not-allowed; host=\"github.com\"; method={method}"));
        }
        // The proxy's 403 to CONNECT.
        ran.printed("curl exit 56");
        ran.origin_received("GET pypi.org/simple/weir-hello/").origin_was_only_read();
        assert_eq!(ran.received.len(), 1, "{ran}");
    }
}

/// curl before 8 may treat an answer before the end of its body as an HTTP/2 error (exit 92). The request is refused in
/// any case.
#[test]
fn curl_with_a_body() {
    if !internet::has(&["curl", "python3"]) {
        return;
    }
    let ran = run("$RUN -- sh -c '
        curl -sS --http1.1 -d secret -o /dev/null -w \"%{http_code}\\n\" https://github.com/upload
        curl -sS --http2 -d secret -o /dev/null -w \"%{http_code}\\n\" https://github.com/upload; echo \"exit $?\"'");
    ran.succeeded().printed("403\n");
    assert!(ran.stdout.contains("exit 0\n") || ran.stdout.contains("exit 92\n"), "{ran}");
    assert!(ran.received.is_empty(), "{ran}");
    assert!(ran.stderr.contains("2 denied"), "{ran}");
}

#[test]
fn pip_installs_and_cannot_upload() {
    if !internet::has(&["python3"]) {
        return;
    }
    let ran = run("python3 -m venv venv
        $RUN -- sh -c '
            venv/bin/pip install --no-cache-dir --disable-pip-version-check weir-hello &&
            venv/bin/python -c \"import weir_hello; print(weir_hello.GREETING)\"'");
    ran.succeeded().printed("hello from the wheel").origin_was_only_read();
    ran.origin_received("GET pypi.org/simple/weir-hello/");
}

#[test]
fn python_requests_and_httpx() {
    if !internet::has(&["python3"]) {
        return;
    }
    let python = internet::python_with(&["requests", "httpx[http2]"]);
    let ran = run(&format!(
        "$RUN -- {} - <<'EOF'
import httpx, requests
print('requests', requests.get('https://pypi.org/simple/weir-hello/').status_code)
refused = requests.post('https://github.com/upload', data='secret')
print('requests', refused.status_code, refused.json()['reason'])
with httpx.Client(http2=True) as client:
    answer = client.get('https://pypi.org/simple/weir-hello/')
    print('httpx', answer.http_version, answer.status_code)
    print('httpx', client.post('https://github.com/upload', content=b'secret').json()['reason'])
EOF",
        python.display()
    ));
    ran.succeeded().printed("requests 200").printed("requests 403 method-not-allowed");
    ran.printed("httpx HTTP/2 200").printed("httpx method-not-allowed").origin_was_only_read();
}

#[test]
fn npm_installs_and_cannot_publish() {
    if !internet::has(&["npm", "python3"]) {
        return;
    }
    let ran = run("mkdir package && cd package && echo '{\"name\": \"p\", \"version\": \"1.0.0\"}' > package.json
        $RUN -- sh -c '
            npm install --no-audit --no-fund --cache=$HOME/npm weir-hello@1.0.0 &&
            node -p \"require(\\\"weir-hello\\\")\"
            npm publish --cache=$HOME/npm --//registry.npmjs.org/:_authToken=token 2>&1 | tail -20
            true'");
    ran.succeeded().printed("hello from the tarball").origin_was_only_read();
    ran.origin_received("GET registry.npmjs.org/weir-hello");
}

#[test]
fn cargo_builds_with_a_crate() {
    if !internet::has(&["cargo", "python3"]) {
        return;
    }
    let ran = run(r#"mkdir -p app/src && cd app
        printf '[package]\nname = "app"\nversion = "1.0.0"\nedition = "2021"\n[dependencies]\nweir-hello = "1"\n' > Cargo.toml
        printf 'fn main() { println!("{}", weir_hello::GREETING); }\n' > src/main.rs
        export RUSTUP_HOME=${RUSTUP_HOME:-$REAL_HOME/.rustup} CARGO_HOME=$HOME/cargo CARGO_TARGET_DIR=$PWD/target
        PATH=$REAL_HOME/.cargo/bin:$PATH $RUN -- cargo run --quiet"#);
    ran.succeeded().printed("hello from the crate").origin_was_only_read();
    ran.origin_received("GET index.crates.io/we/ir/weir-hello");
    assert!(ran.received.iter().any(|it| it.starts_with("GET static.crates.io/")), "{ran}");
}

#[test]
fn git_clones_and_cannot_push() {
    if !internet::has(&["git", "python3"]) {
        return;
    }
    let ran = Internet::new(GIT_FETCH).run(
        "$RUN -- sh -c '
            git clone --quiet https://github.com/weir/hello.git && cd hello && cat hello.txt && git fetch --quiet &&
            echo more >> hello.txt &&
            git -c user.name=Weir -c user.email=weir@example.com commit --quiet --all -m More &&
            git push --quiet origin HEAD:main || echo \"push: exit $?\"'",
    );
    ran.succeeded().printed("hello from the repository").printed("push: exit");
    ran.origin_received("POST github.com/weir/hello.git/git-upload-pack");
    // Its first request is a GET; the push itself did not arrive.
    assert!(!ran.received.iter().any(|it| it.starts_with("POST ") && it.contains("receive-pack")), "{ran}");
}

#[test]
fn git_cannot_clone_where_nothing_but_reading_is_allowed() {
    if !internet::has(&["git", "python3"]) {
        return;
    }
    let ran = run("$RUN -- sh -c 'git clone --quiet https://github.com/weir/hello.git || echo \"clone: exit $?\"'");
    ran.succeeded().printed("clone: exit").origin_was_only_read();
}

#[test]
fn node_fetch() {
    if !internet::has(&["node", "python3"]) {
        return;
    }
    let ran = run(r"$RUN --isolate -- node -e '
        (async () => {
            console.log((await fetch(`https://pypi.org/simple/weir-hello/`)).status);
            const refused = await fetch(`https://github.com/upload`, { method: `POST`, body: `secret` });
            console.log(refused.status, (await refused.json()).reason);
        })()'");
    // Node uses proxy variables from version 24 on (NODE_USE_ENV_PROXY). Older ones connect directly, which leads
    // nowhere.
    if ran.stderr.contains("fetch failed") {
        // Not `skipped`: this tests what the older Node does instead.
        eprintln!("this Node's fetch knows no proxy (Node 24 or later does); npm is tested all the same");
        ran.origin_was_only_read();
        return;
    }
    ran.succeeded().printed("200").printed("403 method-not-allowed").origin_was_only_read();
}
