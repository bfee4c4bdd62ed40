//! What each change does to the rows; runs inside a savepoint of the writer's transaction.

use sqlx::sqlite::SqliteArguments;
use sqlx::{Row as _, SqliteConnection};

use crate::change::{Answer, Change};
use crate::error::CatalogError;
use crate::key::ObjectKey;
use crate::model::{
    FileOutcome, IndexFacts, InstanceOutcome, JobKind, NewInstance, NewObject, Reason, Servable, State, TargetKind,
};
use crate::query;
use crate::sqlite::rows;

pub(super) async fn apply(connection: &mut SqliteConnection, change: &Change) -> Result<Answer, CatalogError> {
    match change {
        Change::CommitInstance { object, instance, now } => {
            commit_instance(connection, object, instance, *now).await.map(Answer::Instance)
        }
        Change::CommitFile { object, name, now } => commit_file(connection, object, name, *now).await.map(Answer::File),
        Change::SetIndexed { key, facts } => {
            set_indexed(connection, *key, facts).await?;
            Ok(Answer::Changed(1))
        }
        Change::SetUnservable { key, reason } => set_unservable(connection, *key, reason).await.map(Answer::Changed),
        Change::ClaimJobs { kind, node, limit, now } => {
            let claim = sqlx::query(query::CLAIM_JOBS).bind(kind.as_str()).bind(node).bind(now).bind(i64::from(*limit));
            let claimed = claim.fetch_all(connection).await?;
            let mut jobs = claimed.iter().map(|row| rows::job(row, *kind)).collect::<Result<Vec<_>, _>>()?;
            jobs.sort_by_key(|job| job.id);
            Ok(Answer::Jobs(jobs))
        }
        Change::ReleaseJob { id } => run(connection, sqlx::query(query::RELEASE_JOB).bind(id)).await,
        Change::ReleaseClaimed { node } => run(connection, sqlx::query(query::RELEASE_CLAIMED).bind(node)).await,
        Change::RequeueClaimed { node } => run(connection, sqlx::query(query::REQUEUE_CLAIMED).bind(node)).await,
        Change::GiveUpJobs { attempts, reason } => {
            let worn = sqlx::query(query::WORN_JOBS).bind(i64::from(*attempts)).fetch_all(&mut *connection).await?;
            for row in &worn {
                set_unservable(connection, rows::object_key(row, "object_key")?, reason).await?;
            }
            Ok(Answer::Changed(worn.len() as u64))
        }
    }
}

async fn commit_instance(
    connection: &mut SqliteConnection,
    object: &NewObject,
    instance: &NewInstance,
    now: i64,
) -> Result<InstanceOutcome, CatalogError> {
    if let Some((_, there)) = points_to(connection, &instance.sop_instance_uid).await? {
        if there != Some(object.key) {
            return Ok(InstanceOutcome::Conflict);
        }
        try_again(connection, object).await?;
        return Ok(InstanceOutcome::Duplicate);
    }
    insert_object(connection, object).await?;
    let serial = insert_target(connection, &instance.sop_instance_uid, TargetKind::Instance, object.key, now).await?;
    sqlx::query(query::INSERT_INSTANCE)
        .bind(serial)
        .bind(&instance.sop_instance_uid)
        .bind(&instance.series_instance_uid)
        .bind(&instance.study_instance_uid)
        .bind(&instance.sop_class_uid)
        .bind(&instance.transfer_syntax_uid)
        .bind(&instance.modality)
        .bind(&instance.patient_id)
        .bind(instance.instance_number)
        .bind(instance.rows)
        .bind(instance.columns)
        .bind(instance.number_of_frames)
        .bind(&instance.attributes)
        .execute(connection)
        .await?;
    Ok(InstanceOutcome::Inserted)
}

async fn commit_file(
    connection: &mut SqliteConnection,
    object: &NewObject,
    name: &str,
    now: i64,
) -> Result<FileOutcome, CatalogError> {
    match points_to(connection, name).await? {
        Some((TargetKind::File, Some(key))) if key == object.key => {
            // The bytes are the same, but the index that comes along may be newer: it is what was answered with.
            insert_object(connection, object).await?;
            Ok(FileOutcome::Duplicate)
        }
        Some((TargetKind::File, _)) => {
            insert_object(connection, object).await?;
            let point = sqlx::query(query::POINT_TO).bind(name).bind(object.key.to_string()).bind(now);
            point.execute(connection).await?;
            Ok(FileOutcome::Replaced)
        }
        // The rules for names keep files and UIDs apart; this is the second lock.
        Some((TargetKind::Instance | TargetKind::Series, _)) => {
            Err(CatalogError::Database { detail: "a file cannot take the name of an instance".to_owned() })
        }
        None => {
            insert_object(connection, object).await?;
            insert_target(connection, name, TargetKind::File, object.key, now).await?;
            Ok(FileOutcome::Inserted)
        }
    }
}

