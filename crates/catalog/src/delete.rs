//! What goes when an instance is deleted: its name, its place in series and study, and its object if nothing else is
//! called by it. The bytes stay until `fsck --prune` takes what no row names.

use crate::connection::Connection;
use crate::failure::Failure;
use crate::key::ObjectKey;
use crate::{derived, query, rows};

/// Deletes an instance; `None` if there is none of this UID, else the key of the object that it was.
pub(crate) async fn instance(connection: &mut Connection<'_>, uid: &str) -> Result<Option<ObjectKey>, Failure> {
    let Some(row) = connection.optional(query::INSTANCE_TO_DELETE, &[uid.into()]).await? else { return Ok(None) };
    let serial = rows::serial(&row)?;
    let key = rows::object_key(&row, "object_key")?;
    connection.execute(query::DELETE_INSTANCE, &[serial.into()]).await?;
    connection.execute(query::DELETE_TARGET, &[serial.into()]).await?;
    let (study, series) = (row.optional_text("study_instance_uid")?, row.optional_text("series_instance_uid")?);
    if study.is_some() && series.is_some() {
        connection.execute(query::UNCOUNT_IN_SERIES, &[study.into(), series.into()]).await?;
        connection.execute(query::DELETE_EMPTY_SERIES, &[study.into(), series.into()]).await?;
        connection.execute(query::DELETE_EMPTY_STUDY, &[study.into()]).await?;
    }
    let object = key.to_string();
    if connection.optional(query::NAMES_OF_OBJECT, &[(&object).into()]).await?.is_none() {
        let derived = connection.optional(query::DERIVED_OF, &[(&object).into()]).await?;
        for text in [query::DELETE_JOBS_OF, query::DELETE_INDEXES_OF, query::DELETE_OBJECT] {
            connection.execute(text, &[(&object).into()]).await?;
        }
        if let Some(row) = derived {
            derived::delete_unused(connection, &rows::object_key(&row, "derived_key")?.to_string()).await?;
        }
    }
    Ok(Some(key))
}
