//! `weir run` in a terminal, which `script` of util-linux provides.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use super::{Folder, run, wait_for};

/// A program in a terminal, and its output so far.
struct Terminal {
    child: Child,
    shown: Arc<Mutex<String>>,
}

impl Terminal {
    /// `None` if there is no `script`.
    fn start(line: &str, environment: &Command) -> Option<Terminal> {
        let mut command = Command::new("script");
        command.args(["-q", "-e", "-f", "-c", line, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        for (name, value) in environment.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        let Ok(mut child) = command.spawn() else {
            eprintln!("skipped: there is no script(1) of util-linux");
            return None;
        };
        let mut stdout = child.stdout.take().unwrap();
        let shown = Arc::new(Mutex::new(String::new()));
        let all = Arc::clone(&shown);
        thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(length @ 1..) = stdout.read(&mut piece) {
                all.lock().unwrap().push_str(&String::from_utf8_lossy(&piece[..length]));
            }
        });
        Some(Terminal { child, shown })
    }

    fn write(&mut self, bytes: &str) {
        self.child.stdin.as_mut().unwrap().write_all(bytes.as_bytes()).unwrap();
    }

    fn shows(&self, text: &str) {
        let seen = || self.shown.lock().unwrap().contains(text);
        let begin = std::time::Instant::now();
        while !seen() {
            assert!(begin.elapsed() < super::LIMIT, "no {text:?} in {}", self.shown.lock().unwrap());
            thread::sleep(std::time::Duration::from_millis(20));
        }
    }

    fn forget(&self) {
        self.shown.lock().unwrap().clear();
    }

    fn code(&mut self) -> Option<i32> {
        let mut status = None;
        wait_for("the end", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().code()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The command line of `command`, for a shell.
fn line(command: &Command) -> String {
    let quoted = |text: &std::ffi::OsStr| format!("'{}'", text.to_str().unwrap().replace('\'', r"'\''"));
    std::iter::once(command.get_program()).chain(command.get_args()).map(quoted).collect::<Vec<_>>().join(" ")
}

/// A body without a final new line, as `curl` shows many: the summary does not go on in its line.
#[test]
fn the_summary_begins_a_line() {
    let folder = Folder::new();
    for (script, expected) in [
        ("printf body", "body\r\nweir: 0 requests allowed"),
        ("printf warned >&2", "warned\r\nweir: 0 requests allowed"),
        ("echo line", "line\r\n\r\nweir: 0 requests allowed"),
    ] {
        let mut command = run(&folder, "{}", &[]);
        command.env("NO_COLOR", "1").args(["--", "sh", "-c", script]);
        let Some(mut terminal) = Terminal::start(&line(&command), &command) else { return };
        assert_eq!(terminal.code(), Some(0));
        terminal.shows(expected);
    }
}

fn ways() -> [&'static [&'static str]; 2] {
    [&["--no-summary"], &["--no-summary", "--isolate"]]
}

#[test]
fn ctrl_c_is_the_commands() {
    for way in ways() {
        let folder = Folder::new();
        let mut command = run(&folder, "{}", way);
        command.args([
            "--",
            "sh",
            "-c",
            "test -t 0 && test -t 1 && test -t 2 && stty -a < /dev/tty > /dev/null && echo ready; exec sleep 1000",
        ]);
        let Some(mut terminal) = Terminal::start(&line(&command), &command) else { return };
        terminal.shows("ready");
        terminal.write("\x03");
        assert_eq!(terminal.code(), Some(130), "{way:?}");

        // A command that catches it continues.
        let mut command = run(&folder, "{}", way);
        command.args([
            "--",
            "sh",
            "-c",
            "trap 'echo caught' INT; echo ready; read line; read line; echo \"got $line\"; exit 5",
        ]);
        let mut terminal = Terminal::start(&line(&command), &command).unwrap();
        terminal.shows("ready");
        terminal.write("\x03");
        terminal.shows("caught");
        terminal.write("one\ntwo\n");
        assert_eq!(terminal.code(), Some(5), "{way:?}");
    }
}

#[test]
fn ctrl_z_and_fg_work_as_for_any_job() {
    for way in ways() {
        let folder = Folder::new();
        let mut command = run(&folder, "{}", way);
        command.args(["--", "sh", "-c", "echo rea''dy; read line; echo \"got $line\"; read line; exit 6"]);
        let Some(mut shell) = Terminal::start("env PS1='prompt> ' bash --norc --noprofile -i", &command) else {
            return;
        };
        shell.shows("prompt>");
        shell.write(&format!("{}\n", line(&command)));
        shell.shows("ready");
        shell.write("\x1a");
        shell.shows("Stopped");
        // The shell has its terminal back.
        shell.write("echo in the sh''ell\n");
        shell.shows("in the shell");
        shell.forget();
        shell.write("fg\n");
        shell.shows("read line");
        shell.write("hello\n");
        shell.shows("got hello");
        // And once more, in the background.
        shell.forget();
        shell.write("\x1a");
        shell.shows("Stopped");
        shell.write("bg; echo back''ground\n");
        shell.shows("background");
        shell.write("fg\n");
        std::thread::sleep(std::time::Duration::from_millis(500));
        shell.write("end\n");
        shell.write("echo co''de $?; exit\n");
        shell.shows("code 6");
        shell.code();
    }
}

#[test]
fn a_run_in_the_background_leaves_the_terminal_alone() {
    let folder = Folder::new();
    let mut command = run(&folder, "{}", &["--no-summary"]);
    command.args(["--", "sh", "-c", "echo rea''dy; sleep 0.5; exit 4"]);
    let Some(mut shell) = Terminal::start("env PS1='prompt> ' bash --norc --noprofile -i", &command) else { return };
    shell.shows("prompt>");
    shell.write(&format!("{} &\n", line(&command)));
    shell.shows("ready");
    shell.write("echo still he''re\n");
    shell.shows("still here");
    shell.write("wait %1; echo co''de $?; exit\n");
    shell.shows("code 4");
    shell.code();
}
