//! `precinct apart`: the other side of [`crate::worker::apart`]. Not for users.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use rustix::process::{Resource, Rlimit, getppid, nice, setrlimit};

use crate::worker::apart::Answer;
use crate::worker::derive;

/// Does one piece of work for a server, within limits
#[derive(Debug, Args)]
pub(super) struct ApartArgs {
    task: TaskName,
    /// File to write
    #[arg(long)]
    output: PathBuf,
    /// What the task is told, as JSON
    #[arg(long)]
    arguments: String,
    /// Bytes of address space
    #[arg(long)]
    memory: u64,
    /// Bytes of the output file
    #[arg(long)]
    output_bytes: u64,
    /// Seconds on a processor
    #[arg(long)]
    processor_seconds: u64,
}

/// What can be done.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum TaskName {
    Derive,
}

/// How often to look whether the server is still there.
const LOOK: Duration = Duration::from_secs(1);

/// Works on standard input; the answer goes to standard output.
pub(super) fn run(args: &ApartArgs) -> anyhow::Result<ExitCode> {
    confine(args)?;
    end_with_parent();
    let input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let output =
        File::options().write(true).truncate(true).open(&args.output).context("the output cannot be opened")?;
    let answer = match args.task {
        TaskName::Derive => derive::making::run(&args.arguments, input, output)?,
    };
    let answer = answer.map_or_else(Answer::Refused, Answer::Done);
    serde_json::to_writer(io::stdout().lock(), &answer)?;
    Ok(ExitCode::SUCCESS)
}

fn confine(args: &ApartArgs) -> anyhow::Result<()> {
    let limits = [
        (Resource::As, args.memory),
        (Resource::Fsize, args.output_bytes),
        (Resource::Cpu, args.processor_seconds),
        (Resource::Core, 0),
    ];
    for (resource, limit) in limits {
        let limit = Rlimit { current: Some(limit), maximum: Some(limit.saturating_add(1)) };
        setrlimit(resource, limit).with_context(|| format!("no limit can be set for {resource:?}"))?;
    }
    // A machine that does not let us be nice is no reason not to work.
    let _as_it_was = nice(10);
    Ok(())
}

/// Ends this process when the server is gone, however that ended.
fn end_with_parent() {
    let parent = getppid();
    std::thread::spawn(move || {
        while getppid() == parent {
            std::thread::sleep(LOOK);
        }
        std::process::exit(1);
    });
}
