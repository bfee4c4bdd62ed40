//! Where imported files go: into a data directory that this process holds, or to a running server.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use catalog::Catalog;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Body, Client, StatusCode};
use serde::Deserialize;
use tokio_util::io::ReaderStream;

use crate::app::Stored;
use crate::cli::http_client::{base_url, client_for};
use crate::config::DataSettings;
use crate::ingest::{Ingest, Ingested, Outcome};
use crate::storage::{Storage, StorageError};
use crate::worker::Worker;

/// What became of one file.
#[derive(Debug)]
pub(super) enum Taken {
    Inserted,
    Replaced,
    Duplicate,
    /// Why it was not taken.
    Refused(String),
}

/// A data directory that this process holds.
pub(super) struct LocalSink {
    stored: Stored,
    ingest: Ingest,
    worker: Worker,
}

/// A running server.
pub(super) struct RemoteSink {
    client: Client,
    base: String,
}

impl LocalSink {
    pub(super) async fn open(settings: &DataSettings) -> anyhow::Result<Self> {
        let stored = Stored::open(settings).await?;
        let worker = Worker::new(stored.storage.clone(), stored.catalog.clone(), stored.data.node());
        let ingest = Ingest::new(stored.storage.clone(), stored.catalog.clone(), worker.clone());
        worker.start();
        Ok(Self { stored, ingest, worker })
    }

    pub(super) async fn take(&self, path: &Path, name: Option<&str>) -> Taken {
        match self.ingest_file(path, name).await {
            Ok(Ingested { outcome: Outcome::Inserted, .. }) => Taken::Inserted,
            Ok(Ingested { outcome: Outcome::Replaced, .. }) => Taken::Replaced,
            Ok(Ingested { outcome: Outcome::Duplicate, .. }) => Taken::Duplicate,
            Ok(Ingested { outcome: Outcome::Conflict, .. }) => Taken::Refused(CONFLICT.to_owned()),
            Err(error) => Taken::Refused(error.to_string()),
        }
    }

    async fn ingest_file(&self, path: &Path, name: Option<&str>) -> anyhow::Result<Ingested> {
        let (storage, path) = (self.stored.storage.clone(), path.to_owned());
        let copy = tokio::task::spawn_blocking(move || copy(&storage, &path));
        Ok(self.ingest.ingest(copy.await??, name).await?)
    }

    pub(super) const fn catalog(&self) -> &Catalog {
        &self.stored.catalog
    }

    /// Whether an index could not be made for a reason outside of its object.
    pub(super) fn has_put_off(&self) -> bool {
        self.worker.has_put_off()
    }

    pub(super) async fn close(self) {
        self.worker.stop().await;
        self.stored.catalog.close().await;
    }
}

fn copy(storage: &Storage, path: &Path) -> anyhow::Result<crate::storage::TempObject> {
    let file = std::fs::File::open(path)?;
    let mut temp = storage.new_temp(u64::MAX)?;
    temp.copy_from(&file).map_err(|error| match error {
        StorageError::Io(error) => error.into(),
        other => anyhow::Error::from(other),
    })?;
    Ok(temp)
}

const CONFLICT: &str = "another object with the same SOP Instance UID is stored and was kept";

/// How long a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);

/// Bytes read from a file for each piece sent.
const PIECE: usize = 256 * 1024;

/// The answer of `POST /api/v1/import`, good or bad.
#[derive(Debug, Default, Deserialize)]
struct Answer {
    outcome: Option<String>,
    title: Option<String>,
    detail: Option<String>,
}

impl RemoteSink {
    pub(super) fn new(base: &str) -> anyhow::Result<Self> {
        let base = base_url(base)?;
        let client = client_for(base).connect_timeout(CONNECT).build().context("no HTTP client")?;
        Ok(Self { client, base: base.to_owned() })
    }

    /// Sends one file.
    ///
    /// # Errors
    ///
    /// If there is no server to send to: the next file would fare no better.
    pub(super) async fn take(&self, path: &Path, name: Option<&str>) -> anyhow::Result<Taken> {
        let file = match tokio::fs::File::open(path).await {
            Ok(file) => file,
            Err(error) => return Ok(Taken::Refused(error.to_string())),
        };
        let len = match file.metadata().await {
            Ok(metadata) => metadata.len(),
            Err(error) => return Ok(Taken::Refused(error.to_string())),
        };
        let mut url = format!("{}/api/v1/import", self.base);
        if let Some(name) = name {
            url.push_str("?name=");
            url.extend(utf8_percent_encode(name, NON_ALPHANUMERIC));
        }
        let body = Body::wrap_stream(ReaderStream::with_capacity(file, PIECE));
        let sent = self.client.post(url).header(CONTENT_LENGTH, len).body(body).send().await;
        let response = match sent {
            Ok(response) => response,
            Err(error) if error.is_connect() || error.is_builder() => {
                return Err(error.without_url()).with_context(|| format!("{} cannot be reached", self.base));
            }
            Err(error) => {
                return Ok(Taken::Refused(format!("sending failed: {:#}", anyhow::Error::from(error.without_url()))));
            }
        };
        let status = response.status();
        let answer: Answer = response.json().await.unwrap_or_default();
        Ok(match (status, answer.outcome.as_deref()) {
            (StatusCode::OK, Some("duplicate")) => Taken::Duplicate,
            (StatusCode::CREATED, Some("replaced")) => Taken::Replaced,
            (StatusCode::CREATED, Some("inserted")) => Taken::Inserted,
            // Many a server says 200 to anything; nothing was stored there.
            _ if status.is_success() => bail!("{} does not answer as a precinct server does", self.base),
            _ => {
                let words = answer.detail.or(answer.title).unwrap_or_default();
                Taken::Refused(format!("{words} ({status})").trim_start().to_owned())
            }
        })
    }
}
