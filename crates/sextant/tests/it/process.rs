//! Programs that a test starts and that end with it.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// The last bytes of a log that a failing test shows.
const LOG_TAIL_BYTES: usize = 4000;

/// A running program. Its output is in `<dir>/<name>.log`; dropping it kills it.
#[derive(Debug)]
pub(crate) struct Process {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` with its output appended to the log.
    pub(crate) fn start(dir: &Path, name: &str, command: &mut Command) -> Self {
        let log = dir.join(format!("{name}.log"));
        let out =
            File::options().create(true).append(true).open(&log).expect("the scratch folder is writable");
        let err = out.try_clone().expect("a file handle can be duplicated");
        let child = command.stdin(Stdio::null()).stdout(out).stderr(err).spawn();
        let child = child.unwrap_or_else(|e| panic!("{name}: {command:?}: {e}"));
        Self { name: name.to_owned(), child, log }
    }

    /// The exit status when the program has ended.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child can be waited for")
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends a signal by name, such as `HUP`.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status().expect("kill runs");
        assert!(status.success(), "kill -s {name} {pid}");
    }

    /// `kill -9`, and waits until the program is gone.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("an own child can be killed");
        self.child.wait().expect("a child can be waited for");
    }

    /// Waits until the program has ended by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().expect("a child can be waited for")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when the program has ended already, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
        if std::thread::panicking() {
            let log = self.log();
            let mut from = log.len().saturating_sub(LOG_TAIL_BYTES);
            while !log.is_char_boundary(from) {
                from += 1;
            }
            eprintln!("--- the end of {}'s log ---\n{}", self.name, &log[from..]);
        }
    }
}

/// A TCP port of 127.0.0.1 that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has free ports");
    listener.local_addr().expect("a bound socket has an address").port()
}

/// Runs a program to its end; its standard output, which must come with success.
pub(crate) fn output(command: &mut Command) -> String {
    let out = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let stdout = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(
        out.status.success(),
        "{command:?}: {}\n{stdout}{}",
        out.status,
        String::from_utf8_lossy(&out.stderr)
    );
    stdout
}
