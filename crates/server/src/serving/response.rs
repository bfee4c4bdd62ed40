//! One response: planned by the protocol core, read piece by piece, recorded when it has been delivered.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use codestream::SparseBytes;
use http::StatusCode;
use jpip::{
    BinKey, CacheModel, Limits, Request,
    response::{Batch, PlanError, ResponsePlan},
};
use metrics::Counter;

use super::{
    channels::{Place, Turn},
    index_cache::{IndexCache, IndexCacheError},
    sources::Sources,
    target::OpenTarget,
};
use crate::{
    http::{delivery::Delivery, error::JpipRefusal},
    storage::StorageError,
};

/// A response of a channel that is longer than this, in bytes, is sent in chunks and can be ended early.
pub(crate) const AT_ONCE: u64 = 256 * 1024;

/// Body bytes that are planned, read and handed to the socket at a time.
const BATCH: usize = 96 * 1024;

/// The same of a response that its client has yet to come for.
const FIRST: usize = 16 * 1024;

/// How long planning may keep a thread before others get their turn.
const LONGEST_TURN: Duration = Duration::from_micros(200);

/// Index bytes of one response that are held at a time, above which what was loaded first is let go.
const LOADED: u64 = 32 << 20;

/// Whose cache model a response is planned on.
pub(crate) enum Model {
    /// That of a session, held until the response is delivered or given up.
    Session(Turn),
    /// That of the request alone.
    Request(Box<CacheModel>),
}

/// A response that is being made.
pub(crate) struct Response {
    plan: ResponsePlan,
    model: Model,
    sources: Sources,
    loaded: SparseBytes,
    place: Option<Place>,
    aborted: Counter,
    /// What was read and not handed out, one piece for each batch.
    ahead: Vec<Bytes>,
    ended: bool,
}

/// What one step of a response gave.
pub(crate) struct Step {
    pub(crate) pieces: Vec<Bytes>,
    /// Nothing comes after these.
    pub(crate) last: bool,
}

impl Response {
    /// Plans the response; every index part that it needs for its beginning is loaded.
    ///
    /// # Errors
    ///
    /// As the request or the store demands.
    pub(crate) async fn plan(
        request: &Request,
        target: &Arc<OpenTarget>,
        model: Model,
        place: Option<Place>,
        indexes: &Arc<IndexCache>,
        aborted: &Counter,
    ) -> Result<Self, JpipRefusal> {
        let limits = Limits::default();
        let mut plan =
            ResponsePlan::new(request, Arc::clone(target.logical()), &limits).map_err(JpipRefusal::of_request)?;
        if matches!(model, Model::Request(_)) {
            plan.never_commit();
        }
        let (sources, loaded) = Sources::open(target, &mut plan, indexes).await.map_err(refusal)?;
        if !sources.has_codestreams() && !plan.codestreams().is_empty() && plan.request().fsiz.is_some() {
            let reason = "damaged: none of the codestreams that were asked for can be served";
            return Err(JpipRefusal::new(StatusCode::NOT_IMPLEMENTED, reason));
        }
        Ok(Self { plan, model, sources, loaded, place, aborted: aborted.clone(), ahead: Vec::new(), ended: false })
    }

    /// The media type of the response.
    pub(crate) const fn content_type(&self) -> &'static str {
        self.plan.content_type()
    }

    /// The header fields that tell what is served; complete once something was read ahead.
    pub(crate) fn headers(&self) -> Vec<(&'static str, String)> {
        self.plan.headers()
    }

    /// Reads until more than `limit` body bytes are at hand or the response ends; returns how many are.
    ///
    /// # Errors
    ///
    /// If the index or the stored object cannot be read.
    pub(crate) async fn read_ahead(&mut self, limit: u64) -> Result<u64, StepError> {
        self.read(limit, BATCH).await
    }

    /// Reads the beginning alone, for a client that may never come for it; returns how many bytes are at hand.
    ///
    /// # Errors
    ///
    /// If the index or the stored object cannot be read.
    pub(crate) async fn read_first(&mut self) -> Result<u64, StepError> {
        self.read(0, FIRST).await
    }

    async fn read(&mut self, limit: u64, batch: usize) -> Result<u64, StepError> {
        let mut at_hand = self.ahead.iter().map(|piece| piece.len() as u64).sum();
        while !self.ended && at_hand <= limit {
            let batch = next_batch(&self.sources, &mut self.plan, &self.model, &mut self.loaded, batch).await?;
            self.ended = batch.end.is_some();
            // A long stretch that the client holds already gives empty batches: others get their turn meanwhile.
            if batch.body_len == 0 {
                tokio::task::yield_now().await;
                continue;
            }
            at_hand += batch.body_len;
            self.ahead.push(self.sources.read(&batch).await?);
        }
        Ok(at_hand)
    }

    /// The length in bytes of what comes after what was read ahead; nothing of it is read or kept. For responses
    /// without a session.
    ///
    /// # Errors
    ///
    /// If the index cannot be read.
    pub(crate) async fn count_rest(&mut self) -> Result<u64, StepError> {
        if self.ended {
            return Ok(0);
        }
        let (mut plan, mut loaded) = (self.plan.clone(), self.loaded.clone());
        plan.only_measure();
        let (mut len, mut ended) = (0, false);
        let mut turn = Instant::now();
        while !ended {
            let batch = next_batch(&self.sources, &mut plan, &self.model, &mut loaded, BATCH).await?;
            (len, ended) = (len + batch.body_len, batch.end.is_some());
            // A long count must not keep the thread from other requests; handing it over costs more than most batches.
            if turn.elapsed() >= LONGEST_TURN {
                tokio::task::yield_now().await;
                turn = Instant::now();
            }
        }
        Ok(len)
    }

    /// Whether what was read ahead is all that comes.
    pub(crate) const fn is_whole(&self) -> bool {
        self.ended
    }

    /// What was read ahead.
    pub(crate) fn take_ahead(&mut self) -> Step {
        Step { pieces: std::mem::take(&mut self.ahead), last: self.ended }
    }

    /// The next pieces; on a channel, a newer request ends the response here.
    ///
    /// # Errors
    ///
    /// If the index or the stored object cannot be read.
    pub(crate) async fn step(&mut self) -> Result<Step, StepError> {
        if self.is_overtaken() {
            self.plan.preempt();
        }
        self.read_ahead(0).await?;
        Ok(self.take_ahead())
    }

    /// Whether a newer request on the channel does not wait for this response.
    pub(crate) fn is_overtaken(&self) -> bool {
        self.place.as_ref().is_some_and(Place::is_overtaken)
    }

    /// What to do when all of the response has been written.
    pub(crate) fn into_ticket(self) -> Ticket {
        let Self { plan, model, aborted, place, .. } = self;
        Ticket { delivery: Some((plan, model)), aborted, _place: place }
    }
}

