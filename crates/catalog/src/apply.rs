//! What each change does to the rows; runs inside a savepoint of the writer's transaction.

use crate::change::{Answer, Change};
use crate::connection::{Connection, Value};
use crate::error::CatalogError;
use crate::failure::Failure;
use crate::key::ObjectKey;
use crate::levels::{self, Levels};
use crate::model::{
    FileOutcome, IndexFacts, InstanceOutcome, Job, JobKind, NewInstance, NewObject, Reason, Servable, State, TargetKind,
};
use crate::{delete, derived, query, rows};

/// Makes one change in the way that takes fewest steps if all that it adds is new, and fails with
/// [`ApplyAgain`](crate::failure::Remedy::ApplyAgain) if not; what it did before it failed is the caller's to roll back.
pub(crate) async fn apply_as_new(connection: &mut Connection<'_>, change: &Change) -> Result<Answer, Failure> {
    if let Change::CommitInstance { object, instance, levels, now } = change
        && let Servable::Indexed(facts) = &object.servable
    {
        insert_indexed_instance(connection, (object, facts), (instance, levels), *now).await?;
        return Ok(Answer::Instance(InstanceOutcome::Inserted));
    }
    apply(connection, change).await
}

/// Makes one change; what it did before it failed is the caller's to roll back.
pub(crate) async fn apply(connection: &mut Connection<'_>, change: &Change) -> Result<Answer, Failure> {
    match change {
        Change::CommitInstance { object, instance, levels, now } => {
            commit_instance(connection, object, (instance, levels), *now).await.map(Answer::Instance)
        }
        Change::DeleteInstance { sop_instance_uid } => {
            delete::instance(connection, sop_instance_uid).await.map(Answer::Deleted)
        }
        Change::CommitFile { object, name, now } => commit_file(connection, object, name, *now).await.map(Answer::File),
        Change::SetIndexed { key, facts } => {
            set_indexed(connection, *key, facts).await?;
            Ok(Answer::Changed(1))
        }
        Change::SetDerived { key, derived, size, facts } => {
            derived::set(connection, *key, (*derived, *size), facts).await?;
            Ok(Answer::Changed(1))
        }
        Change::QueueDerivations => derived::queue_all(connection).await.map(Answer::Changed),
        Change::RetryJob { id } => {
            connection.execute(query::AWAIT_RETRY, &[(*id).into()]).await?;
            run(connection, query::RETRY_JOB, (*id).into()).await
        }
        Change::SetUnservable { key, reason } => set_unservable(connection, *key, reason).await.map(Answer::Changed),
        Change::QueueIndex { key } => queue_index(connection, *key).await.map(Answer::Changed),
        Change::ClaimJobs { kind, node, limit, now } => {
            let values = [kind.as_str().into(), node.into(), (*now).into(), (*limit).into()];
            claim_jobs(connection, *kind, &values).await.map(Answer::Jobs)
        }
        Change::ReleaseJob { id } => run(connection, query::RELEASE_JOB, (*id).into()).await,
        Change::ReleaseClaimed { node } => run(connection, query::RELEASE_CLAIMED, node.into()).await,
        Change::RequeueClaimed { node } => run(connection, query::REQUEUE_CLAIMED, node.into()).await,
        Change::RequeueStale { claimed_before } => {
            run(connection, query::REQUEUE_STALE, (*claimed_before).into()).await
        }
        Change::GiveUpJobs { attempts, reason } => {
            let worn = connection.all(query::WORN_JOBS, &[(*attempts).into()]).await?;
            for row in &worn {
                set_unservable(connection, rows::object_key(row, "object_key")?, reason).await?;
            }
            Ok(Answer::Changed(worn.len() as u64))
        }
    }
}

async fn commit_instance(
    connection: &mut Connection<'_>,
    object: &NewObject,
    (instance, levels): (&NewInstance, &Levels),
    now: i64,
) -> Result<InstanceOutcome, Failure> {
    if let Some((_, there)) = points_to(connection, &instance.sop_instance_uid).await? {
        if there != Some(object.key) {
            return Ok(InstanceOutcome::Conflict);
        }
        try_again(connection, object).await?;
        return Ok(InstanceOutcome::Duplicate);
    }
    insert_object(connection, object).await?;
    let serial = insert_target(connection, &instance.sop_instance_uid, TargetKind::Instance, object.key, now).await?;
    let mut values = vec![serial.into()];
    values.extend(values_of(instance));
    connection.execute(query::INSERT_INSTANCE, &values).await?;
    let (study, series) = (instance.study_instance_uid.as_deref(), instance.series_instance_uid.as_deref());
    levels::count_instance(connection, levels, study, series).await?;
    Ok(InstanceOutcome::Inserted)
}

