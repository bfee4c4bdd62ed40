//! One response from its plan to the last acknowledgement.

use std::sync::Arc;

use jpip::{
    BinKey, EorReason,
    chunk::{ChunkError, ChunkForm, ChunkLayout, Chunker},
    message::encode_eor,
    request::channel::CloseList,
};

use super::{Line, Way};
use crate::{
    app::App,
    serving::response::{Response, Step, StepError},
};

/// What is to be brought to a client, and what is to be done then.
pub(crate) struct Carriage {
    pub(crate) response: Box<Response>,
    pub(crate) line: Arc<Line>,
    pub(crate) cid: String,
    pub(crate) qid: Option<u64>,
    /// Channels to close after the response [15444-9 C.3.4].
    pub(crate) cclose: Option<CloseList>,
}

/// Why a response did not reach its client.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("the client acknowledges nothing")]
    Gone,
    #[error("the client was not there, and asked for something newer")]
    Overtaken,
    #[error("the client was not there, and closed the channel")]
    Left,
    #[error(transparent)]
    Step(#[from] StepError),
    #[error(transparent)]
    Chunk(#[from] ChunkError),
}

/// Brings a response to its client in the background. False, and nothing is done, if too many wait already.
pub(crate) fn start(app: &Arc<App>, carriage: Carriage) -> bool {
    if !carriage.line.expect_one() {
        return false;
    }
    let (tracker, app) = (app.transports().carrying(), Arc::clone(app));
    tracker.spawn(async move {
        let Carriage { mut response, line, cid, qid, cclose } = carriage;
        match carry(&app, &mut response, &line, &cid, qid).await {
            Ok(abandoned) => response.into_ticket().acknowledged_without(&abandoned),
            Err(lost) => {
                // Dropped, and with it all that it would have noted as held by the client.
                drop(response);
                app.metrics().jpip_aborted.increment(1);
                end_early(&line, qid, &lost).await;
                log(&lost, &cid);
            }
        }
        line.one_ended();
        line.poke();
        if let Some(list) = cclose {
            // It was looked at before; a channel that is gone by now needs no closing.
            let _gone = app.serving().channels().close(&list, Some(&cid));
        }
    });
    true
}

fn log(lost: &Lost, cid: &str) {
    let node = cid.split('.').next().unwrap_or_default();
    match lost {
        Lost::Gone | Lost::Overtaken | Lost::Left => {
            tracing::debug!(channel.node = node, reason = %lost, "a response was given up")
        }
        Lost::Step(_) | Lost::Chunk(_) => tracing::error!(error = %lost, "a JPIP response broke off"),
    }
}

/// Hands out the chunks of a response as they are wanted, until the client has them; returns what it gave up.
async fn carry(
    app: &App,
    response: &mut Response,
    line: &Line,
    cid: &str,
    qid: Option<u64>,
) -> Result<Vec<(BinKey, u64)>, Lost> {
    let mut chunker = Chunker::new(line.form());
    line.begin(qid);
    let mut step = response.take_ahead();
    loop {
        let Step { pieces, last } = step;
        for piece in pieces {
            app.metrics().jpip_bytes.increment(piece.len() as u64);
            for layout in chunker.cut(&piece)? {
                while !line.push(&layout, &piece) {
                    wait(line, response).await?;
                }
            }
        }
        if last {
            break;
        }
        // For a client that is not there nothing more is read than what its answer over HTTP took.
        while !line.wants_more() || !line.is_connected() {
            wait(line, response).await?;
        }
        // While the response goes on, the channel is in use.
        let _used = app.serving().channels().find(cid);
        step = response.step().await?;
    }
    while !line.is_settled() {
        wait(line, response).await?;
    }
    line.abandoned().ok_or(Lost::Gone)
}

/// Waits until something has changed. A client that is not there to take the response, and asks for something newer or
/// closes the channel, need not be waited for.
async fn wait(line: &Line, response: &mut Response) -> Result<(), Lost> {
    if line.is_connected() {
        return line.progress().await;
    }
    if response.is_overtaken() {
        return Err(Lost::Overtaken);
    }
    tokio::select! {
        progress = line.progress() => progress,
        () = line.left.cancelled() => Err(Lost::Left),
    }
}

/// Ends a response that cannot go on, so that there is one end for each request that was accepted.
async fn end_early(line: &Line, qid: Option<u64>, lost: &Lost) {
    line.give_up();
    let reason = match lost {
        Lost::Gone | Lost::Left => return,
        Lost::Overtaken => EorReason::WindowChange,
        Lost::Step(_) | Lost::Chunk(_) => EorReason::NonSpecified,
    };
    let mut end = Vec::new();
    encode_eor(reason, &mut end);
    line.begin(qid);
    for layout in Chunker::new(line.form()).cut(&end).unwrap_or_default() {
        line.push(&layout, &end);
    }
    if matches!(lost, Lost::Step(_) | Lost::Chunk(_)) {
        while !line.is_settled() && line.progress().await.is_ok() {}
    }
}

impl Line {
    const fn form(&self) -> ChunkForm {
        match &self.way {
            Way::Tcp(_) => jpip::http_tcp::FORM,
            Way::Udp(_) => jpip::udp::FORM,
        }
    }

    fn begin(&self, qid: Option<u64>) {
        if let Way::Udp(line) = &self.way {
            line.begin(qid);
        }
    }

    fn push(&self, layout: &ChunkLayout, messages: &[u8]) -> bool {
        match &self.way {
            Way::Tcp(line) => line.push(layout, messages),
            Way::Udp(line) => line.push(layout, messages),
        }
    }

    fn wants_more(&self) -> bool {
        match &self.way {
            Way::Tcp(line) => line.wants_more(),
            Way::Udp(line) => line.wants_more(),
        }
    }

    fn is_settled(&self) -> bool {
        match &self.way {
            Way::Tcp(line) => line.is_settled(),
            Way::Udp(line) => line.is_settled(),
        }
    }

    fn is_connected(&self) -> bool {
        match &self.way {
            Way::Tcp(line) => line.is_connected(),
            Way::Udp(line) => line.is_connected(),
        }
    }

    /// Ends when something has changed; [`Lost::Gone`] once the client has done nothing for too long.
    async fn progress(&self) -> Result<(), Lost> {
        let is_there = match &self.way {
            Way::Tcp(line) => line.progress().await,
            Way::Udp(line) => line.progress().await,
        };
        if is_there { Ok(()) } else { Err(Lost::Gone) }
    }

    fn give_up(&self) {
        match &self.way {
            Way::Tcp(line) => line.give_up(),
            Way::Udp(line) => line.give_up(),
        }
    }

    /// What the client does not have of a response of which everything is settled.
    fn abandoned(&self) -> Option<Vec<(BinKey, u64)>> {
        match &self.way {
            Way::Tcp(_) => Some(Vec::new()),
            Way::Udp(line) => line.abandoned(),
        }
    }
}
