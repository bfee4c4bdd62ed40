//! What is said of the objects of one request [PS3.18 10.5.3].

use axum::{body::Body, response::Response};
use catalog::InstanceRow;
use dicom_bridge::{dimse::Status, model::ModelForm, write::NewAttributes};
use http::{HeaderValue, StatusCode, header};

use crate::{
    app::App,
    http::{
        dicomweb::{BASE, accept::Accepted, wado::instances::instance_url},
        error::Problem,
    },
};

/// What became of one object.
pub(super) enum Outcome {
    /// It is durable, now or since earlier.
    Stored(Box<InstanceRow>),
    Failed {
        /// SOP class and instance that it claims to be, if it does.
        claimed: Option<(String, String)>,
        status: Status,
    },
}

/// What became of all of them, in the order in which they came.
#[derive(Default)]
pub(super) struct Outcomes {
    all: Vec<Outcome>,
}

const JSON: &str = "application/dicom+json";
const XML: &str = "application/dicom+xml";

const RETRIEVE_URL: u32 = 0x0008_1190;
const FAILED_SOP_SEQUENCE: u32 = 0x0008_1198;
const REFERENCED_SOP_SEQUENCE: u32 = 0x0008_1199;
const OTHER_FAILURES_SEQUENCE: u32 = 0x0008_119a;
const FAILURE_REASON: u32 = 0x0008_1197;
const REFERENCED_SOP_CLASS_UID: u32 = 0x0008_1150;
const REFERENCED_SOP_INSTANCE_UID: u32 = 0x0008_1155;

/// The form in which a client is told.
///
/// # Errors
///
/// 406 if it takes neither.
pub(super) fn form(accepted: &Accepted) -> Result<ModelForm, Problem> {
    let form = accepted.choose(|offer| {
        let covers = |essence| offer.media_type.covers(essence);
        if covers(JSON) || covers("application/json") {
            return Some(ModelForm::Json);
        }
        (covers(XML) || covers("application/xml") || covers("text/xml")).then_some(ModelForm::Xml)
    });
    form.ok_or_else(|| {
        let words = "what became of the objects is told in application/dicom+json or application/dicom+xml";
        Problem::new(StatusCode::NOT_ACCEPTABLE, words)
    })
}

impl Outcomes {
    pub(super) fn add(&mut self, outcome: Outcome) {
        self.all.push(outcome);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn any_stored(&self) -> bool {
        self.all.iter().any(|outcome| matches!(outcome, Outcome::Stored(_)))
    }

    /// With one more object, of which nobody knows what it was.
    pub(super) fn with_unknown_failure(mut self) -> Self {
        self.add(Outcome::Failed { claimed: None, status: Status::CannotUnderstand });
        self
    }

    /// # Errors
    ///
    /// 500 if it cannot be written, which would be a mistake of ours.
    pub(super) fn answer(&self, app: &App, study: Option<&str>, form: ModelForm) -> Result<Response, Problem> {
        let failed = self.all.iter().filter(|outcome| matches!(outcome, Outcome::Failed { .. })).count();
        let status = match failed {
            0 => StatusCode::OK,
            _ if failed < self.all.len() => StatusCode::ACCEPTED,
            _ => StatusCode::CONFLICT,
        };
        let told = self.attributes(app, study).to_model(form).map_err(|error| Problem::internal(&error))?;
        let mut response = Response::new(Body::from(told));
        *response.status_mut() = status;
        let content_type = HeaderValue::from_static(if form == ModelForm::Json { JSON } else { XML });
        response.headers_mut().insert(header::CONTENT_TYPE, content_type);
        Ok(response)
    }

    fn attributes(&self, app: &App, study: Option<&str>) -> NewAttributes {
        let (mut stored, mut failed, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for outcome in &self.all {
            let mut item = NewAttributes::new();
            match outcome {
                Outcome::Stored(row) => {
                    item.put(REFERENCED_SOP_CLASS_UID, "UI", &row.sop_class_uid)
                        .put(REFERENCED_SOP_INSTANCE_UID, "UI", &row.sop_instance_uid)
                        .put(RETRIEVE_URL, "UR", &instance_url(app, row));
                    stored.push(item);
                }
                Outcome::Failed { claimed: Some((class, instance)), status } => {
                    item.put(REFERENCED_SOP_CLASS_UID, "UI", class)
                        .put(REFERENCED_SOP_INSTANCE_UID, "UI", instance)
                        .put(FAILURE_REASON, "US", &status.code().to_string());
                    failed.push(item);
                }
                Outcome::Failed { claimed: None, status } => {
                    item.put(FAILURE_REASON, "US", &status.code().to_string());
                    others.push(item);
                }
            }
        }
        let mut told = NewAttributes::new();
        if let Some(study) = study.or_else(|| self.only_study()) {
            told.put(RETRIEVE_URL, "UR", &format!("{}{BASE}/studies/{study}", app.base_url()));
        }
        let sequences =
            [(REFERENCED_SOP_SEQUENCE, stored), (FAILED_SOP_SEQUENCE, failed), (OTHER_FAILURES_SEQUENCE, others)];
        for (tag, items) in sequences.into_iter().filter(|(_, items)| !items.is_empty()) {
            told.put_sequence(tag, items);
        }
        told
    }

    /// The study of all that is stored, if it is one.
    fn only_study(&self) -> Option<&str> {
        let mut studies = self.all.iter().filter_map(|outcome| match outcome {
            Outcome::Stored(row) => Some(row.study_instance_uid.as_deref()),
            Outcome::Failed { .. } => None,
        });
        let first = studies.next()??;
        studies.all(|study| study == Some(first)).then_some(first)
    }
}
