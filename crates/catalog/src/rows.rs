//! Rows to values. A value out of its range means a foreign hand in the file: an error, never a panic.

use crate::connection::Row;
use crate::error::CatalogError;
use crate::key::{IndexKey, ObjectKey};
use crate::model::{
    IndexRow, InstanceRow, Job, JobKind, JobRow, JobState, ObjectRow, ServedIndex, State, TargetKind, TargetRow,
};

pub(crate) fn serial(row: &Row) -> Result<i64, CatalogError> {
    row.integer("serial")
}

pub(crate) fn target(row: &Row) -> Result<TargetRow, CatalogError> {
    let kind = TargetKind::parse(row.text("kind")?).ok_or_else(|| strange("kind"))?;
    let target = row.text("target")?.to_owned();
    let object_key = object_key(row, "key")?;
    let state = state(row)?;
    let index = match state {
        State::Indexed => Some(index(row)?),
        State::Stored | State::Unservable => None,
    };
    Ok(TargetRow {
        kind,
        object_key,
        object_size: number(row, "size")?,
        sop_instance_uid: (kind == TargetKind::Instance).then(|| target.clone()),
        target,
        media_type: row.text("media_type")?.to_owned(),
        state,
        reason: row.optional_text("reason")?.map(str::to_owned),
        index,
    })
}

pub(crate) fn instance(row: &Row) -> Result<InstanceRow, CatalogError> {
    Ok(InstanceRow {
        sop_instance_uid: row.text("sop_instance_uid")?.to_owned(),
        series_instance_uid: row.optional_text("series_instance_uid")?.map(str::to_owned),
        study_instance_uid: row.optional_text("study_instance_uid")?.map(str::to_owned),
        sop_class_uid: row.text("sop_class_uid")?.to_owned(),
        transfer_syntax_uid: row.text("transfer_syntax_uid")?.to_owned(),
        modality: row.optional_text("modality")?.map(str::to_owned),
        instance_number: row.optional_integer("instance_number")?,
        rows: optional(row, "image_rows")?,
        columns: optional(row, "image_columns")?,
        number_of_frames: optional(row, "number_of_frames")?,
        object_key: object_key(row, "key")?,
        object_size: number(row, "size")?,
        state: state(row)?,
        reason: row.optional_text("reason")?.map(str::to_owned),
        tid: row.optional_text("tid")?.map(str::to_owned),
    })
}

pub(crate) fn object(row: &Row) -> Result<ObjectRow, CatalogError> {
    let key = object_key(row, "key")?;
    let index = match (optional(row, "index_version")?, optional(row, "index_size")?) {
        (Some(version), Some(size)) => {
            let object = object_key(row, "served_key")?;
            Some(ServedIndex { key: IndexKey { object, version }, size })
        }
        _ => None,
    };
    Ok(ObjectRow {
        key,
        size: number(row, "size")?,
        state: state(row)?,
        index,
        is_derived: row.integer("origins")? > 0,
    })
}

pub(crate) fn job(row: &Row, kind: JobKind) -> Result<Job, CatalogError> {
    Ok(Job {
        id: row.integer("id")?,
        kind,
        object_key: object_key(row, "object_key")?,
        object_size: number(row, "size")?,
        attempts: number(row, "attempts")?,
    })
}

pub(crate) fn job_row(row: &Row) -> Result<JobRow, CatalogError> {
    let failure = row.optional_text("failure")?.map(str::to_owned);
    let state = match (&failure, row.optional_text("claimed_by")?) {
        (Some(_), _) => JobState::Failed,
        (None, Some(_)) => JobState::Running,
        (None, None) => JobState::Queued,
    };
    Ok(JobRow {
        id: serial(row)?,
        kind: JobKind::parse(row.text("kind")?).ok_or_else(|| strange("kind"))?,
        object_key: object_key(row, "object_key")?,
        object_size: number(row, "size")?,
        target: row.optional_text("target")?.map(str::to_owned),
        attempts: number(row, "attempts")?,
        state,
        reason: failure,
    })
}

pub(crate) fn object_key(row: &Row, column: &'static str) -> Result<ObjectKey, CatalogError> {
    ObjectKey::parse(row.text(column)?).ok_or_else(|| strange(column))
}

pub(crate) fn number<N: TryFrom<i64>>(row: &Row, column: &'static str) -> Result<N, CatalogError> {
    N::try_from(row.integer(column)?).ok().ok_or_else(|| strange(column))
}

pub(crate) fn strange(column: &'static str) -> CatalogError {
    CatalogError::Database { detail: format!("column {column} holds a value that was never written there") }
}

fn index(row: &Row) -> Result<IndexRow, CatalogError> {
    let object = object_key(row, "served_key")?;
    Ok(IndexRow {
        key: IndexKey { object, version: number(row, "version")? },
        size: number(row, "index_size")?,
        codestreams: number(row, "codestreams")?,
        width: number(row, "width")?,
        height: number(row, "height")?,
        tid: row.text("tid")?.to_owned(),
        presentation: row.text("presentation")?.to_owned(),
    })
}

pub(crate) fn state(row: &Row) -> Result<State, CatalogError> {
    State::parse(row.text("state")?).ok_or_else(|| strange("state"))
}

fn optional<N: TryFrom<i64>>(row: &Row, column: &'static str) -> Result<Option<N>, CatalogError> {
    let value = row.optional_integer(column)?;
    value.map(|value| N::try_from(value).ok().ok_or_else(|| strange(column))).transpose()
}
