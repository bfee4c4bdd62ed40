//! `precinct doctor`.

use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use catalog::{Catalog, schema_version};
use clap::Args;
use indicatif::HumanBytes;
use rustix::process::{Resource, getrlimit};

use crate::config::{DataSettings, Database, ServeArgs, ServeSettings};
use crate::data_dir::{DataDir, DirState};

/// Check the set-up that `serve` would start with
///
/// Takes the options of `serve`, looks at everything that they name, and changes nothing: settings, data directory, disk,
/// database, addresses, limits. Each line says what was found, and what is wrong says how to mend it. Exit status: 0 the
/// server can start, 1 it cannot.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    precinct doctor\n  \
    precinct doctor --config /etc/precinct.toml\n  \
    precinct doctor --data /srv/images --database postgres://precinct@db.example/precinct")]
pub(super) struct Doctor {
    #[command(flatten)]
    args: ServeArgs,
}

/// What came of one look.
enum Found {
    Good(String),
    /// The server starts, and something may be better.
    Doubtful(String),
    /// The server does not start, or takes nothing in.
    Bad(String),
}

use Found::{Bad, Doubtful, Good};

pub(super) async fn run(doctor: Doctor) -> anyhow::Result<ExitCode> {
    let settings = match doctor.args.settle() {
        Ok(settings) => settings,
        Err(error) => {
            say("settings", &Bad(format!("{error:#}")));
            return Ok(ExitCode::FAILURE);
        }
    };
    let state = DataDir::look(&settings.data.data);
    let is_running = matches!(state, Ok(DirState::Held { .. }));
    let looks = [
        ("settings", Good("they fit together".to_owned())),
        ("data directory", data_directory(&settings.data.data, state)),
        ("disk", disk(&settings.data.data)),
        ("store", store(&settings.data)),
        ("database", database(&settings.data).await),
        ("http", listening(settings.http, is_running)),
        ("dicom", listening(settings.dicom.address, is_running)),
        ("access", access(&settings)),
        ("open files", open_files(settings.max_connections)),
    ];
    let mut is_well = true;
    for (name, found) in &looks {
        say(name, found);
        is_well &= !matches!(found, Bad(_));
    }
    Ok(if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn say(name: &str, found: &Found) {
    let (mark, words) = match found {
        Good(words) => ("ok  ", words),
        Doubtful(words) => ("look", words),
        Bad(words) => ("BAD ", words),
    };
    // Whoever closed standard output does not want to know.
    let _ = writeln!(io::stdout(), "{mark}  {name:<15} {words}");
}

fn data_directory(root: &Path, state: Result<DirState, crate::data_dir::DataDirError>) -> Found {
    let name = root.display();
    match state {
        Ok(DirState::Missing) => Good(format!("{name} does not exist yet; the first start makes it")),
        Ok(DirState::Free { layout }) => Good(format!("{name}, layout {layout}, used by nobody now")),
        Ok(DirState::Held { layout }) => Good(format!("{name}, layout {layout}, used by a running precinct")),
        Err(error) => Bad(error.to_string()),
    }
}

/// Room, and whether a file can be made durable, in the folder or where it will be made.
fn disk(root: &Path) -> Found {
    let Some(folder) = existing(root) else {
        return Bad("no folder on the way to the data directory exists".to_owned());
    };
    let disk = match rustix::fs::statvfs(&folder) {
        Ok(disk) => disk,
        Err(error) => return Bad(format!("{}: {error}", folder.display())),
    };
    let (free, whole) = (disk.f_bavail.saturating_mul(disk.f_frsize), disk.f_blocks.saturating_mul(disk.f_frsize));
    let begun = Instant::now();
    let written = tempfile::NamedTempFile::new_in(&folder).and_then(|mut file| {
        file.write_all(&[0; 4096])?;
        file.as_file().sync_all()
    });
    if let Err(error) = written {
        return Bad(format!("{} cannot be written: {error}; give the user of the server that right", folder.display()));
    }
    let sync = begun.elapsed().as_secs_f64() * 1e3;
    let words = format!("{} free of {}; a sync takes {sync:.1} ms", HumanBytes(free), HumanBytes(whole));
    if free < whole / 20 {
        return Doubtful(format!("{words}; the last twentieth is kept free, so nothing may be taken in: make room"));
    }
    Good(words)
}

/// The folder itself, or the nearest above it that exists.
fn existing(folder: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(folder).ok()?;
    absolute.ancestors().find(|path| path.is_dir()).map(Path::to_owned)
}

fn store(settings: &DataSettings) -> Found {
    match (&settings.bucket, &settings.store) {
        (Some(bucket), _) => Good(format!("{bucket}; a start tries it with a few bytes, which is not done here")),
        (None, Some(folder)) => Good(folder.display().to_string()),
        (None, None) => Good("in the data directory".to_owned()),
    }
}

async fn database(settings: &DataSettings) -> Found {
    let (url, name) = match &settings.database {
        Database::Postgres(url) => (url.clone(), "PostgreSQL"),
        Database::Sqlite(file) => {
            let file = file.clone().unwrap_or_else(|| settings.data.join("catalog.sqlite"));
            if !file.exists() {
                return Good(format!("{} does not exist yet; the first start makes it", file.display()));
            }
            (format!("sqlite:{}", file.display()), "SQLite")
        }
    };
    let known = schema_version();
    match Catalog::schema_of(&url).await {
        Ok(0) => Good(format!("{name}, empty; the first start makes its tables")),
        Ok(found) if found < known => Good(format!("{name}, schema {found}; the next start brings it to {known}")),
        Ok(found) if found == known => Good(format!("{name}, schema {found}")),
        Ok(found) => Bad(format!("{name}, schema {found}; this program knows {known}: use the newer program")),
        Err(error) => Bad(format!("{name}: {error}")),
    }
}

fn listening(address: SocketAddr, is_running: bool) -> Found {
    match TcpListener::bind(address) {
        Ok(_) => Good(format!("{address} is free")),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse && is_running => {
            Good(format!("{address} is in use, by the running precinct perhaps"))
        }
        Err(error) => Bad(format!("{address} cannot be listened on: {error}; choose another, port 0 takes any")),
    }
}

fn access(settings: &ServeSettings) -> Found {
    let open = |address: SocketAddr, rules: usize| !address.ip().to_canonical().is_loopback() && rules == 0;
    let services = [
        ("HTTP", open(settings.http, settings.http_allow.len())),
        ("DICOM", open(settings.dicom.address, settings.dicom.allow.len())),
    ];
    let anybody: Vec<_> = services.iter().filter(|(_, open)| *open).map(|(name, _)| *name).collect();
    if anybody.is_empty() {
        return Good("loopback, and whom the settings name".to_owned());
    }
    Doubtful(format!("anybody who reaches this machine may use {}", anybody.join(" and ")))
}

fn open_files(connections: usize) -> Found {
    let Some(most) = getrlimit(Resource::Nofile).maximum else { return Good("no limit".to_owned()) };
    if most < connections as u64 + 512 {
        return Doubtful(format!("at most {most}, fewer than {connections} connections need: raise ulimit -n"));
    }
    Good(format!("at most {most}"))
}