async fn insert_indexed_instance(
    connection: &mut Connection<'_>,
    (object, facts): (&NewObject, &IndexFacts),
    (instance, levels): (&NewInstance, &Levels),
    now: i64,
) -> Result<(), Failure> {
    let key = object.key.to_string();
    let mut values: Vec<Value<'_>> = vec![
        (&key).into(),
        size_in_bytes(object.size)?.into(),
        facts.media_type.as_ref().unwrap_or(&object.media_type).into(),
        (&facts.damage).into(),
        (&facts.tid).into(),
        facts.version.into(),
        size_in_bytes(facts.size)?.into(),
        facts.codestreams.into(),
        facts.width.into(),
        facts.height.into(),
        (&facts.presentation).into(),
        now.into(),
    ];
    values.extend(values_of(instance));
    values.extend(levels.values());
    connection.execute(connection.text_of(&query::INSERT_INDEXED_INSTANCE), &values).await.map(drop)
}

/// What the row of an instance holds beside its serial.
fn values_of(instance: &NewInstance) -> [Value<'_>; 12] {
    [
        (&instance.sop_instance_uid).into(),
        (&instance.series_instance_uid).into(),
        (&instance.study_instance_uid).into(),
        (&instance.sop_class_uid).into(),
        (&instance.transfer_syntax_uid).into(),
        (&instance.modality).into(),
        (&instance.patient_id).into(),
        instance.instance_number.into(),
        instance.rows.into(),
        instance.columns.into(),
        instance.number_of_frames.into(),
        (&instance.attributes).into(),
    ]
}

fn size_in_bytes(size: u64) -> Result<i64, CatalogError> {
    i64::try_from(size).ok().ok_or_else(|| rows::strange("size"))
}

