//! The command line: one subcommand a file.

use std::{future::Future, process::ExitCode};

use anyhow::Context as _;
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::{config::LogFormat, telemetry, worker::presentation::INDEX_VERSION};

mod add_xml;
mod apart;
mod delete;
mod describe;
mod doctor;
mod fetch;
mod foreign_index;
mod fsck;
mod http_client;
pub mod import;
mod index;
mod inspect;
mod local;
mod serve;
mod transcode;

/// A DICOM imaging service built around JPIP
///
/// Keeps DICOM objects and JPEG 2000 files exactly as they came, and serves any window of them, at any resolution
/// and quality, by JPIP (ISO/IEC 15444-9).
#[derive(Debug, Parser)]
#[command(
    name = "precinct",
    disable_help_subcommand = true,
    arg_required_else_help = true,
    after_help = "Examples:\n  \
        precinct import --data ./data scan.dcm slides/     put files into a data directory\n  \
        precinct serve --data ./data                       serve them; open http://127.0.0.1:8080/\n  \
        precinct fetch 'http://127.0.0.1:8080/jpip?target=slide.jp2' --fsiz 512,512 -o thumbnail.png\n\n\
        `precinct COMMAND --help` says more about each command."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
    Import(import::ImportArgs),
    Delete(delete::DeleteArgs),
    Fetch(fetch::FetchArgs),
    Index(index::Index),
    Inspect(inspect::Inspect),
    Transcode(transcode::Transcode),
    AddXml(add_xml::AddXml),
    Fsck(fsck::FsckArgs),
    Doctor(doctor::Doctor),
    #[command(hide = true)]
    Apart(apart::ApartArgs),
}

/// Runs the command that the arguments name; returns the exit status of the process.
#[must_use]
pub fn run() -> ExitCode {
    // Made once in a process; clap wants it for as long as the process lives.
    let version = String::leak(format!(
        "{} (index version {INDEX_VERSION}, schema version {})",
        env!("CARGO_PKG_VERSION"),
        catalog::schema_version()
    ));
    let matches = Cli::command().version(&*version).get_matches();
    let cli = match Cli::from_arg_matches(&matches) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    let done = match cli.command {
        Command::Serve(serve) => serve::run(&serve),
        Command::Import(args) => client(import::run(args)),
        Command::Delete(args) => client(delete::run(args)),
        Command::Fetch(args) => client(fetch::run(args)),
        Command::Index(args) => index::run(&args),
        Command::AddXml(args) => add_xml::run(&args),
        Command::Inspect(args) => client(inspect::run(args)),
        Command::Transcode(args) => transcode::run(&args),
        Command::Fsck(args) => client(fsck::run(args)),
        Command::Apart(args) => apart::run(&args),
        Command::Doctor(args) => client(doctor::run(args)),
    };
    done.unwrap_or_else(|error| {
        eprintln!("precinct: {error:#}");
        ExitCode::FAILURE
    })
}

/// Runs a command that waits for sockets or files; it says itself what a user must know, so only warnings are logged.
fn client(command: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    telemetry::start_logging(LogFormat::Text, "warn")?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no threads")?;
    let done = runtime.block_on(command);
    runtime.shutdown_background();
    done
}
