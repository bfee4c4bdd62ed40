//! `precinct import`.

mod sink;
mod walk;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::bail;
use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::config::DataArgs;
use sink::{LocalSink, RemoteSink, Taken};
use walk::{Candidate, Found};

/// Take DICOM, JP2, JPX, JPH and J2K files into a data directory or a running server
///
/// Folders are walked to their ends; files in them that are neither DICOM nor JPEG 2000 are passed over. A DICOM object
/// is asked for by its SOP Instance UID, any other image by its name: the base name of a file given by itself, the path
/// below the folder of one found in a folder. Exit status: 0 all taken or already there, 1 at least one refused (each
/// on standard error with its reason), 2 nothing done.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    precinct import --data /srv/images study/ slide.jp2      into a data directory that no server holds\n  \
    precinct import --to http://127.0.0.1:8080 study/        into a running server")]
pub struct ImportArgs {
    /// Files and folders
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Base URL of a running server, which takes the files into its own data directory
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    #[command(flatten)]
    data: DataArgs,
}

/// What became of the files.
#[derive(Debug, Default)]
struct Tally {
    inserted: u64,
    replaced: u64,
    duplicate: u64,
    refused: u64,
    passed_over: u64,
}

const NOTHING_DONE: u8 = 2;

/// How often the rest of the index jobs is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Index jobs that had to be put off, for want of room perhaps, are waited for no longer than this.
const PATIENCE: Duration = Duration::from_secs(15);

/// Imports what the arguments name; see [`ImportArgs`] for the exit status.
///
/// # Errors
///
/// None: what goes wrong is reported on standard error.
pub async fn run(args: ImportArgs) -> anyhow::Result<ExitCode> {
    match import(&args).await {
        Ok(tally) => {
            tally.report();
            Ok(tally.exit_code())
        }
        Err(error) => {
            eprintln!("precinct: nothing was imported: {error:#}");
            Ok(ExitCode::from(NOTHING_DONE))
        }
    }
}

async fn import(args: &ImportArgs) -> anyhow::Result<Tally> {
    let paths = args.paths.clone();
    if paths.iter().all(|path| !path.exists()) {
        // Said before a data directory is made.
        bail!("no such file or folder: {}", paths.first().map(|path| path.display().to_string()).unwrap_or_default());
    }
    // A data directory that a server holds is refused before a large folder is walked.
    if let Some(base) = &args.to {
        let sink = RemoteSink::new(base)?;
        let (mut tally, files) = begin(tokio::task::spawn_blocking(move || walk::find(&paths, &[])).await?);
        send(&sink, &mut tally, &files).await?;
        return Ok(tally);
    }
    let settings = args.data.settle()?;
    let sink = LocalSink::open(&settings).await?;
    let ours: Vec<_> = settings.store.into_iter().chain([settings.data]).collect();
    let (mut tally, files) = begin(tokio::task::spawn_blocking(move || walk::find(&paths, &ours)).await?);
    let bar = progress(files.len() as u64);
    for file in &files {
        bar.set_message(shown(file));
        let taken = sink.take(&file.path, file.name.as_deref()).await;
        tally.count(&bar, file, taken);
    }
    let left = wait_for_indexes(&sink, &bar).await;
    bar.finish_and_clear();
    sink.close().await;
    if let Some(why) = left {
        // What was taken is durable all the same: this is no reason to import it once more.
        eprintln!("precinct: {why}; the next start indexes what is left");
    }
    Ok(tally)
}

/// Reports what cannot be read; returns the rest.
fn begin(found: Found) -> (Tally, Vec<Candidate>) {
    let mut tally = Tally { passed_over: found.passed_over, ..Tally::default() };
    for (path, error) in found.unreadable {
        eprintln!("{}: refused: {error}", path.display());
        tally.refused += 1;
    }
    (tally, found.files)
}

async fn send(sink: &RemoteSink, tally: &mut Tally, files: &[Candidate]) -> anyhow::Result<()> {
    let bar = progress(files.len() as u64);
    for file in files {
        bar.set_message(shown(file));
        match sink.take(&file.path, file.name.as_deref()).await {
            Ok(taken) => tally.count(&bar, file, taken),
            Err(error) if tally.taken() == 0 => return Err(error),
            Err(error) => {
                bar.suspend(|| eprintln!("precinct: stopped: {error:#}"));
                // Those that were not tried are not there either.
                tally.refused += 1;
                break;
            }
        }
    }
    bar.finish_and_clear();
    Ok(())
}

/// Waits until a server that is started next answers at once; returns why that will not be so.
async fn wait_for_indexes(sink: &LocalSink, bar: &ProgressBar) -> Option<String> {
    let (mut last, mut since) = (0, Instant::now());
    loop {
        let jobs = match sink.catalog().counts().await {
            Ok(counts) => counts.jobs,
            Err(error) => return Some(error.to_string()),
        };
        if jobs == 0 {
            return None;
        }
        if jobs != last {
            (last, since) = (jobs, Instant::now());
        }
        if sink.has_put_off() && since.elapsed() > PATIENCE {
            return Some(format!("{jobs} objects could not be indexed now"));
        }
        bar.set_message(format!("indexing, {jobs} to go"));
        tokio::time::sleep(LOOK).await;
    }
}

fn progress(files: u64) -> ProgressBar {
    // Hides itself where standard error is not a terminal.
    let bar = ProgressBar::with_draw_target(Some(files), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {eta} {wide_msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

fn shown(file: &Candidate) -> String {
    file.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

impl Tally {
    fn count(&mut self, bar: &ProgressBar, file: &Candidate, taken: Taken) {
        match taken {
            Taken::Inserted => self.inserted += 1,
            Taken::Replaced => self.replaced += 1,
            Taken::Duplicate => self.duplicate += 1,
            Taken::Refused(reason) => {
                let about_name = if file.name.is_none() { " (the name of the file is not UTF-8)" } else { "" };
                bar.suspend(|| eprintln!("{}: refused: {reason}{about_name}", file.path.display()));
                self.refused += 1;
            }
        }
        bar.inc(1);
    }

    const fn taken(&self) -> u64 {
        self.inserted + self.replaced + self.duplicate
    }

    fn report(&self) {
        let mut words = vec![format!("{} imported", self.inserted)];
        let others = [
            (self.replaced, "replaced"),
            (self.duplicate, "already there"),
            (self.refused, "refused"),
            (self.passed_over, "passed over"),
        ];
        words.extend(others.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!("{count} {word}")));
        // Whoever closed standard output does not want to know.
        let _ = writeln!(std::io::stdout(), "{}", words.join(", "));
    }

    fn exit_code(&self) -> ExitCode {
        match (self.taken(), self.refused) {
            (0, 0) => ExitCode::from(NOTHING_DONE),
            (_, 0) => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        }
    }
}
