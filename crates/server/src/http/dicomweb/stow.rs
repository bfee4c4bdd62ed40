//! STOW-RS: objects come in, each told of by itself [PS3.18 10.5].
//!
//! Status: 200 all are stored, or were already; 202 some; 409 none; 400 a body that is not what it says, and of which
//! nothing could be stored; 408 one that stops coming; 415 a media type that is not taken; 503 shutting down.

mod described;
mod outcome;
mod receiver;

use std::sync::Arc;

use axum::{
    body::Body,
    extract::{Path, State, rejection::PathRejection},
    response::Response,
};
use dicom_bridge::{
    media_type::MediaType,
    multipart::{MultipartError, MultipartEvent, MultipartLimits, MultipartReader},
};
use http::{Request, StatusCode, header, request::Parts};

use self::receiver::Receiver;
use super::{
    accept::Accepted,
    capabilities::{STORED, TOLD},
};
use crate::{
    app::App,
    http::{
        error::Problem,
        intake::Intake,
        routes::{self, Answer, Operation, Routes},
    },
};

const DICOM: &str = "application/dicom";

pub(super) fn routes() -> Routes {
    Routes::new().post("/studies", store, STORE).post("/studies/{study}", store_in_study, STORE)
}

const STORE: Operation = Operation {
    summary: "Stores objects, each told of by itself",
    query: &[],
    body: STORED,
    answers: &[
        Answer::new(200, "all are stored, or were already", routes::Content::Media(TOLD)),
        Answer::new(202, "some are stored", routes::Content::Media(TOLD)),
        Answer::problem(400, "the body is not what it says"),
        Answer::problem(406, "the client takes no form that there is"),
        Answer::problem(408, "the body stopped coming"),
        Answer::new(409, "none is stored", routes::Content::Media(TOLD)),
        Answer::problem(415, "a media type that is not taken"),
        Answer::problem(503, "the server drains, or the catalog or the store does not answer"),
    ],
};

/// `POST /studies`: objects of any study.
async fn store(State(app): State<Arc<App>>, request: Request<Body>) -> Result<Response, Problem> {
    take(&app, None, request).await
}

/// `POST /studies/{study}`: objects of this study; others are refused, each by itself.
async fn store_in_study(
    State(app): State<Arc<App>>,
    study: Result<Path<String>, PathRejection>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let is_uid = |text: &str| text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let study = study.ok().map(|Path(study)| study).filter(|study| is_uid(study));
    let study = study.ok_or_else(|| Problem::bad_request("the study is not named by a UID"))?;
    take(&app, Some(study), request).await
}

async fn take(app: &Arc<App>, study: Option<String>, request: Request<Body>) -> Result<Response, Problem> {
    let (head, body) = request.into_parts();
    let content = Content::of(&head)?;
    let accepted = Accepted::of(&head.headers, head.uri.query());
    let form = outcome::form(&accepted)?;
    let mut intake = Intake::begin(app, body)?;
    let mut receiver = Receiver::new(app, study.clone());
    let received = match content {
        Content::Single => receive_single(&mut intake, &mut receiver).await,
        Content::Parts(reader) => receive_parts(&mut intake, &mut receiver, *reader).await,
        Content::Described(reader) => described::receive(app, &mut intake, &mut receiver, *reader).await,
    };
    // What was stored before a body broke off stays stored, and its sender is told so if it still listens.
    let outcomes = receiver.finish().await;
    match received {
        Err(problem) if !outcomes.any_stored() => Err(problem),
        Err(_broken) => outcomes.with_unknown_failure().answer(app, study.as_deref(), form),
        Ok(()) if outcomes.is_empty() => Err(Problem::bad_request("the body holds no part")),
        Ok(()) => outcomes.answer(app, study.as_deref(), form),
    }
}

/// What a body is made of.
enum Content {
    /// One object.
    Single,
    /// Objects.
    Parts(Box<MultipartReader>),
    /// Descriptions and bulk data.
    Described(Box<MultipartReader>),
}

impl Content {
    fn of(head: &Parts) -> Result<Self, Problem> {
        let unsupported = || {
            let words = "objects come as application/dicom, alone or in multipart/related, or described in application/dicom+json there";
            Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, words)
        };
        let text = head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let content_type = text.and_then(MediaType::parse).ok_or_else(unsupported)?;
        if content_type.essence() == DICOM {
            return Ok(Self::Single);
        }
        let parts = content_type.parameter("type").unwrap_or(DICOM).to_ascii_lowercase();
        if content_type.essence() != "multipart/related" || ![DICOM, described::JSON].contains(&parts.as_str()) {
            return Err(unsupported());
        }
        let boundary = content_type.parameter("boundary");
        let boundary = boundary.ok_or_else(|| Problem::bad_request("the body names no boundary"))?;
        let reader = Box::new(MultipartReader::new(boundary, MultipartLimits::default()).map_err(problem)?);
        Ok(if parts == DICOM { Self::Parts(reader) } else { Self::Described(reader) })
    }
}

async fn receive_single(intake: &mut Intake, receiver: &mut Receiver) -> Result<(), Problem> {
    receiver.begin(true);
    while let Some(bytes) = intake.next().await? {
        receiver.add(&bytes).await;
    }
    receiver.end().await;
    Ok(())
}

async fn receive_parts(
    intake: &mut Intake,
    receiver: &mut Receiver,
    mut reader: MultipartReader,
) -> Result<(), Problem> {
    loop {
        match reader.poll().map_err(problem)? {
            Some(MultipartEvent::Part(headers)) => {
                let content_type = headers.field("content-type").map(MediaType::parse);
                // A part that does not say what it is may be what the whole body is said to be.
                receiver.begin(content_type.is_none_or(|kind| kind.is_some_and(|kind| kind.essence() == DICOM)));
            }
            Some(MultipartEvent::Data(bytes)) => receiver.add(&bytes).await,
            Some(MultipartEvent::PartEnd) => receiver.end().await,
            Some(MultipartEvent::End) => break,
            None => match intake.next().await? {
                Some(bytes) => reader.push(&bytes),
                None => reader.finish(),
            },
        }
    }
    // What follows the last boundary is read and means nothing.
    while intake.next().await?.is_some() {}
    Ok(())
}

fn problem(error: MultipartError) -> Problem {
    let status = match error {
        MultipartError::LimitExceeded { .. } => StatusCode::PAYLOAD_TOO_LARGE,
        _ => StatusCode::BAD_REQUEST,
    };
    Problem::new(status, error.to_string())
}
