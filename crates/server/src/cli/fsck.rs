//! `precinct fsck`.

use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use indicatif::{HumanBytes, ProgressBar, ProgressDrawTarget};

use crate::app::Stored;
use crate::config::DataArgs;
use crate::fsck::{Fsck, Mending, Treatment};
use crate::ingest::Ingest;
use crate::worker::Worker;
use crate::worker::apart::{Apart, Limits};
use crate::worker::derive::{Derive, Deriver};

/// Check stored bytes, rows and indexes against each other
///
/// Reads every object from end to end: its bytes must be those that were stored, and its index the one that they make.
/// Objects and indexes that no row names are named. No server may run on the data directory or the store meanwhile. Exit status: 0 nothing is
/// wrong (any more), 1 something is, 2 the check could not be made.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    precinct fsck --data /srv/images             look, change nothing\n  \
    precinct fsck --data /srv/images --repair    make indexes again; take DICOM objects without a row in once more\n  \
    precinct fsck --data /srv/images --prune     remove what no row names: what was deleted, what a crash left")]
pub(super) struct FsckArgs {
    /// Put right what can be put right from the stored bytes; what was deleted and not pruned yet comes back
    #[arg(long, conflicts_with = "prune")]
    repair: bool,
    /// Remove the stored bytes that no row names
    #[arg(long)]
    prune: bool,
    #[command(flatten)]
    data: DataArgs,
}

const NOT_CHECKED: u8 = 2;

/// How often the rest of the index jobs is looked at, and how long without any progress.
const LOOK: Duration = Duration::from_millis(50);
const PATIENCE: u32 = 400;

pub(super) async fn run(args: FsckArgs) -> anyhow::Result<ExitCode> {
    match check(&args).await {
        Ok(0) => Ok(ExitCode::SUCCESS),
        Ok(_) => Ok(ExitCode::FAILURE),
        Err(error) => {
            eprintln!("precinct: the check could not be made: {error:#}");
            Ok(ExitCode::from(NOT_CHECKED))
        }
    }
}

/// Checks; returns how much is still wrong.
async fn check(args: &FsckArgs) -> anyhow::Result<u64> {
    let stored = Stored::open(&args.data.settle()?).await?;
    let deriver = Deriver { kind: Derive::default(), apart: Apart::of_this_program(Limits::default()) };
    let worker = Worker::new(stored.storage.clone(), stored.catalog.clone(), stored.data.node()).deriving(deriver);
    let ingest = Ingest::new(stored.storage.clone(), stored.catalog.clone(), worker.clone());
    let treatment = if args.repair {
        worker.start();
        Treatment::Repair(ingest)
    } else if args.prune {
        Treatment::Prune
    } else {
        Treatment::Look
    };
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let (mut objects, mut bytes, mut mended, mut removed, mut wrong) = (0u64, 0u64, 0u64, 0u64, 0u64);
    let fsck = Fsck::new(stored.storage.clone(), stored.catalog.clone(), treatment);
    let checked = fsck.run(
        |size| {
            (objects, bytes) = (objects + 1, bytes + size);
            bar.set_message(format!("{objects} objects, {}", HumanBytes(bytes)));
            bar.tick();
        },
        |finding| {
            let outcome = match finding.mending {
                Mending::Done => {
                    mended += 1;
                    "put right"
                }
                Mending::Possible => {
                    wrong += 1;
                    "--repair can put it right"
                }
                Mending::Impossible => {
                    wrong += 1;
                    "cannot be put right"
                }
                Mending::Removable => "--prune can remove it",
                Mending::Removed => {
                    removed += 1;
                    "removed"
                }
            };
            let line = format!("{}: {}: {outcome}", finding.object, finding.words);
            bar.suspend(|| print(&line));
        },
    );
    checked.await?;
    if args.repair {
        worker.wake();
        let left = wait_for_indexes(&stored, &bar).await?;
        wrong += left;
    }
    bar.finish_and_clear();
    worker.stop().await;
    stored.catalog.close().await;
    let removed = if args.prune { format!("{removed} removed, ") } else { String::new() };
    print(&format!("{objects} objects checked, {}: {mended} put right, {removed}{wrong} wrong", HumanBytes(bytes)));
    Ok(wrong)
}

/// Waits for the indexes that are made again; returns how many were not.
async fn wait_for_indexes(stored: &Stored, bar: &ProgressBar) -> anyhow::Result<u64> {
    let (mut last, mut unchanged) = (0, 0);
    loop {
        let jobs = stored.catalog.counts().await?.jobs;
        unchanged = if jobs == last { unchanged + 1 } else { 0 };
        if jobs == 0 || unchanged > PATIENCE {
            return Ok(jobs);
        }
        last = jobs;
        bar.set_message(format!("indexing, {jobs} to go"));
        tokio::time::sleep(LOOK).await;
    }
}

/// Whoever closed standard output does not want to know.
fn print(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}
