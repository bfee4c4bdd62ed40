//! One bucket: its clients, how long they try, and what they are asked.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use bytes::Bytes;
use catalog::ObjectKey;
use futures_util::StreamExt as _;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::path::Path;
use object_store::{BackoffConfig, ClientOptions, Error, ObjectStore, ObjectStoreExt as _, RetryConfig};
use tokio::sync::{Semaphore, mpsc};

use super::chunks::Chunks;
use super::failure::{of_reading, of_store, too_late, words};
use super::place::S3Place;
use crate::storage::StorageError;

/// A bucket, seen below a prefix.
#[derive(Debug)]
pub(super) struct Bucket {
    /// Gives up within a request's patience.
    pub(super) reader: Arc<dyn ObjectStore>,
    /// Has the time that a part of several MiB takes.
    pub(super) writer: Arc<dyn ObjectStore>,
    root: Path,
    place: S3Place,
    /// As the operator knows it, for messages.
    endpoint: String,
    /// Credentials were given, and the machine is not asked for its own.
    has_key: bool,
    /// Read ahead for indexers, of all objects together.
    pub(super) chunks: Chunks,
    /// One for each request of a reader that is under way.
    requests: Semaphore,
    /// One for each MiB of what is being uploaded.
    pub(super) upload_room: Semaphore,
}

impl Bucket {
    /// The bucket with the credentials and the endpoint that `AWS_…` variables of `environment` name.
    pub(super) fn new(
        place: &S3Place,
        environment: impl IntoIterator<Item = (String, String)>,
    ) -> anyhow::Result<Self> {
        let ours = |(name, value): &(String, String)| name.starts_with("AWS_") && !value.is_empty();
        let environment: Vec<_> = environment.into_iter().filter(ours).collect();
        let client = |times: &Times| client(place, &environment, times).map_err(|error| anyhow!(words(&error)));
        let reader = client(&READING).with_context(|| format!("the settings of {place} are not right"))?;
        let writer = client(&WRITING)?;
        let root = Path::from(place.prefix.as_str());
        let endpoint = endpoint(&environment).map_or_else(|| "Amazon S3".to_owned(), without_user);
        let (reader, writer) = (Arc::new(reader), Arc::new(writer));
        let has_key = environment.iter().any(|(name, _)| name == "AWS_ACCESS_KEY_ID");
        Ok(Self { has_key, ..Self::with_clients(reader, writer, root, place.clone(), endpoint) })
    }

    pub(super) fn with_clients(
        reader: Arc<dyn ObjectStore>,
        writer: Arc<dyn ObjectStore>,
        root: Path,
        place: S3Place,
        endpoint: String,
    ) -> Self {
        let (requests, upload_room) = (Semaphore::new(REQUESTS), Semaphore::new(UPLOAD_ROOM as usize));
        let chunks = Chunks::default();
        Self { reader, writer, root, place, endpoint, has_key: true, chunks, requests, upload_room }
    }

    /// The prefix.
    pub(super) const fn root(&self) -> &Path {
        &self.root
    }

    /// Writes, reads and removes a few bytes.
    pub(super) async fn probe(&self) -> anyhow::Result<()> {
        let number = getrandom::u64().context("no random number for the name of a probe")?;
        let path: Path = self.root.parts().chain([format!("probe-{number:016x}").into()]).collect();
        let tried = tokio::time::timeout(START, async {
            self.writer.put(&path, PROBE.into()).await.map_err(|error| self.refusal("written", &error))?;
            let read = match self.reader.get(&path).await {
                Ok(found) => found.bytes().await,
                Err(error) => Err(error),
            };
            let cleared = self.writer.delete(&path).await;
            let read = read.map_err(|error| self.refusal("read", &error))?;
            cleared.map_err(|error| self.refusal("cleared", &error))?;
            anyhow::ensure!(read == PROBE, "{} gave back other bytes than were written", self.place);
            Ok(())
        });
        let late = |_elapsed| anyhow!("{} gives no answer at {} within {START:?}", self.place, self.endpoint);
        tried.await.unwrap_or_else(|elapsed| Err(late(elapsed)))
    }

    /// The length of an object in bytes.
    pub(super) async fn head(&self, path: &Path, key: &ObjectKey) -> io::Result<u64> {
        let head = async { Ok(self.reader.head(path).await.map_err(|error| unread(&error, key))?.size) };
        self.patiently(head).await
    }

    /// The bytes of a range that is not empty, all of them.
    pub(super) async fn get(&self, path: &Path, range: Range<u64>, key: &ObjectKey) -> io::Result<Bytes> {
        let get = async {
            let bytes = self.reader.get_range(path, range.clone()).await.map_err(|error| unread(&error, key))?;
            if bytes.len() as u64 == range.end - range.start {
                return Ok(bytes);
            }
            tracing::error!(object.key = %key, size_bytes = bytes.len(), "the store gave too few bytes");
            Err(io::ErrorKind::UnexpectedEof.into())
        };
        self.patiently(get).await
    }

