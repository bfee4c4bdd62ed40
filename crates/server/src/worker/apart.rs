//! Work on hostile bytes in a process of its own: bounded in memory and time, few at once, ended when nobody waits.
//!
//! A task has a name, arguments (JSON), an input file and an output file; it answers with facts (JSON) or says why the
//! input cannot be worked on. Whatever else happens to it (a crash, a bomb, a hang) costs that task only and is told in
//! words. The other side is [`crate::cli`]'s hidden command `apart`.

use std::fs::File;
use std::io;
use std::num::NonZero;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::sync::Semaphore;

/// Runs tasks apart; cheap to clone.
#[derive(Debug, Clone)]
pub struct Apart {
    program: PathBuf,
    limits: Limits,
    places: Arc<Semaphore>,
}

/// What one task may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of address space.
    pub memory: u64,
    /// Bytes of the output file.
    pub output: u64,
    /// Time on a processor.
    pub processor: Duration,
    /// Time from beginning to end.
    pub patience: Duration,
}

/// What is to be done.
#[derive(Debug)]
pub struct Task<'a> {
    /// Its name, one of those that `precinct apart` knows.
    pub name: &'static str,
    /// What it is told beside its input; nothing of a patient, other processes can see it.
    pub arguments: Value,
    /// The bytes to be worked on.
    pub input: File,
    /// Where it writes.
    pub output: &'a Path,
}

/// What a task answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// It is done, with what was found out.
    Done(Value),
    /// The input cannot be worked on.
    Refused(Refusal),
}

/// Why an input cannot be worked on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Whether it is legal, but not done here; else it is damaged.
    pub is_unsupported: bool,
    /// In words.
    pub words: String,
}

/// Why there is no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ApartError {
    /// The input cannot be worked on.
    #[error("{}", .0.words)]
    Refused(Refusal),
    /// The process came to no orderly end.
    #[error("{0}")]
    Stopped(String),
    /// The process could not be started or spoken with, which says nothing of the input.
    #[error("a process of its own cannot be run: {0}")]
    Process(#[from] io::Error),
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 4 << 30,
            output: 64 << 30,
            processor: Duration::from_secs(30 * 60),
            patience: Duration::from_secs(2 * 60 * 60),
        }
    }
}

/// Bytes of facts, and of what a process says on its standard error, that are kept.
const ANSWER: usize = 1 << 20;
const WORDS: usize = 4096;

impl Apart {
    /// Runs tasks by the program at `program`, which is precinct.
    #[must_use]
    pub fn new(program: PathBuf, limits: Limits) -> Self {
        let places = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self { program, limits, places: Arc::new(Semaphore::new(places)) }
    }

    /// Runs tasks by the program that this process runs, even if its file was replaced meanwhile.
    #[must_use]
    pub fn of_this_program(limits: Limits) -> Self {
        Self::new(PathBuf::from("/proc/self/exe"), limits)
    }

    /// Runs a task once there is a place for it; returns its facts. The process ends when this is dropped.
    ///
    /// # Errors
    ///
    /// See [`ApartError`]; the output file may hold anything then.
    pub async fn run(&self, task: Task<'_>) -> Result<Value, ApartError> {
        // Never closed: an error cannot be.
        let _place = self.places.acquire().await;
        let mut child = self.spawn(task)?;
        let (Some(out), Some(words)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(io::Error::other("a process without its pipes").into());
        };
        let heard = async { tokio::join!(child.wait(), read(out, ANSWER), read(words, WORDS)) };
        let Ok((status, answer, words)) = tokio::time::timeout(self.limits.patience, heard).await else {
            child.kill().await?;
            let seconds = self.limits.patience.as_secs();
            return Err(ApartError::Stopped(format!("it took more than {seconds} s and was ended")));
        };
        let status = status?;
        if !status.success() {
            return Err(ApartError::Stopped(self.words_of(status, &words)));
        }
        match serde_json::from_slice(&answer) {
            Ok(Answer::Done(facts)) => Ok(facts),
            Ok(Answer::Refused(refusal)) => Err(ApartError::Refused(refusal)),
            Err(_) => Err(ApartError::Stopped("its process ended without an answer".to_owned())),
        }
    }

    fn spawn(&self, task: Task<'_>) -> io::Result<Child> {
        Command::new(&self.program)
            .arg("apart")
            .arg(task.name)
            .arg("--output")
            .arg(task.output)
            .arg("--arguments")
            .arg(task.arguments.to_string())
            .arg("--memory")
            .arg(self.limits.memory.to_string())
            .arg("--output-bytes")
            .arg(self.limits.output.to_string())
            .arg("--processor-seconds")
            .arg(self.limits.processor.as_secs().max(1).to_string())
            // Passwords and keys of the service are none of its business.
            .env_clear()
            .stdin(Stdio::from(task.input))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
    }

    fn words_of(&self, status: ExitStatus, words: &[u8]) -> String {
        let said = String::from_utf8_lossy(words);
        let said = said.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
        let said: String = said.chars().filter(|c| !c.is_control()).take(200).collect();
        let ended = match status.signal() {
            Some(SIGXCPU) => {
                format!("its process used more than {} s of a processor", self.limits.processor.as_secs())
            }
            Some(SIGXFSZ) => format!("its process wrote more than {} bytes", self.limits.output),
            Some(signal) => format!("its process was ended by signal {signal}"),
            None => format!("its process ended with status {}", status.code().unwrap_or_default()),
        };
        if said.is_empty() { ended } else { format!("{ended}: {said}") }
    }
}

/// Linux's numbers.
const SIGXCPU: i32 = 24;
const SIGXFSZ: i32 = 25;

/// Reads to the end and keeps the beginning, so that who writes more is not held up.
async fn read(mut from: impl AsyncRead + Unpin, kept: usize) -> Vec<u8> {
    let (mut all, mut piece) = (Vec::new(), [0; 4096]);
    while let Ok(n) = from.read(&mut piece).await
        && n > 0
    {
        all.extend(piece.iter().take(n.min(kept.saturating_sub(all.len()))));
    }
    all
}
