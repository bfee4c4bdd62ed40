//! The object of one C-STORE on its way to the store, and the status that it ends with.

use std::sync::Arc;
use std::time::{Duration, Instant};

use catalog::CatalogError;
use codestream::Family;
use dicom_bridge::dimse::{Status, StoreRequest};
use dicom_bridge::write::file_head;

use crate::app::App;
use crate::ingest::{Announced, IngestError, Outcome};
use crate::storage::{StorageError, TempObject};

/// An object of which pieces are coming.
pub(super) struct Receiving {
    request: StoreRequest,
    /// The bytes so far, or why they are no longer kept; what still comes of it is then passed over.
    kept: Result<TempObject, (Status, String)>,
    begun: Instant,
    received: u64,
}

/// What became of a C-STORE.
pub(super) struct Verdict {
    pub(super) request: StoreRequest,
    pub(super) status: Status,
    /// For the Error Comment; no attribute's value.
    pub(super) comment: Option<String>,
}

/// Slower than this on average, counted from [`GRACE`] on, is not a transfer but a hold on an association.
const BYTES_PER_SECOND: u64 = 1024;
const GRACE: Duration = Duration::from_secs(30);

impl Receiving {
    /// Begins with the head of the file that the data set will be stored as.
    pub(super) fn begin(app: &App, request: StoreRequest) -> Self {
        let kept = Self::open(app, &request);
        Self { request, kept, begun: Instant::now(), received: 0 }
    }

    fn open(app: &App, request: &StoreRequest) -> Result<TempObject, (Status, String)> {
        if app.is_draining() {
            return Err((Status::OutOfResources, "the server is shutting down".to_owned()));
        }
        let head = file_head(&request.sop_class_uid, &request.sop_instance_uid, &request.transfer_syntax_uid);
        let head = head.map_err(|error| (Status::ProcessingFailure, error.to_string()))?;
        let mut temp = app.storage().new_temp(app.settings().max_import_bytes).map_err(refused)?;
        temp.begin_with(&head);
        Ok(temp)
    }

    /// Adds a piece of the data set.
    pub(super) async fn add(&mut self, bytes: &[u8]) {
        self.received = self.received.saturating_add(bytes.len() as u64);
        if let Ok(temp) = &mut self.kept
            && let Err(error) = temp.write_all(bytes).await
        {
            tracing::error!(%error, "an object that is being received cannot be kept");
            self.kept = Err(refused(error));
        }
    }

    /// Whether the sender has been too slow for a transfer.
    pub(super) fn is_too_slow(&self) -> bool {
        let due = self.begun.elapsed().saturating_sub(GRACE).as_secs().saturating_mul(BYTES_PER_SECOND);
        self.received < due
    }

    /// All pieces are there: takes the object in. The status is a success only if it is durable.
    pub(super) async fn end(self, app: &Arc<App>) -> Verdict {
        let request = self.request;
        let temp = match self.kept {
            Ok(temp) => temp,
            Err((status, words)) => return Verdict { request, status, comment: Some(words) },
        };
        let announced = Announced::Instance {
            sop_class_uid: request.sop_class_uid.clone(),
            sop_instance_uid: request.sop_instance_uid.clone(),
        };
        let serving = Arc::clone(app);
        let taken = app.ingest().ingest_then(temp, announced, move || serving.serving().forget_targets()).await;
        let (status, comment) = match taken {
            Ok(ingested) => match ingested.outcome {
                Outcome::Inserted | Outcome::Replaced | Outcome::Duplicate => (Status::Success, None),
                Outcome::Conflict => {
                    let words = "another object has this SOP Instance UID and was kept";
                    (Status::DuplicateInstance, Some(words.to_owned()))
                }
            },
            Err(error) => {
                let status = status_of(&error);
                tracing::warn!(status = status.code(), %error, "an object was refused");
                (status, Some(error.to_string()))
            }
        };
        Verdict { request, status, comment }
    }
}

fn refused(error: StorageError) -> (Status, String) {
    let error = IngestError::from(error);
    (status_of(&error), error.to_string())
}

/// The status of an object that was not taken [PS3.4 B.2.3]. What may succeed later is "out of resources", which senders
/// try again.
pub(crate) fn status_of(error: &IngestError) -> Status {
    if error.is_full() {
        return Status::OutOfResources;
    }
    match error {
        IngestError::NotAsAnnounced => Status::DoesNotMatch,
        IngestError::Storage(StorageError::TooLarge { .. }) | IngestError::Catalog(CatalogError::Busy) => {
            Status::OutOfResources
        }
        IngestError::Storage(error) if error.is_of_the_process() => Status::OutOfResources,
        other => match other.family() {
            Family::Malformed | Family::Unsupported | Family::LimitExceeded => Status::CannotUnderstand,
            _ => Status::ProcessingFailure,
        },
    }
}

#[cfg(test)]
mod tests {
    use dicom_bridge::ObjectError;

    use super::*;

    #[test]
    fn b_2_3_what_is_wrong_with_the_object_is_told_from_what_is_wrong_here() {
        let code = |error: IngestError| status_of(&error).code();
        assert_eq!(code(ObjectError::Truncated { what: "an element", offset: 7 }.into()), 0xC000);
        assert_eq!(code(ObjectError::LimitExceeded { what: "elements", found: 2, limit: 1 }.into()), 0xC000);
        assert_eq!(code(IngestError::NotAsAnnounced), 0xA900);
        assert_eq!(code(StorageError::Full.into()), 0xA700);
        assert_eq!(code(StorageError::TooLarge { limit: 1 }.into()), 0xA700);
        assert_eq!(code(CatalogError::Busy.into()), 0xA700);
        assert_eq!(code(CatalogError::Full.into()), 0xA700);
        assert_eq!(code(StorageError::Broken.into()), 0x0110);
        let out_of_reach = std::io::Error::from(rustix::io::Errno::REMOTEIO);
        assert_eq!(code(StorageError::Io(out_of_reach).into()), 0xA700, "a remote store may answer again");
    }
}
