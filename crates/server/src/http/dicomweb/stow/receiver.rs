//! The objects of one request on their way to the store.

use std::{collections::VecDeque, sync::Arc};

use dicom_bridge::{claimed_instance, dimse::Status};
use tokio::task::JoinHandle;

use super::outcome::{Outcome, Outcomes};
use crate::{
    app::App,
    dimse::status_of,
    ingest::{self, Announced, IngestError},
    storage::TempObject,
};

/// Takes object after object; several are taken in at the same time.
pub(super) struct Receiver {
    app: Arc<App>,
    study: Option<String>,
    current: Option<Current>,
    under_way: VecDeque<JoinHandle<Outcome>>,
    outcomes: Outcomes,
}

/// The object that is coming.
struct Current {
    /// Its bytes so far, or why they are not kept.
    kept: Result<TempObject, Status>,
    /// Enough of it to tell what it claims to be.
    first: Vec<u8>,
}

/// Objects of one request that are taken in while the next ones come.
const AT_ONCE: usize = 8;

/// The File Meta Information is rarely longer.
const FIRST_BYTES: usize = 2048;

impl Receiver {
    pub(super) fn new(app: &Arc<App>, study: Option<String>) -> Self {
        let (current, under_way, outcomes) = (None, VecDeque::new(), Outcomes::default());
        Self { app: Arc::clone(app), study, current, under_way, outcomes }
    }

    /// An object begins; one that is not said to be one is passed over and refused.
    pub(super) fn begin(&mut self, is_dicom: bool) {
        let kept = if is_dicom {
            let temp = self.app.storage().new_temp(self.app.settings().max_import_bytes);
            temp.map_err(|error| status_of(&error.into()))
        } else {
            Err(Status::CannotUnderstand)
        };
        self.current = Some(Current { kept, first: Vec::new() });
    }

    pub(super) async fn add(&mut self, bytes: &[u8]) {
        let Some(current) = &mut self.current else { return };
        let missing = FIRST_BYTES.saturating_sub(current.first.len());
        current.first.extend(bytes.iter().take(missing));
        if let Ok(temp) = &mut current.kept
            && let Err(error) = temp.write_all(bytes).await
        {
            current.kept = Err(status_of(&error.into()));
        }
    }

    /// The object is there: it is taken in while the next one comes.
    pub(super) async fn end(&mut self) {
        let Some(Current { kept, first }) = self.current.take() else { return };
        self.take(kept, claimed_instance(&first)).await;
    }

    /// Takes in an object that is there, or tells why it is not; `claimed` are its SOP class and instance, if it says so.
    pub(super) async fn take(&mut self, kept: Result<TempObject, Status>, claimed: Option<(String, String)>) {
        let (app, study) = (Arc::clone(&self.app), self.study.clone());
        self.under_way.push_back(tokio::spawn(async move {
            let taken = match kept {
                Ok(temp) => store(&app, temp, study).await,
                Err(status) => Err(status),
            };
            match &taken {
                Ok(_) => app.metrics().imported.increment(1),
                Err(_) => app.metrics().import_refused.increment(1),
            }
            taken.unwrap_or_else(|status| Outcome::Failed { claimed, status })
        }));
        if self.under_way.len() >= AT_ONCE {
            self.settle_one().await;
        }
    }

    /// What became of every object that has come whole; the others are as if they had never been sent.
    pub(super) async fn finish(mut self) -> Outcomes {
        while !self.under_way.is_empty() {
            self.settle_one().await;
        }
        self.outcomes
    }

    async fn settle_one(&mut self) {
        let Some(work) = self.under_way.pop_front() else { return };
        let lost = Outcome::Failed { claimed: None, status: Status::ProcessingFailure };
        self.outcomes.add(work.await.unwrap_or(lost));
    }
}

/// Takes one object in; it is durable when this is not an error.
async fn store(app: &Arc<App>, temp: TempObject, study: Option<String>) -> Result<Outcome, Status> {
    let announced = study.map_or(Announced::Name(None), Announced::OfStudy);
    let serving = Arc::clone(app);
    let taken = app.ingest().ingest_then(temp, announced, move || serving.serving().forget_targets()).await;
    let ingested = taken.map_err(refused)?;
    if ingested.outcome == ingest::Outcome::Conflict {
        return Err(Status::DuplicateInstance);
    }
    let row = app.catalog().instance(&ingested.target).await.map_err(|error| refused(error.into()))?;
    row.map(|row| Outcome::Stored(Box::new(row))).ok_or(Status::ProcessingFailure)
}

fn refused(error: IngestError) -> Status {
    let status = status_of(&error);
    tracing::warn!(status = status.code(), %error, "an object was refused");
    status
}
