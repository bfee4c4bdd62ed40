//! Everything that the services of one process share, put together once.

use std::{
    ffi::OsString,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use anyhow::Context as _;
use catalog::Catalog;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::{
    config::{DataSettings, Database, ServeSettings},
    data_dir::DataDir,
    ingest::Ingest,
    serving::Serving,
    storage::Storage,
    telemetry::Metrics,
    transport::Transports,
    worker::{
        Worker,
        apart::{self, Apart},
        derive::Deriver,
    },
};

/// What the services of one process share.
pub(crate) struct App {
    settings: ServeSettings,
    base_url: String,
    jpip_path: String,
    catalog: Catalog,
    storage: Storage,
    worker: Worker,
    ingest: Ingest,
    serving: Serving,
    transports: Transports,
    metrics: Metrics,
    draining: AtomicBool,
    /// Held for as long as the process works with it.
    _data: Arc<DataDir>,
}

/// What may stand in the query of a URL that we hand out; `/` is kept for readability.
const IN_QUERY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

impl App {
    /// Puts the services together on what is stored; `address` is where HTTP is listened on.
    pub(crate) fn new(settings: ServeSettings, stored: Stored, address: SocketAddr) -> Arc<Self> {
        let Stored { data, catalog, storage } = stored;
        let metrics = Metrics::new();
        let deriver = Deriver { kind: settings.derive, apart: Apart::of_this_program(apart::Limits::default()) };
        let worker = Worker::new(storage.clone(), catalog.clone(), data.node()).deriving(deriver);
        let ingest = Ingest::new(storage.clone(), catalog.clone(), worker.clone());
        let serving = Serving::new(&settings, &catalog, &storage, &worker, &metrics);
        let base_url = settings.public_url.clone().unwrap_or_else(|| format!("http://{address}"));
        Arc::new(Self {
            jpip_path: jpip_path(&base_url),
            base_url,
            catalog,
            storage,
            worker,
            ingest,
            serving,
            transports: Transports::default(),
            metrics,
            draining: AtomicBool::new(false),
            _data: data,
            settings,
        })
    }

    pub(crate) const fn settings(&self) -> &ServeSettings {
        &self.settings
    }

    pub(crate) const fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    pub(crate) const fn storage(&self) -> &Storage {
        &self.storage
    }

    pub(crate) const fn worker(&self) -> &Worker {
        &self.worker
    }

    pub(crate) const fn ingest(&self) -> &Ingest {
        &self.ingest
    }

    pub(crate) const fn serving(&self) -> &Serving {
        &self.serving
    }

    pub(crate) const fn transports(&self) -> &Transports {
        &self.transports
    }

    pub(crate) const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The base of the URLs that are handed out, without a slash at the end.
    pub(crate) fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The URL at which a JPIP client asks for a target.
    pub(crate) fn jpip_url(&self, target: &str) -> String {
        format!("{}/jpip?target={}", self.base_url, utf8_percent_encode(target, IN_QUERY))
    }

    /// The path of JPIP requests as `JPIP-cnew` names it: without a leading slash.
    pub(crate) fn jpip_path(&self) -> &str {
        &self.jpip_path
    }

    /// From now on nothing new is begun.
    pub(crate) fn start_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Begins background work: indexing, closing idle channels, keeping counters small.
    pub(crate) fn start(&self) {
        drop(self.worker.start());
        tokio::spawn(Arc::clone(self.serving.channels()).sweep());
        tokio::spawn(self.metrics.clone().upkeep());
    }

    /// Ends background work and lets go of the catalog.
    pub(crate) async fn close(&self) {
        self.worker.stop().await;
        self.catalog.close().await;
    }
}

/// The path of JPIP requests below a base URL.
fn jpip_path(base_url: &str) -> String {
    let host_and_path = base_url.split_once("://").map_or(base_url, |(_scheme, rest)| rest);
    match host_and_path.split_once('/') {
        Some((_host, path)) if !path.is_empty() => format!("{path}/jpip"),
        _ => "jpip".to_owned(),
    }
}

/// What is stored, opened; the part that serving and importing have in common.
pub(crate) struct Stored {
    pub(crate) data: Arc<DataDir>,
    pub(crate) catalog: Catalog,
    pub(crate) storage: Storage,
}

impl Stored {
    /// Opens the data directory, the catalog and the store.
    ///
    /// # Errors
    ///
    /// If another process holds the data directory, or a newer program wrote it, or the file system refuses, or the
    /// bucket does not answer as it must.
    pub(crate) async fn open(settings: &DataSettings) -> anyhow::Result<Self> {
        let data = Arc::new(DataDir::open(&settings.data)?);
        let storage = match (&settings.bucket, &settings.store) {
            (Some(bucket), _) => {
                let text =
                    |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
                Storage::open_s3(&data, bucket, std::env::vars_os().filter_map(text)).await?
            }
            // Compared as the file system sees it: one that does not exist yet is not the data directory.
            (None, Some(folder)) if folder.canonicalize().ok().as_deref() != Some(data.root()) => {
                Storage::open_folder(folder)
                    .with_context(|| format!("the store {} cannot be used", folder.display()))?
            }
            _ => Storage::open(&data)?,
        };
        let url = match &settings.database {
            Database::Postgres(url) => url.clone(),
            Database::Sqlite(file) => {
                let file = file.clone().unwrap_or_else(|| data.catalog_file());
                format!("sqlite:{}", file.to_str().context("the path of the catalog is not UTF-8")?)
            }
        };
        let catalog = Catalog::open(&url).await.context("the catalog cannot be opened")?;
        Ok(Self { data, catalog, storage })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_the_public_url_leads_to_jpip() {
        assert_eq!(jpip_path("http://127.0.0.1:8080"), "jpip");
        assert_eq!(jpip_path("https://images.example/pacs/precinct"), "pacs/precinct/jpip");
    }
}