async fn commit_file(
    connection: &mut Connection<'_>,
    object: &NewObject,
    name: &str,
    now: i64,
) -> Result<FileOutcome, Failure> {
    match points_to(connection, name).await? {
        Some((TargetKind::File, Some(key))) if key == object.key => {
            // The bytes are the same, but the index that comes along may be newer: it is what was answered with.
            insert_object(connection, object).await?;
            Ok(FileOutcome::Duplicate)
        }
        Some((TargetKind::File, _)) => {
            insert_object(connection, object).await?;
            let key = object.key.to_string();
            connection.execute(query::POINT_TO, &[name.into(), (&key).into(), now.into()]).await?;
            Ok(FileOutcome::Replaced)
        }
        // The rules for names keep files and UIDs apart; this is the second lock.
        Some((TargetKind::Instance | TargetKind::Series, _)) => {
            Err(CatalogError::Database { detail: "a file cannot take the name of an instance".to_owned() }.into())
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
pub(crate) async fn insert_object(connection: &mut Connection<'_>, object: &NewObject) -> Result<(), Failure> {
    let (state, reason) = match &object.servable {
        // The facts are set below, in the same transaction.
        Servable::ToIndex | Servable::ToDerive | Servable::Indexed(_) => (State::Stored, None),
        Servable::Not(reason) => (State::Unservable, Some(reason.to_string())),
    };
    let key = object.key.to_string();
    let size = size_in_bytes(object.size)?;
    let values =
        [(&key).into(), size.into(), (&object.media_type).into(), state.as_str().into(), reason.as_deref().into()];
    let inserted = connection.execute(query::INSERT_OBJECT, &values).await?;
    match &object.servable {
        // A new object has no job that would have to go.
        Servable::Indexed(facts) if inserted > 0 => write_index(connection, &key, facts).await,
        Servable::Indexed(facts) => set_indexed(connection, object.key, facts).await,
        Servable::ToIndex if inserted > 0 => insert_job(connection, JobKind::Index, &key).await,
        Servable::ToDerive if inserted > 0 => insert_job(connection, JobKind::Derive, &key).await,
        Servable::ToIndex | Servable::ToDerive | Servable::Not(_) => Ok(()),
    }
}

/// An object that came again has just been stored again: if its bytes could not be read before, they can be now.
async fn try_again(connection: &mut Connection<'_>, object: &NewObject) -> Result<(), Failure> {
    let kind = match object.servable {
        Servable::ToIndex => JobKind::Index,
        Servable::ToDerive => JobKind::Derive,
        Servable::Indexed(_) | Servable::Not(_) => return Ok(()),
    };
    let key = object.key.to_string();
    if connection.execute(query::FORGIVE_FAILURE, &[(&key).into()]).await? > 0 {
        insert_job(connection, kind, &key).await?;
    }
    Ok(())
}

async fn insert_target(
    connection: &mut Connection<'_>,
    target: &str,
    kind: TargetKind,
    key: ObjectKey,
    now: i64,
) -> Result<i64, Failure> {
    let key = key.to_string();
    let values = [target.into(), kind.as_str().into(), (&key).into(), now.into()];
    Ok(rows::serial(&connection.one(query::INSERT_TARGET, &values).await?)?)
}

pub(crate) async fn set_indexed(
    connection: &mut Connection<'_>,
    key: ObjectKey,
    facts: &IndexFacts,
) -> Result<(), Failure> {
    let key = key.to_string();
    if connection.optional(query::OBJECT_STATE, &[(&key).into()]).await?.is_none() {
        return Err(CatalogError::NoSuchObject.into());
    }
    write_index(connection, &key, facts).await?;
    delete_job(connection, JobKind::Index, &key).await
}

/// Adds the row of the index and makes its object servable.
async fn write_index(connection: &mut Connection<'_>, key: &str, facts: &IndexFacts) -> Result<(), Failure> {
    let size = size_in_bytes(facts.size)?;
    let index = [
        key.into(),
        facts.version.into(),
        size.into(),
        facts.codestreams.into(),
        facts.width.into(),
        facts.height.into(),
        (&facts.presentation).into(),
    ];
    connection.execute(query::UPSERT_INDEX, &index).await?;
    let object =
        [key.into(), (&facts.damage).into(), (&facts.tid).into(), facts.version.into(), (&facts.media_type).into()];
    connection.execute(query::SET_INDEXED, &object).await?;
    Ok(())
}

async fn set_unservable(connection: &mut Connection<'_>, key: ObjectKey, reason: &Reason) -> Result<u64, Failure> {
    let (key, reason) = (key.to_string(), reason.to_string());
    let changed = connection.execute(query::SET_UNSERVABLE, &[(&key).into(), (&reason).into()]).await?;
    if changed > 0 {
        connection.execute(query::FAIL_JOBS_OF, &[(&key).into(), (&reason).into()]).await?;
    } else {
        connection.execute(query::DELETE_JOBS_OF, &[(&key).into()]).await?;
    }
    Ok(changed)
}

/// The row of the index that is missing goes with it, for no row is without its bytes; those of other versions stay.
async fn queue_index(connection: &mut Connection<'_>, key: ObjectKey) -> Result<u64, Failure> {
    let key = key.to_string();
    let origins = derived::queue_origins(connection, &key).await?;
    if origins > 0 {
        return Ok(origins);
    }
    connection.execute(query::DELETE_SERVED_INDEX, &[(&key).into()]).await?;
    let queued = connection.execute(query::SET_STORED, &[(&key).into()]).await?;
    if queued > 0 {
        insert_job(connection, JobKind::Index, &key).await?;
    }
    Ok(queued)
}

async fn claim_jobs(connection: &mut Connection<'_>, kind: JobKind, values: &[Value<'_>]) -> Result<Vec<Job>, Failure> {
    let claimed = connection.all(connection.text_of(&query::CLAIM_JOBS), values).await?;
    let mut jobs = claimed.iter().map(|row| rows::job(row, kind)).collect::<Result<Vec<_>, _>>()?;
    jobs.sort_by_key(|job| job.id);
    Ok(jobs)
}

pub(crate) async fn insert_job(connection: &mut Connection<'_>, kind: JobKind, key: &str) -> Result<(), Failure> {
    connection.execute(query::INSERT_JOB, &[kind.as_str().into(), key.into()]).await.map(drop)
}

pub(crate) async fn delete_job(connection: &mut Connection<'_>, kind: JobKind, key: &str) -> Result<(), Failure> {
    connection.execute(query::DELETE_JOB_OF, &[kind.as_str().into(), key.into()]).await.map(drop)
}

async fn points_to(
    connection: &mut Connection<'_>,
    target: &str,
) -> Result<Option<(TargetKind, Option<ObjectKey>)>, Failure> {
    let Some(row) = connection.optional(query::POINTS_TO, &[target.into()]).await? else {
        return Ok(None);
    };
    let kind = TargetKind::parse(row.text("kind")?).ok_or_else(|| rows::strange("kind"))?;
    let key = row.optional_text("object_key")?;
    let key = key.map(|key| ObjectKey::parse(key).ok_or_else(|| rows::strange("object_key"))).transpose()?;
    Ok(Some((kind, key)))
}

async fn run(connection: &mut Connection<'_>, text: &'static str, value: Value<'_>) -> Result<Answer, Failure> {
    connection.execute(text, &[value]).await.map(Answer::Changed)
}
