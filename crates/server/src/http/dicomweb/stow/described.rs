//! Objects that are described in DICOM JSON, whose bulk data come in parts of their own [PS3.18 8.6.1.2.2, 10.5.2].
//!
//! Descriptions are held in memory, bulk data in files, until the last part is there: only then it is known what belongs together.

use std::sync::Arc;

use dicom_bridge::{
    dimse::Status,
    media_type::MediaType,
    model::{BulkPart, Described, DescriptionError, Piece},
    multipart::{MultipartEvent, MultipartReader, PartHeaders},
};
use http::StatusCode;

use super::receiver::Receiver;
use crate::{
    app::App,
    dimse::status_of,
    http::{error::Problem, intake::Intake},
    storage::{CompleteObject, StorageError, TempObject},
};

pub(super) const JSON: &str = "application/dicom+json";

/// Bytes of all descriptions of one request.
const MAX_DESCRIPTIONS: usize = 16 << 20;
/// Bulk data of one request: each is a file until the objects are stored.
const MAX_BULK_PARTS: usize = 256;

/// What has come of a request.
#[derive(Default)]
struct Came {
    descriptions: Vec<Vec<u8>>,
    described_bytes: usize,
    bulk: Vec<BulkPart>,
    files: Vec<CompleteObject>,
}

/// The part that is coming.
enum Current {
    Description(Vec<u8>),
    Bulk(BulkPart, Box<TempObject>),
}

/// Takes in what the body describes.
///
/// # Errors
///
/// 400 a body that cannot be read, 413 too much of it, 507 no room, and those of the intake.
pub(super) async fn receive(
    app: &Arc<App>,
    intake: &mut Intake,
    receiver: &mut Receiver,
    mut reader: MultipartReader,
) -> Result<(), Problem> {
    let (mut came, mut current) = (Came::default(), None);
    loop {
        match reader.poll().map_err(super::problem)? {
            Some(MultipartEvent::Part(headers)) => current = Some(came.begin(app, &headers)?),
            Some(MultipartEvent::Data(bytes)) => came.add(current.as_mut(), &bytes).await?,
            Some(MultipartEvent::PartEnd) => came.end(current.take()).await?,
            Some(MultipartEvent::End) => break,
            None => match intake.next().await? {
                Some(bytes) => reader.push(&bytes),
                None => reader.finish(),
            },
        }
    }
    came.store(app, receiver).await
}

