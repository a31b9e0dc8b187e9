//! Asking mounts for their space without waiting for ever: a network mount whose server is gone
//! blocks `statfs` until the server is back.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::time::Duration;

use super::Space;

type Answer = Result<Space, String>;
type Probe = fn(&Path) -> Answer;

/// Threads that may be stuck in dead mounts. Beyond it, mounts are not asked.
const STUCK_MAX: usize = 64;

/// The label value for a mount that does not answer; node_exporter's words.
const TIMED_OUT: &str = "mountpoint timeout";

/// A thread that asks, and where its answers arrive.
#[derive(Debug)]
struct Asker {
    questions: Sender<PathBuf>,
    answers: Receiver<Answer>,
}

impl Asker {
    /// A thread cannot be stopped; one that is stuck is left alone and ends when its mount answers,
    /// since nobody holds the other end of its questions.
    fn start(probe: Probe) -> io::Result<Self> {
        let (questions, inbox) = channel::<PathBuf>();
        let (outbox, answers) = channel();
        let ask = move || {
            for path in inbox {
                if outbox.send(probe(&path)).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("mount-prober".to_owned()).spawn(ask)?;
        Ok(Self { questions, answers })
    }
}

/// Asks one mount after the other, and remembers those that are dead.
#[derive(Debug)]
pub(crate) struct MountProber {
    probe: Probe,
    asker: Option<Asker>,
    /// Mounts that have not answered yet, with where their answer will arrive.
    stuck: BTreeMap<PathBuf, Receiver<Answer>>,
}

impl MountProber {
    pub(crate) fn new(probe: Probe) -> Self {
        Self { probe, asker: None, stuck: BTreeMap::new() }
    }

    /// The space at `path`. A mount that takes longer than `wait` is not asked again until that
    /// first question is answered.
    pub(crate) fn probe(&mut self, path: &Path, wait: Duration) -> Answer {
        if let Some(answers) = self.stuck.get(path) {
            match answers.try_recv() {
                Err(TryRecvError::Empty) => return Err(TIMED_OUT.to_owned()),
                Ok(_) | Err(TryRecvError::Disconnected) => self.stuck.remove(path),
            };
        }
        if self.stuck.len() >= STUCK_MAX {
            return Err("too many mounts do not answer".to_owned());
        }
        let asker = match self.asker.take().map_or_else(|| Asker::start(self.probe), Ok) {
            Ok(asker) => asker,
            Err(error) => return Err(error.to_string()),
        };
        if asker.questions.send(path.to_owned()).is_err() {
            return Err("the thread that asks mounts has ended".to_owned());
        }
        match asker.answers.recv_timeout(wait) {
            Ok(answer) => {
                self.asker = Some(asker);
                answer
            }
            Err(RecvTimeoutError::Timeout) => {
                self.stuck.insert(path.to_owned(), asker.answers);
                Err(TIMED_OUT.to_owned())
            }
            Err(RecvTimeoutError::Disconnected) => Err("the thread that asks mounts has ended".to_owned()),
        }
    }
}