/// The next messages, none of their bytes read; what the plan needs of the index is loaded.
async fn next_batch(
    sources: &Sources,
    plan: &mut ResponsePlan,
    model: &Model,
    loaded: &mut SparseBytes,
    budget: usize,
) -> Result<Batch, StepError> {
    loop {
        let needs = plan.poll_needs(loaded)?;
        if needs.is_empty() {
            break;
        }
        if loaded.loaded_len() > LOADED {
            *loaded = sources.nothing_loaded();
            continue;
        }
        sources.load(&needs, loaded).await?;
    }
    let model: &CacheModel = match model {
        Model::Session(turn) => &turn.model,
        Model::Request(model) => model,
    };
    Ok(plan.next(model, loaded, budget)?)
}

/// Records a response in its session's cache model once it is delivered; dropped otherwise.
pub(crate) struct Ticket {
    delivery: Option<(ResponsePlan, Model)>,
    aborted: Counter,
    _place: Option<Place>,
}

impl Ticket {
    /// The client has all of the response but what follows these offsets of these data-bins.
    pub(crate) fn acknowledged_without(mut self, lost: &[(BinKey, u64)]) {
        if let Some((plan, Model::Session(mut turn))) = self.delivery.take() {
            plan.commit(&mut turn.model);
            for (key, offset) in lost {
                turn.model.forget_from(key, *offset);
            }
        }
    }
}

impl Delivery for Ticket {
    fn delivered(mut self: Box<Self>) {
        if let Some((plan, Model::Session(mut turn))) = self.delivery.take() {
            plan.commit(&mut turn.model);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.delivery.is_some() {
            self.aborted.increment(1);
        }
    }
}

/// Why a response could not go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StepError {
    #[error(transparent)]
    Plan(#[from] PlanError),
    #[error(transparent)]
    Index(#[from] IndexCacheError),
    #[error("a stored object could not be read: {0}")]
    Read(#[from] io::Error),
}

impl From<StepError> for JpipRefusal {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Index(error) => refusal(error),
            StepError::Read(error) => unread(&error),
            StepError::Plan(error) => Self::internal(&error),
        }
    }
}

pub(super) fn refusal(error: IndexCacheError) -> JpipRefusal {
    match error {
        IndexCacheError::Storage(StorageError::Io(error)) | IndexCacheError::Read(error) => unread(&error),
        other => JpipRefusal::internal(&other),
    }
}

/// What the system refuses (descriptors, a failing disk) may be over the next time; what we refuse is our mistake.
fn unread(error: &io::Error) -> JpipRefusal {
    if error.raw_os_error().is_some() { JpipRefusal::unavailable(error) } else { JpipRefusal::internal(error) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_refuses_is_503_and_what_we_refuse_is_500() {
        let out_of_descriptors = || io::Error::from(rustix::io::Errno::MFILE);
        let status = |error: StepError| JpipRefusal::from(error).status.as_u16();
        assert_eq!(status(out_of_descriptors().into()), 503);
        assert_eq!(status(IndexCacheError::Storage(out_of_descriptors().into()).into()), 503);
        assert_eq!(status(io::Error::other("a span outside its frame").into()), 500);
        assert_eq!(status(IndexCacheError::Unusable("").into()), 500);
    }
}
