//! One request over HTTP, its answer merged into the store as it arrives.

use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use jpip::EorReason;
use jpip::client::{DataBinStore, MessageReader, RequestBuilder};
use reqwest::{StatusCode, Url, header};

use super::auxiliary::Sink;
use super::trace::Trace;
use crate::cli::http_client::client_for;

/// What came of a request.
#[derive(Debug)]
pub(super) enum Answer {
    /// The response ended; without a reason when its bytes just ended where a message did.
    Ended(Option<EorReason>),
    /// The server does not know the channel any more, or cannot serve it now.
    Unavailable(String),
    /// The connection failed on the way; what had arrived is kept.
    Broken(String),
}

/// The response headers that steer the conversation.
#[derive(Debug, Default, Clone)]
pub(super) struct AnswerHeaders {
    pub(super) cnew: Option<String>,
    pub(super) tid: Option<String>,
    pub(super) fsiz: Option<(u32, u32)>,
    pub(super) roff: Option<(u32, u32)>,
    pub(super) rsiz: Option<(u32, u32)>,
    pub(super) roi: Option<String>,
}

/// The HTTP side of a conversation.
pub(super) struct Exchange {
    http: reqwest::Client,
    progress: ProgressBar,
    trace: Trace,
}

impl Exchange {
    pub(super) fn new(trace: Trace, url: &str) -> anyhow::Result<Self> {
        let http = client_for(url)
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .build()
            .context("no HTTP client")?;
        // Drawn on standard error, and only when that is a terminal.
        let progress = ProgressBar::no_length();
        let style = "{spinner} {bytes} received {bytes_per_sec} {wide_msg}";
        progress.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        Ok(Self { http, progress, trace })
    }

    /// Bytes of response bodies so far.
    pub(super) fn received(&self) -> u64 {
        self.progress.position()
    }

    /// Where data go that come by another way.
    pub(super) const fn sink<'a>(&'a self, store: &'a mut DataBinStore) -> Sink<'a> {
        Sink { store, trace: self.trace, progress: &self.progress }
    }

    /// Sends a request and merges its response.
    ///
    /// # Errors
    ///
    /// A refusal by the server, a response that is neither a JPP-stream nor a JPT-stream, and messages that contradict each other.
    pub(super) async fn ask(
        &self,
        url: &Url,
        request: &RequestBuilder,
        store: &mut DataBinStore,
    ) -> anyhow::Result<(Answer, AnswerHeaders)> {
        let mut headers = AnswerHeaders::default();
        let mut response = match self.send(url, &request.to_query()).await {
            Ok(response) => response,
            Err(error) if error.is_builder() => return Err(error).context("the URL cannot be requested"),
            Err(error) => return Ok((Answer::Broken(chain(&error)), headers)),
        };
        let status = response.status();
        self.trace.line(format_args!("< {status}"));
        for (name, value) in response.headers() {
            self.trace.line(format_args!("< {name}: {}", String::from_utf8_lossy(value.as_bytes())));
        }
        headers = AnswerHeaders::read(response.headers());
        if status == StatusCode::SERVICE_UNAVAILABLE {
            return Ok((Answer::Unavailable(refusal(&mut response).await), headers));
        }
        if status == StatusCode::ACCEPTED {
            return Ok((Answer::Ended(Some(EorReason::WindowChange)), headers));
        }
        anyhow::ensure!(status.is_success(), "{status}: {}", refusal(&mut response).await);
        let media_type = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        if let Some(media_type) = media_type {
            let lower = media_type.to_ascii_lowercase();
            let is_stream = ["image/jpp-stream", "image/jpt-stream"].iter().any(|kind| lower.starts_with(kind));
            anyhow::ensure!(is_stream || response.content_length() == Some(0), "the server answers with {media_type}");
        }
        let answer = self.read(&mut response, store).await?;
        Ok((answer, headers))
    }

    pub(super) fn finish(&self) {
        self.progress.finish_and_clear();
    }

    async fn send(&self, url: &Url, query: &str) -> reqwest::Result<reqwest::Response> {
        if query.len() > MAX_QUERY {
            self.trace.line(format_args!("> POST {url} with {} bytes", query.len()));
            let form = (header::CONTENT_TYPE, "application/x-www-form-urlencoded");
            return self.http.post(url.clone()).header(form.0, form.1).body(query.to_owned()).send().await;
        }
        let mut url = url.clone();
        url.set_query(Some(query));
        self.trace.line(format_args!("> GET {url}"));
        self.http.get(url).send().await
    }

    async fn read(&self, response: &mut reqwest::Response, store: &mut DataBinStore) -> anyhow::Result<Answer> {
        let mut reader = MessageReader::new();
        loop {
            let chunk = match response.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(error) => return Ok(Answer::Broken(chain(&error))),
            };
            self.progress.inc(chunk.len() as u64);
            let mut bytes = &chunk[..];
            while let Some(event) = reader.read(&mut bytes)? {
                self.trace.event(&event);
                store.apply(&event)?;
            }
        }
        match reader.finish() {
            Ok(reason) => Ok(Answer::Ended(reason)),
            Err(error) => Ok(Answer::Broken(error.to_string())),
        }
    }
}

impl AnswerHeaders {
    fn read(headers: &header::HeaderMap) -> Self {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let pair = |name: &str| {
            let (first, second) = text(name)?.split_once(',')?;
            Some((first.trim().parse().ok()?, second.trim().parse().ok()?))
        };
        Self {
            cnew: text("JPIP-cnew").map(str::to_owned),
            tid: text("JPIP-tid").map(str::to_owned),
            fsiz: pair("JPIP-fsiz"),
            roff: pair("JPIP-roff"),
            rsiz: pair("JPIP-rsiz"),
            roi: text("JPIP-roi").map(str::to_owned),
        }
    }
}

/// The first words of a refusal's body; of problem details [RFC 9457], those meant to be read.
async fn refusal(response: &mut reqwest::Response) -> String {
    let mut body = Vec::new();
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_REFUSAL {
            body.truncate(MAX_REFUSAL);
            break;
        }
    }
    let problem = serde_json::from_slice::<serde_json::Value>(&body).ok();
    let detail = problem.as_ref().and_then(|problem| problem.get("detail")?.as_str());
    detail.map_or_else(|| String::from_utf8_lossy(&body).trim().to_owned(), str::to_owned)
}

/// An error with its causes: reqwest's own text leaves out why.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a server may be silent; building the index of a large object comes before its first byte.
const READ_TIMEOUT: Duration = Duration::from_secs(120);

/// Longest query that goes into a request line; servers commonly refuse lines of more than 8 KiB.
const MAX_QUERY: usize = 4 * 1024;

const MAX_REFUSAL: usize = 1024;