    /// Removes an object; one that is not there is removed.
    pub(super) async fn remove(&self, path: &Path, key: &ObjectKey) -> Result<(), StorageError> {
        match self.writer.delete(path).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => {
                tracing::warn!(object.key = %key, error = words(&error), "the store does not remove an object");
                Err(of_store(&error).into())
            }
        }
    }

    /// Sends the names of everything that lies in a folder below the prefix, until nobody takes them.
    pub(super) async fn send_names(&self, folder: &str, to: &mpsc::Sender<Result<String, StorageError>>) {
        let folder: Path = self.root.parts().chain([folder.into()]).collect();
        let above = folder.parts().count();
        let mut found = self.reader.list(Some(&folder));
        while let Some(found) = found.next().await {
            let name = match found {
                // What is listed begins with the way to the objects.
                Ok(found) => Ok(found.location.parts().skip(above).map(|part| part.as_ref().to_owned()).collect()),
                Err(error) => {
                    tracing::warn!(error = words(&error), "the store does not list its objects");
                    Err(of_store(&error).into())
                }
            };
            if to.send(name).await.is_err() {
                return;
            }
        }
    }

    /// As many at a time as are allowed, each for as long as a request has patience.
    async fn patiently<T>(&self, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let admitted = async {
            let _place = self.requests.acquire().await.map_err(io::Error::other)?;
            work.await
        };
        tokio::time::timeout(PATIENCE, admitted).await.unwrap_or_else(|_elapsed| Err(too_late()))
    }

    fn refusal(&self, what: &str, error: &Error) -> anyhow::Error {
        let Self { place, endpoint, .. } = self;
        let hint = match error {
            Error::NotFound { .. } => format!("there is no bucket {} at {endpoint}", place.bucket),
            Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
                "the credentials are not right or do not allow it: see AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                    .into()
            }
            _ if !self.has_key => "there are no credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY".into(),
            _ => format!(
                "{endpoint} does not answer as it should: see AWS_ENDPOINT_URL, AWS_REGION and, for http://, \
                 AWS_ALLOW_HTTP"
            ),
        };
        anyhow!("{place} cannot be {what}: {hint} ({})", words(error))
    }
}

/// The error of a read that failed, which is logged here because only here its words are known.
fn unread(error: &Error, key: &ObjectKey) -> io::Error {
    tracing::warn!(object.key = %key, error = words(error), "the store did not give an object");
    of_reading(error)
}

/// How long a client tries.
struct Times {
    connect: Duration,
    /// One try, to the last byte of the answer.
    request: Duration,
    /// After this no other try is begun.
    retries: Duration,
}

fn client(place: &S3Place, environment: &[(String, String)], times: &Times) -> Result<AmazonS3, Error> {
    let mut options = ClientOptions::new().with_connect_timeout(times.connect).with_timeout(times.request);
    // A machine without a list of certificate authorities can still talk to a store that needs none.
    if endpoint(environment).is_some_and(|url| url.starts_with("http://")) {
        options = options.with_no_system_certificates(true);
    }
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(100),
        max_backoff: Duration::from_secs(2),
        ..BackoffConfig::default()
    };
    let retry = RetryConfig { backoff, max_retries: TRIES_AGAIN, retry_timeout: times.retries };
    let mut builder = AmazonS3Builder::new()
        .with_client_options(options)
        .with_retry(retry)
        .with_checksum_algorithm(Checksum::SHA256)
        // Only single keys are ever removed, and not every store knows the request that names many.
        .with_config(AmazonS3ConfigKey::DisableBulkDelete, "true");
    for (name, value) in environment {
        if let Ok(key) = name.to_ascii_lowercase().parse() {
            builder = builder.with_config(key, value);
        }
    }
    builder.with_bucket_name(&place.bucket).build()
}

fn endpoint(environment: &[(String, String)]) -> Option<&str> {
    let of = |name: &str| environment.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
    ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"].into_iter().find_map(of)
}

/// The scheme and host of a URL, without what may stand before an `@`.
fn without_user(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    if scheme.is_empty() { host.to_owned() } else { format!("{scheme}://{host}") }
}

const READING: Times =
    Times { connect: Duration::from_secs(3), request: Duration::from_secs(8), retries: Duration::from_secs(5) };

/// A part of 8 MiB needs 2.5 Mbit/s to be in time.
const WRITING: Times =
    Times { connect: Duration::from_secs(3), request: Duration::from_secs(30), retries: Duration::from_secs(15) };

const TRIES_AGAIN: usize = 3;

/// The longest that a read takes, all tries and the waiting for its turn together.
const PATIENCE: Duration = Duration::from_secs(12);

/// The longest that trying the store takes at the start.
const START: Duration = Duration::from_secs(20);

/// Requests of readers under way at a time; as many connections may be kept.
const REQUESTS: usize = 64;

/// MiB of uploads that are held in memory at a time.
pub(super) const UPLOAD_ROOM: u32 = 128;

const PROBE: &str = "precinct was here";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_told_without_what_is_secret_in_it() {
        for (url, told) in [
            ("http://127.0.0.1:9000/x?y", "http://127.0.0.1:9000"),
            ("https://key:secret@s3.example/", "https://s3.example"),
            ("s3.example", "s3.example"),
        ] {
            assert_eq!(without_user(url), told);
        }
    }
}