impl Came {
    fn begin(&self, app: &App, headers: &PartHeaders) -> Result<Current, Problem> {
        let content_type = headers.field("content-type").and_then(MediaType::parse);
        if content_type.as_ref().is_some_and(|kind| [JSON, "application/json"].contains(&kind.essence())) {
            return Ok(Current::Description(Vec::new()));
        }
        if self.bulk.len() >= MAX_BULK_PARTS {
            let words = format!("more than {MAX_BULK_PARTS} parts of bulk data");
            return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, words));
        }
        let location = headers.field("content-location");
        let location = location.ok_or_else(|| Problem::bad_request("a part of bulk data has no Content-Location"))?;
        let named = content_type.as_ref().and_then(|kind| kind.parameter("transfer-syntax"));
        let usual = content_type.as_ref().and_then(|kind| usual_syntax(kind.essence()));
        let part =
            BulkPart { location: location.to_owned(), len: 0, transfer_syntax_uid: named.or(usual).map(str::to_owned) };
        let temp = app.storage().new_temp(app.settings().max_import_bytes).map_err(refused)?;
        Ok(Current::Bulk(part, Box::new(temp)))
    }

    async fn add(&mut self, current: Option<&mut Current>, bytes: &[u8]) -> Result<(), Problem> {
        match current {
            Some(Current::Bulk(_, temp)) => temp.write_all(bytes).await.map_err(refused),
            Some(Current::Description(description)) => {
                self.described_bytes = self.described_bytes.saturating_add(bytes.len());
                if self.described_bytes > MAX_DESCRIPTIONS {
                    let words = format!("descriptions of more than {MAX_DESCRIPTIONS} bytes");
                    return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, words));
                }
                description.extend_from_slice(bytes);
                Ok(())
            }
            None => Ok(()),
        }
    }

    async fn end(&mut self, current: Option<Current>) -> Result<(), Problem> {
        match current {
            Some(Current::Description(description)) => self.descriptions.push(description),
            Some(Current::Bulk(mut part, temp)) => {
                part.len = temp.len();
                let complete = tokio::task::spawn_blocking(move || temp.complete()).await;
                self.files.push(complete.map_err(|error| Problem::internal(&error))?.map_err(refused)?);
                self.bulk.push(part);
            }
            None => {}
        }
        Ok(())
    }

    /// Makes the objects and takes them in.
    async fn store(self, app: &Arc<App>, receiver: &mut Receiver) -> Result<(), Problem> {
        let mut all = Vec::new();
        for description in &self.descriptions {
            let described = Described::parse_all(description);
            all.extend(described.map_err(|error: DescriptionError| Problem::bad_request(error.to_string()))?);
            if all.len() > MOST_OBJECTS {
                let words = format!("more than {MOST_OBJECTS} objects are described");
                return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, words));
            }
        }
        let files = Arc::new(self.files);
        for described in all {
            let Ok(described) = described else {
                receiver.take(Err(Status::CannotUnderstand), None).await;
                continue;
            };
            let (class, instance) = described.identity();
            let claimed = Some((class.to_owned(), instance.to_owned()));
            let made = match described.pieces(&self.bulk) {
                Ok(pieces) => make(app, pieces, Arc::clone(&files)).await,
                Err(error) => {
                    tracing::warn!(%error, "a description was refused");
                    Err(Status::CannotUnderstand)
                }
            };
            receiver.take(made, claimed).await;
        }
        Ok(())
    }
}

/// Objects of one request: each costs an answer of its own.
const MOST_OBJECTS: usize = 10_000;

/// Joins the pieces of an object.
async fn make(app: &Arc<App>, pieces: Vec<Piece>, files: Arc<Vec<CompleteObject>>) -> Result<TempObject, Status> {
    let app = Arc::clone(app);
    let work = tokio::task::spawn_blocking(move || {
        let mut temp = app.storage().new_temp(app.settings().max_import_bytes)?;
        for piece in &pieces {
            match piece {
                Piece::Bytes(bytes) => temp.copy_all(bytes)?,
                Piece::Bulk(nth) => match files.get(*nth) {
                    Some(file) => temp.copy_all(file)?,
                    None => return Err(StorageError::Missing),
                },
            }
        }
        Ok(temp)
    });
    let made = work.await.map_err(|_ended| Status::ProcessingFailure)?;
    made.map_err(|error: StorageError| status_of(&error.into()))
}

/// The transfer syntax of a media type that names none [PS3.18 8.7.3.3].
fn usual_syntax(media_type: &str) -> Option<&'static str> {
    Some(match media_type {
        "image/jpeg" => "1.2.840.10008.1.2.4.70",
        "image/jls" => "1.2.840.10008.1.2.4.80",
        "image/jp2" => "1.2.840.10008.1.2.4.90",
        "image/jpx" => "1.2.840.10008.1.2.4.92",
        "image/jphc" => "1.2.840.10008.1.2.4.201",
        "image/dicom-rle" => "1.2.840.10008.1.2.5",
        _ => return None,
    })
}

fn refused(error: StorageError) -> Problem {
    match error {
        StorageError::TooLarge { limit } => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, format!("a part is larger than the limit of {limit} bytes"))
        }
        StorageError::Full => Problem::new(StatusCode::INSUFFICIENT_STORAGE, "no space left"),
        other => Problem::unavailable(&other),
    }
}
