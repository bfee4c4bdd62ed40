//! Rows to values. A value out of its range means a foreign hand in the file: an error, never a panic.

use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::error::CatalogError;
use crate::key::{IndexKey, ObjectKey};
use crate::model::{IndexRow, InstanceRow, Job, JobKind, State, TargetKind, TargetRow};

pub(super) fn serial(row: &SqliteRow) -> Result<i64, CatalogError> {
    Ok(row.try_get("serial")?)
}

pub(super) fn target(row: &SqliteRow) -> Result<TargetRow, CatalogError> {
    let kind = TargetKind::parse(row.try_get("kind")?).ok_or_else(|| strange("kind"))?;
    let target: String = row.try_get("target")?;
    let object_key = object_key(row, "key")?;
    let state = state(row)?;
    let index = match state {
        State::Indexed => Some(index(row, object_key)?),
        State::Stored | State::Unservable => None,
    };
    Ok(TargetRow {
        kind,
        object_key,
        object_size: number(row, "size")?,
        sop_instance_uid: (kind == TargetKind::Instance).then(|| target.clone()),
        target,
        media_type: row.try_get("media_type")?,
        state,
        reason: row.try_get("reason")?,
        index,
    })
}

pub(super) fn instance(row: &SqliteRow) -> Result<InstanceRow, CatalogError> {
    Ok(InstanceRow {
        sop_instance_uid: row.try_get("sop_instance_uid")?,
        series_instance_uid: row.try_get("series_instance_uid")?,
        study_instance_uid: row.try_get("study_instance_uid")?,
        sop_class_uid: row.try_get("sop_class_uid")?,
        transfer_syntax_uid: row.try_get("transfer_syntax_uid")?,
        modality: row.try_get("modality")?,
        instance_number: row.try_get("instance_number")?,
        rows: optional(row, "image_rows")?,
        columns: optional(row, "image_columns")?,
        number_of_frames: optional(row, "number_of_frames")?,
        object_key: object_key(row, "key")?,
        object_size: number(row, "size")?,
        state: state(row)?,
        reason: row.try_get("reason")?,
        tid: row.try_get("tid")?,
    })
}

pub(super) fn job(row: &SqliteRow, kind: JobKind) -> Result<Job, CatalogError> {
    Ok(Job {
        id: row.try_get("id")?,
        kind,
        object_key: object_key(row, "object_key")?,
        object_size: number(row, "size")?,
        attempts: number(row, "attempts")?,
    })
}

pub(super) fn object_key(row: &SqliteRow, column: &'static str) -> Result<ObjectKey, CatalogError> {
    ObjectKey::parse(row.try_get(column)?).ok_or_else(|| strange(column))
}

pub(super) fn number<N: TryFrom<i64>>(row: &SqliteRow, column: &'static str) -> Result<N, CatalogError> {
    N::try_from(row.try_get::<i64, _>(column)?).ok().ok_or_else(|| strange(column))
}

pub(super) fn strange(column: &'static str) -> CatalogError {
    CatalogError::Database { detail: format!("column {column} holds a value that was never written there") }
}

fn index(row: &SqliteRow, object: ObjectKey) -> Result<IndexRow, CatalogError> {
    Ok(IndexRow {
        key: IndexKey { object, version: number(row, "version")? },
        size: number(row, "index_size")?,
        codestreams: number(row, "codestreams")?,
        width: number(row, "width")?,
        height: number(row, "height")?,
        tid: row.try_get("tid")?,
        presentation: row.try_get("presentation")?,
    })
}

pub(super) fn state(row: &SqliteRow) -> Result<State, CatalogError> {
    State::parse(row.try_get("state")?).ok_or_else(|| strange("state"))
}

fn optional<N: TryFrom<i64>>(row: &SqliteRow, column: &'static str) -> Result<Option<N>, CatalogError> {
    let value: Option<i64> = row.try_get(column)?;
    value.map(|value| N::try_from(value).ok().ok_or_else(|| strange(column))).transpose()
}