/// Adds the object with what is known about serving it; one that is there keeps what is known of it, except that an
/// index that comes along makes it servable.
async fn insert_object(connection: &mut SqliteConnection, object: &NewObject) -> Result<(), CatalogError> {
    let (state, reason) = match &object.servable {
        // The facts are set below, in the same transaction.
        Servable::ToIndex | Servable::Indexed(_) => (State::Stored, None),
        Servable::Not(reason) => (State::Unservable, Some(reason.to_string())),
    };
    let key = object.key.to_string();
    let size = i64::try_from(object.size).ok().ok_or_else(|| rows::strange("size"))?;
    let inserted = sqlx::query(query::INSERT_OBJECT)
        .bind(&key)
        .bind(size)
        .bind(&object.media_type)
        .bind(state.as_str())
        .bind(reason)
        .execute(&mut *connection)
        .await?
        .rows_affected();
    match &object.servable {
        Servable::Indexed(facts) => set_indexed(connection, object.key, facts).await,
        Servable::ToIndex if inserted > 0 => {
            sqlx::query(query::INSERT_JOB).bind(JobKind::Index.as_str()).bind(&key).execute(connection).await?;
            Ok(())
        }
        Servable::ToIndex | Servable::Not(_) => Ok(()),
    }
}

/// An object that came again has just been stored again: if its bytes could not be read before, they can be now.
async fn try_again(connection: &mut SqliteConnection, object: &NewObject) -> Result<(), CatalogError> {
    if object.servable != Servable::ToIndex {
        return Ok(());
    }
    let key = object.key.to_string();
    let forgiven = sqlx::query(query::FORGIVE_FAILURE).bind(&key).execute(&mut *connection).await?.rows_affected();
    if forgiven > 0 {
        sqlx::query(query::INSERT_JOB).bind(JobKind::Index.as_str()).bind(&key).execute(connection).await?;
    }
    Ok(())
}

async fn insert_target(
    connection: &mut SqliteConnection,
    target: &str,
    kind: TargetKind,
    key: ObjectKey,
    now: i64,
) -> Result<i64, CatalogError> {
    let insert = sqlx::query(query::INSERT_TARGET).bind(target).bind(kind.as_str()).bind(key.to_string()).bind(now);
    rows::serial(&insert.fetch_one(connection).await?)
}

async fn set_indexed(
    connection: &mut SqliteConnection,
    key: ObjectKey,
    facts: &IndexFacts,
) -> Result<(), CatalogError> {
    let key = key.to_string();
    if sqlx::query(query::OBJECT_STATE).bind(&key).fetch_optional(&mut *connection).await?.is_none() {
        return Err(CatalogError::NoSuchObject);
    }
    let size = i64::try_from(facts.size).ok().ok_or_else(|| rows::strange("size"))?;
    sqlx::query(query::UPSERT_INDEX)
        .bind(&key)
        .bind(facts.version)
        .bind(size)
        .bind(facts.codestreams)
        .bind(facts.width)
        .bind(facts.height)
        .bind(&facts.presentation)
        .execute(&mut *connection)
        .await?;
    sqlx::query(query::SET_INDEXED)
        .bind(&key)
        .bind(&facts.damage)
        .bind(&facts.tid)
        .bind(facts.version)
        .bind(&facts.media_type)
        .execute(&mut *connection)
        .await?;
    delete_job(connection, &key).await
}

async fn set_unservable(
    connection: &mut SqliteConnection,
    key: ObjectKey,
    reason: &Reason,
) -> Result<u64, CatalogError> {
    let key = key.to_string();
    let set = sqlx::query(query::SET_UNSERVABLE).bind(&key).bind(reason.to_string());
    let changed = set.execute(&mut *connection).await?.rows_affected();
    delete_job(connection, &key).await?;
    Ok(changed)
}

async fn delete_job(connection: &mut SqliteConnection, key: &str) -> Result<(), CatalogError> {
    sqlx::query(query::DELETE_JOB_OF).bind(JobKind::Index.as_str()).bind(key).execute(connection).await?;
    Ok(())
}

async fn points_to(
    connection: &mut SqliteConnection,
    target: &str,
) -> Result<Option<(TargetKind, Option<ObjectKey>)>, CatalogError> {
    let Some(row) = sqlx::query(query::POINTS_TO).bind(target).fetch_optional(connection).await? else {
        return Ok(None);
    };
    let kind = TargetKind::parse(row.try_get("kind")?).ok_or_else(|| rows::strange("kind"))?;
    let key: Option<String> = row.try_get("object_key")?;
    let key = key.map(|key| ObjectKey::parse(&key).ok_or_else(|| rows::strange("object_key"))).transpose()?;
    Ok(Some((kind, key)))
}

async fn run(
    connection: &mut SqliteConnection,
    query: sqlx::query::Query<'_, sqlx::Sqlite, SqliteArguments>,
) -> Result<Answer, CatalogError> {
    Ok(Answer::Changed(query.execute(connection).await?.rows_affected()))
}
