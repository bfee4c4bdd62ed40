//! Requests until the window is complete: channels, repetitions, and starting over when a channel is lost.

use jpip::EorReason;
use jpip::client::{DataBinStore, RequestBuilder, StoreLimits};
use jpip::request::channel::Transport;
use reqwest::Url;

use super::auxiliary::Auxiliary;
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
    /// The transport of the session that is wanted.
    transport: Option<Transport>,
    channel: Option<Channel>,
    store: DataBinStore,
    tid: Option<String>,
    window: AnswerHeaders,
    /// Whether it was said that the wanted transport is not to be had.
    is_told: bool,
}

/// A channel that the server granted.
struct Channel {
    cid: String,
    url: Url,
    next_qid: u64,
    /// Port of the data, if they do not come in the answers.
    auxport: Option<u16>,
    auxhost: Option<String>,
    auxiliary: Option<Auxiliary>,
}

impl Conversation {
    pub(super) fn new(url: Url, transport: Option<Transport>, trace: Trace) -> anyhow::Result<Self> {
        Ok(Self {
            exchange: Exchange::new(trace, url.as_str())?,
            url,
            transport,
            channel: None,
            store: DataBinStore::new(StoreLimits::default()),
            tid: None,
            window: AnswerHeaders::default(),
            is_told: false,
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
            let is_granted = self.channel.is_none() && headers.cnew.is_some();
            self.take_headers(headers)?;
            let answer = self.take_data(answer, is_granted).await?;
            let advanced = self.store.memory() > before;
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

    /// The data of a response, if the channel has a way of its own for them.
    async fn take_data(&mut self, answer: Answer, is_granted: bool) -> anyhow::Result<Answer> {
        let Some(channel) = &mut self.channel else {
            let wanted = self.transport.as_ref().filter(|transport| **transport != Transport::Http);
            if let Some(wanted) = wanted.filter(|_| !self.is_told) {
                self.is_told = true;
                eprintln!("precinct fetch: the server does not offer {}; the data come over http", wanted.name());
            }
            return Ok(answer);
        };
        let (Some(port), Answer::Ended(None), Some(transport)) = (channel.auxport, &answer, &self.transport) else {
            return Ok(answer);
        };
        if channel.auxiliary.is_none() {
            let host = channel.auxhost.as_deref().or(channel.url.host_str()).unwrap_or_default();
            channel.auxiliary = Some(Auxiliary::open(transport, host, port, &channel.cid).await?);
        }
        let Some(auxiliary) = &mut channel.auxiliary else { return Ok(answer) };
        // The request that opened the channel had the number 0.
        let qid = if is_granted { 0 } else { channel.next_qid.saturating_sub(1) };
        auxiliary.receive(qid, self.exchange.sink(&mut self.store)).await
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
        if let Some(transport) = &self.transport {
            query.set("cnew", transport.name());
            if *transport != Transport::Http {
                // The data name the request that they answer.
                query.set("qid", "0");
            }
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
            self.channel = Channel::granted(granted, &self.url, self.transport.as_ref());
        }
        self.window = headers;
        Ok(())
    }
}

impl Channel {
    /// Reads `JPIP-cnew`: `cid=…[,path=…][,transport=…][,host=…][,port=…][,auxport=…]` [15444-9 D.2.3].
    fn granted(header: &str, asked: &Url, wanted: Option<&Transport>) -> Option<Self> {
        let (mut cid, mut url) = (None, asked.clone());
        let (mut host, mut auxport, mut is_aside) = (None, None, false);
        for (name, value) in header.split(',').filter_map(|part| part.split_once('=')) {
            match (name.trim(), value.trim()) {
                ("cid", value) => cid = Some(value.to_owned()),
                // With and without a leading slash: both are in use.
                ("path", value) => url.set_path(&format!("/{}", value.trim_start_matches('/'))),
                ("host", value) => host = Some(value.to_owned()),
                ("port", value) => url.set_port(value.parse().ok()).ok()?,
                ("auxport", value) => auxport = Some(value.parse().ok()?),
                ("transport", "http") => {}
                ("transport", name) if wanted.is_some_and(|wanted| wanted.name() == name) => is_aside = true,
                ("transport", _) => return None,
                _ => {}
            }
        }
        // Beside a port of its own for the data, a host is the data's: requests go where the first one went.
        if let (Some(host), false) = (&host, is_aside) {
            url.set_host(Some(host)).ok()?;
        }
        let (auxport, auxhost) = if is_aside { (Some(auxport?), host) } else { (None, None) };
        let cid = cid.filter(|cid| !cid.is_empty())?;
        Some(Self { cid, url, next_qid: 1, auxport, auxhost, auxiliary: None })
    }
}

/// Attempts in a row that may bring nothing.
const MAX_FAILURES: u32 = 3;

#[cfg(test)]
mod tests;
