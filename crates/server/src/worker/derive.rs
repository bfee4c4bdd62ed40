//! Objects that are served from another: pixel data that is not JPEG 2000 is coded anew, without loss.
//!
//! The derived object is a DICOM object like any other, but with a SOP Class of our own and no attribute of a patient:
//! one codestream a frame, in RPCL order with precincts, PLT and TLM. It is stored, indexed and checked like what was
//! received; the received object stays what is given out as the instance.

pub(crate) mod making;
mod palette;
mod samples;

use catalog::{IndexFacts, ObjectKey, Reason, ReasonKind};
use clap::ValueEnum;
use dicom_bridge::{PixelData, ScannedObject};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::apart::{Apart, ApartError, Task};
use super::index_object::{IndexFailure, index_stored};
use super::store;
use crate::storage::Storage;

/// Which codestreams are made of pixel data that is not JPEG 2000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Derive {
    /// HTJ2K.
    #[default]
    Ht,
    /// JPEG 2000 Part 1.
    J2k,
    /// None: such objects are stored and cannot be asked for by JPIP.
    Off,
}

/// SOP Class of derived objects, so that nobody takes one for an object that was received. Made of a UUID [PS3.5 B.2].
pub(crate) const DERIVED_SOP_CLASS: &str = "2.25.187213245986103942284957206128173904251";

/// Who makes derived objects.
#[derive(Debug, Clone)]
pub struct Deriver {
    /// Which codestreams.
    pub kind: Derive,
    /// Where the decoding is done.
    pub apart: Apart,
}

/// A derived object, durable with its index.
#[derive(Debug)]
pub(super) struct Derived {
    pub(super) key: ObjectKey,
    pub(super) size: u64,
    pub(super) facts: IndexFacts,
}

/// Why nothing can be derived of an object, `None` if it can be tried.
pub(crate) fn underivable(scanned: &ScannedObject) -> Option<Reason> {
    let transfer_syntax = &scanned.transfer_syntax;
    let of = |words: &str| Some(Reason::new(ReasonKind::Unsupported, words));
    match &scanned.pixel_data {
        PixelData::Native(value) if matches!(value.vr(), "OF" | "OD") => of("pixel data of floating-point numbers"),
        PixelData::Native(_) => None,
        PixelData::Encapsulated { .. } if samples::coding(transfer_syntax).is_some() => None,
        PixelData::Encapsulated { .. } => of(&format!("{} is not decoded here", transfer_syntax.name())),
        PixelData::Unusable(reason) => Some(Reason::new(ReasonKind::Damaged, reason.as_str())),
        PixelData::None => Some(Reason::new(ReasonKind::NoPixelData, "the object holds no pixel data")),
    }
}

/// Makes, stores and indexes the derived object of a stored one.
///
/// # Errors
///
/// As for an index that is made.
pub(super) async fn derive(storage: &Storage, deriver: &Deriver, key: ObjectKey) -> Result<Derived, IndexFailure> {
    let (lender, scratch_of) = (storage.clone(), storage.clone());
    let lent = tokio::task::spawn_blocking(move || lender.lend_object(&key)).await.map_err(stopped)??;
    let scratch = scratch_of.new_scratch().map_err(IndexFailure::Write)?;
    let task = Task { name: "derive", arguments: json!({ "kind": deriver.kind }), input: lent, output: scratch.path() };
    deriver.apart.run(task).await.map_err(|error| match error {
        ApartError::Refused(refusal) => {
            let kind = if refusal.is_unsupported { ReasonKind::Unsupported } else { ReasonKind::Damaged };
            IndexFailure::Object(Reason::new(kind, refusal.words))
        }
        ApartError::Stopped(words) => IndexFailure::Object(Reason::new(ReasonKind::Failed, words)),
        ApartError::Process(error) => IndexFailure::Write(error.into()),
    })?;
    let storage = storage.clone();
    let adopt = move || {
        let mut temp = storage.new_temp(u64::MAX).map_err(IndexFailure::Write)?;
        temp.copy_from(scratch.as_file()).map_err(IndexFailure::Write)?;
        let object = temp.complete().map_err(IndexFailure::Write)?;
        let size = codestream::ByteSource::len(&object);
        let key = storage.put(object).map_err(IndexFailure::Write)?;
        let index = index_stored(&storage, key)?;
        let facts = store(&storage, key, index).map_err(IndexFailure::Write)?;
        Ok(Derived { key, size, facts })
    };
    tokio::task::spawn_blocking(adopt).await.map_err(stopped)?
}

fn stopped(error: tokio::task::JoinError) -> IndexFailure {
    IndexFailure::Write(std::io::Error::other(error).into())
}
