//! Objects that others are served from: made of them, with a row and an index of their own, and no name.

use crate::apply::{delete_job, insert_job, insert_object};
use crate::connection::Connection;
use crate::error::CatalogError;
use crate::failure::Failure;
use crate::key::ObjectKey;
use crate::model::{IndexFacts, JobKind, NewObject, Servable};
use crate::{query, rows};

/// Adds an object that was made of another, with its index, and serves the other from it.
pub(crate) async fn set(
    connection: &mut Connection<'_>,
    origin: ObjectKey,
    (derived, size): (ObjectKey, u64),
    facts: &IndexFacts,
) -> Result<(), Failure> {
    let (origin, key) = (origin.to_string(), derived.to_string());
    if connection.optional(query::OBJECT_STATE, &[(&origin).into()]).await?.is_none() {
        return Err(CatalogError::NoSuchObject.into());
    }
    let media_type = "application/dicom".to_owned();
    let object = NewObject { key: derived, size, media_type, servable: Servable::Indexed(facts.clone()) };
    insert_object(connection, &object).await?;
    let values = [(&origin).into(), (&facts.damage).into(), (&facts.tid).into(), facts.version.into(), (&key).into()];
    connection.execute(query::SET_DERIVED, &values).await?;
    delete_job(connection, JobKind::Derive, &origin).await
}

/// Queues what became unservable while nothing was derived; returns how much that is.
pub(crate) async fn queue_all(connection: &mut Connection<'_>) -> Result<u64, Failure> {
    connection.execute(query::QUEUE_DERIVATIONS, &[]).await?;
    connection.execute(query::AWAIT_DERIVATIONS, &[]).await
}

/// Takes a derived object away, by its key or that of an origin, and has it made again; returns the number of its
/// origins, 0 if it is none.
pub(crate) async fn queue_origins(connection: &mut Connection<'_>, key: &str) -> Result<u64, Failure> {
    let derived = match connection.optional(query::DERIVED_OF, &[key.into()]).await? {
        Some(row) => rows::object_key(&row, "derived_key")?.to_string(),
        None => key.to_owned(),
    };
    let origins = connection.all(query::ORIGINS_OF, &[(&derived).into()]).await?;
    for row in &origins {
        let origin = rows::object_key(row, "key")?.to_string();
        connection.execute(query::SET_UNDERIVED, &[(&origin).into()]).await?;
        insert_job(connection, JobKind::Derive, &origin).await?;
    }
    if !origins.is_empty() {
        delete(connection, &derived).await?;
    }
    Ok(origins.len() as u64)
}

/// Takes a derived object out of the catalog from which nothing is served any more.
pub(crate) async fn delete_unused(connection: &mut Connection<'_>, derived: &str) -> Result<(), Failure> {
    if connection.optional(query::ORIGINS_OF, &[derived.into()]).await?.is_some() {
        return Ok(());
    }
    delete(connection, derived).await
}

async fn delete(connection: &mut Connection<'_>, derived: &str) -> Result<(), Failure> {
    for text in [query::DELETE_JOBS_OF, query::DELETE_INDEXES_OF, query::DELETE_OBJECT] {
        connection.execute(text, &[derived.into()]).await?;
    }
    Ok(())
}
