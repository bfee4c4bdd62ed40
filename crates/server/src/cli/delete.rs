//! `precinct delete`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Args;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, StatusCode};

use crate::app::Stored;
use crate::cli::http_client::{base_url, client_for};
use crate::config::DataArgs;

/// Delete DICOM instances from a data directory or a running server
///
/// They are not listed and not served any more. Their bytes stay until `precinct fsck --prune` removes them; until then
/// `precinct fsck --repair` brings them back. Exit status: 0 all were deleted, 1 at least one was not (each on standard
/// error with its reason), 2 nothing was done.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    precinct delete --confirm --data /srv/images 2.25.17           in a data directory that no server holds\n  \
    precinct delete --confirm --to http://127.0.0.1:8080 2.25.17   in a running server")]
pub(super) struct DeleteArgs {
    /// SOP Instance UIDs
    #[arg(required = true, value_name = "UID")]
    uids: Vec<String>,
    /// Say that it is meant: without this nothing is deleted
    #[arg(long)]
    confirm: bool,
    /// Base URL of a running server, which deletes them in its own data directory
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    #[command(flatten)]
    data: DataArgs,
}

const NOTHING_DONE: u8 = 2;

/// How long a server may take to accept a connection, and to answer.
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(60);

pub(super) async fn run(args: DeleteArgs) -> anyhow::Result<ExitCode> {
    match delete_all(&args).await {
        Ok(0) => Ok(ExitCode::SUCCESS),
        Ok(_) => Ok(ExitCode::FAILURE),
        Err(error) => {
            eprintln!("precinct: nothing was deleted: {error:#}");
            Ok(ExitCode::from(NOTHING_DONE))
        }
    }
}

/// Deletes; returns how many were not.
///
/// # Errors
///
/// If none was, because nothing could be.
async fn delete_all(args: &DeleteArgs) -> anyhow::Result<usize> {
    if !args.confirm {
        bail!("--confirm says that it is meant");
    }
    let house = House::open(args).await?;
    let (mut deleted, mut left) = (0, 0);
    for uid in &args.uids {
        match house.delete(uid).await {
            Ok(true) => deleted += 1,
            Ok(false) => {
                eprintln!("{uid}: no such instance is stored");
                left += 1;
            }
            // The next one would fare no better.
            Err(error) if deleted == 0 => return Err(error),
            Err(error) => {
                eprintln!("precinct: stopped: {error:#}");
                left = args.uids.len() - deleted;
                break;
            }
        }
    }
    house.close().await;
    Ok(left)
}

/// Where the instances are.
enum House {
    Here(Stored),
    There { client: Client, base: String },
}

impl House {
    async fn open(args: &DeleteArgs) -> anyhow::Result<Self> {
        let Some(base) = &args.to else {
            let settings = args.data.settle()?;
            if !settings.data.exists() {
                bail!("there is no data directory {}", settings.data.display());
            }
            return Ok(Self::Here(Stored::open(&settings).await?));
        };
        let base = base_url(base)?;
        let client = client_for(base).connect_timeout(CONNECT).timeout(ANSWER).build().context("no HTTP client")?;
        Ok(Self::There { client, base: base.to_owned() })
    }

    /// Deletes an instance; `false` if there is none of this UID.
    async fn delete(&self, uid: &str) -> anyhow::Result<bool> {
        let (client, base) = match self {
            Self::Here(stored) => return Ok(stored.catalog.delete_instance(uid).await?.is_some()),
            Self::There { client, base } => (client, base),
        };
        let uid = utf8_percent_encode(uid, NON_ALPHANUMERIC);
        let sent = client.delete(format!("{base}/api/v1/instances/{uid}?confirm={uid}")).send().await;
        let answer = sent.map_err(reqwest::Error::without_url).with_context(|| format!("{base} does not answer"))?;
        match answer.status() {
            StatusCode::NO_CONTENT => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            status => bail!("{base} answered {status}"),
        }
    }

    async fn close(self) {
        if let Self::Here(stored) = self {
            stored.catalog.close().await;
        }
    }
}
