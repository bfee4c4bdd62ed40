//! The command line: one subcommand a file.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod serve;

/// A DICOM imaging service built around JPIP.
#[derive(Debug, Parser)]
#[command(
    name = "precinct",
    version = env!("CARGO_PKG_VERSION"),
    disable_help_subcommand = true,
    arg_required_else_help = true,
    after_help = "Examples:\n  \
        precinct import --data ./data scan.dcm slides/     put files into a data directory\n  \
        precinct serve --data ./data                       serve them; open http://127.0.0.1:8080/\n  \
        precinct fetch 'http://127.0.0.1:8080/jpip/scan.j2k?fsiz=512,512' -o thumb.png\n\n\
        `precinct COMMAND --help` says more about each command."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Serve),
}

/// Runs the command that the arguments name; returns the exit status of the process.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        Command::Serve(serve) => serve::run(&serve),
    };
    done.unwrap_or_else(|error| {
        eprintln!("precinct: {error:#}");
        ExitCode::FAILURE
    })
}
