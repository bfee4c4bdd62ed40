//! Requests until the window is complete: channels, repetitions, and starting over when a channel is lost.

use jpip::EorReason;
use jpip::client::{DataBinStore, RequestBuilder, StoreLimits};
use reqwest::Url;

use super::exchange::{Answer, AnswerHeaders, Exchange};
use super::trace::Trace;

/// How a window ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Completion {
    /// The server has sent all of it.
    Complete,
    /// It has not, for this reason.
    Incomplete(String),
}

/// What has been said and received about one target.
pub(super) struct Conversation {
    exchange: Exchange,
    url: Url,
    wants_session: bool,
    channel: Option<Channel>,
    store: DataBinStore,
    tid: Option<String>,
    window: AnswerHeaders,
}

/// A channel that the server granted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Channel {
    cid: String,
    url: Url,
    next_qid: u64,
}

impl Conversation {
    pub(super) fn new(url: Url, wants_session: bool, trace: Trace) -> anyhow::Result<Self> {
        Ok(Self {
            exchange: Exchange::new(trace, url.as_str())?,
            url,
            wants_session,
            channel: None,
            store: DataBinStore::new(StoreLimits::default()),
            tid: None,
            window: AnswerHeaders::default(),
        })
    }

    /// Everything received so far.
    pub(super) const fn store(&self) -> &DataBinStore {
        &self.store
    }

    /// Headers of the last answer, which say what window was really served.
    pub(super) const fn window(&self) -> &AnswerHeaders {
        &self.window
    }

    /// Bytes of response bodies so far.
    pub(super) fn received(&self) -> u64 {
        self.exchange.received()
    }

    /// Asks until the server says that the window is complete, or nothing more comes.
    ///
    /// # Errors
    ///
    /// What no repetition mends: a refusal, a broken stream, another target under the same name.
    pub(super) async fn fetch(&mut self, request: &RequestBuilder) -> anyhow::Result<Completion> {
        let mut failures = 0;
        loop {
            let before = self.store.memory();
            let (url, query) = self.compose(request);
            let (answer, headers) = self.exchange.ask(&url, &query, &mut self.store).await?;
            let advanced = self.store.memory() > before;
            self.take_headers(headers)?;
            let reason = match answer {
                Answer::Ended(None | Some(EorReason::ImageDone | EorReason::WindowDone | EorReason::QualityLimit)) => {
                    return Ok(Completion::Complete);
                }
                // A limit that the user has set is meant; a limit of the server's own is not the end.
                Answer::Ended(Some(EorReason::ByteLimit)) if request.has("len") => {
                    return Ok(Completion::Incomplete("the byte limit of the request is reached".to_owned()));
                }
                Answer::Ended(Some(reason)) if reason.asks_for_repetition() => {
                    if advanced {
                        continue;
                    }
                    return Ok(Completion::Incomplete(
                        "the server reached a limit without sending anything".to_owned(),
                    ));
                }
                Answer::Ended(Some(EorReason::SessionLimit)) => {
                    self.channel = None;
                    "the server ended the session".to_owned()
                }
                Answer::Ended(Some(reason)) => {
                    return Ok(Completion::Incomplete(format!("the server stopped ({reason:?})")));
                }
                Answer::Unavailable(reason) if self.channel.is_some() => {
                    self.channel = None;
                    reason
                }
                Answer::Unavailable(reason) => anyhow::bail!("503 Service Unavailable: {reason}"),
                Answer::Broken(reason) => reason,
            };
            // Every new attempt must have brought something, but for a few in a row.
            failures = if advanced { 1 } else { failures + 1 };
            if failures >= MAX_FAILURES {
                anyhow::ensure!(self.store.memory() > 0, "{reason}");
                return Ok(Completion::Incomplete(reason));
            }
        }
    }

    /// Closes the channel, if there is one; the server would notice by itself, only later.
    pub(super) async fn close(&mut self, request: &RequestBuilder) {
        if let Some(channel) = self.channel.take() {
            let mut closing = RequestBuilder::new();
            closing.set("cid", &channel.cid).set("cclose", "*").set("qid", &channel.next_qid.to_string());
            if let Some(kind) = request.value("type") {
                closing.set("type", &kind);
            }
            closing.set("len", "0");
            let _told = self.exchange.ask(&channel.url, &closing, &mut self.store).await;
        }
        self.exchange.finish();
    }

    /// The request as it goes out now: on the channel, or with everything that the server has to know.
    fn compose(&mut self, request: &RequestBuilder) -> (Url, RequestBuilder) {
        let mut query = request.clone();
        if let Some(channel) = &mut self.channel {
            for field in ["target", "tid", "cnew", "cclose", "model", "need"] {
                query.remove(field);
            }
            query.set("cid", &channel.cid).set("qid", &channel.next_qid.to_string());
            channel.next_qid += 1;
            return (channel.url.clone(), query);
        }
        if self.wants_session {
            query.set("cnew", "http");
        }
        if query.has("cid") {
            return (self.url.clone(), query);
        }
        let held = self.store.model();
        if !held.is_empty() {
            let stated = query.value("model").filter(|stated| !stated.is_empty());
            query.set("model", &stated.map_or(held.clone(), |stated| format!("{stated},{held}")));
            // The server passes over a model that speaks of another version of the target.
            if let Some(tid) = self.tid.as_deref().filter(|tid| *tid != "0") {
                query.set("tid", tid);
            }
        }
        (self.url.clone(), query)
    }

    fn take_headers(&mut self, headers: AnswerHeaders) -> anyhow::Result<()> {
        if let Some(tid) = headers.tid.as_deref() {
            let known = self.tid.get_or_insert_with(|| tid.to_owned());
            anyhow::ensure!(known == tid, "the image has changed on the server; fetch it again");
        }
        if self.channel.is_none()
            && let Some(granted) = headers.cnew.as_deref()
        {
            self.channel = Channel::granted(granted, &self.url);
        }
        self.window = headers;
        Ok(())
    }
}

impl Channel {
    /// Reads `JPIP-cnew`: `cid=…[,path=…][,transport=…][,host=…][,port=…]` [15444-9 D.2.3].
    fn granted(header: &str, asked: &Url) -> Option<Self> {
        let (mut cid, mut url) = (None, asked.clone());
        for (name, value) in header.split(',').filter_map(|part| part.split_once('=')) {
            match (name.trim(), value.trim()) {
                ("cid", value) => cid = Some(value.to_owned()),
                // With and without a leading slash: both are in use.
                ("path", value) => url.set_path(&format!("/{}", value.trim_start_matches('/'))),
                ("host", value) => url.set_host(Some(value)).ok()?,
                ("port", value) => url.set_port(value.parse().ok()).ok()?,
                ("transport", "http") => {}
                ("transport", _) => return None,
                _ => {}
            }
        }
        Some(Self { cid: cid.filter(|cid| !cid.is_empty())?, url, next_qid: 1 })
    }
}

/// Attempts in a row that may bring nothing.
const MAX_FAILURES: u32 = 3;

#[cfg(test)]
mod tests;
