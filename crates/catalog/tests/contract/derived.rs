//! Objects that are served from others, and jobs that failed.

use catalog::{Catalog, IndexKey, JobKind, JobState, Reason, ReasonKind, Servable, State};

use super::{facts, instance, key, object};

pub(crate) async fn an_object_is_served_from_what_was_made_of_it(catalog: &Catalog) {
    catalog.commit_instance(object(1, Servable::ToDerive), instance("1.1")).await.unwrap();
    assert_eq!(catalog.object_state(key(1)).await, Ok(Some(State::Stored)));
    assert_eq!(catalog.has_job(JobKind::Derive, key(1)).await, Ok(true));
    assert!(catalog.claim_jobs(JobKind::Index, "n", 9).await.unwrap().is_empty());
    let jobs = catalog.claim_jobs(JobKind::Derive, "n", 9).await.unwrap();
    assert_eq!(jobs.iter().map(|job| (job.kind, job.object_key)).collect::<Vec<_>>(), [(JobKind::Derive, key(1))]);

    catalog.set_derived(key(1), key(7), 500, facts(None)).await.unwrap();
    assert_eq!(catalog.counts().await.unwrap().jobs, 0);
    let row = catalog.target("1.1").await.unwrap().unwrap();
    let index = row.index.unwrap();
    assert_eq!((row.object_key, row.object_size, row.state), (key(1), 1000, State::Indexed));
    assert_eq!(index.key, IndexKey { object: key(7), version: 3 });
    assert_eq!(catalog.target_of_tid(&index.tid).await.unwrap().unwrap().target, "1.1");
    assert_eq!(catalog.derived_of(key(1)).await, Ok(Some(key(7))));
    let listed = catalog.list_targets(None, 9, None).await.unwrap().items;
    assert_eq!(listed.len(), 1, "what was made of it has no name");
    let objects = catalog.list_objects(None, 9).await.unwrap();
    let seen: Vec<_> = objects.iter().map(|row| (row.key, row.size, row.is_derived)).collect();
    assert_eq!(seen, [(key(1), 1000, false), (key(7), 500, true)]);

    // Lost, it is made again.
    assert_eq!(catalog.queue_index(key(7)).await, Ok(true));
    assert_eq!(catalog.object_state(key(7)).await, Ok(None));
    let row = catalog.target("1.1").await.unwrap().unwrap();
    assert_eq!((row.state, row.index), (State::Stored, None));
    assert_eq!(catalog.claim_jobs(JobKind::Derive, "n", 9).await.unwrap().len(), 1);
    catalog.set_derived(key(1), key(7), 500, facts(None)).await.unwrap();

    // It goes with its origin.
    assert_eq!(catalog.delete_instance("1.1").await, Ok(Some(key(1))));
    assert!(catalog.list_objects(None, 9).await.unwrap().is_empty());
    assert!(catalog.set_derived(key(1), key(7), 500, facts(None)).await.is_err(), "there is no such object");
}

pub(crate) async fn jobs_that_failed_are_listed_and_tried_again(catalog: &Catalog) {
    for n in 1..=3 {
        catalog.commit_instance(object(n, Servable::ToDerive), instance(&format!("1.{n}"))).await.unwrap();
    }
    catalog.claim_jobs(JobKind::Derive, "n", 2).await.unwrap();
    catalog.set_unservable(key(1), Reason::new(ReasonKind::Failed, "signal 9")).await.unwrap();
    let list = async |state| catalog.list_jobs(state, 9, None).await.unwrap().items;
    let all = list(None).await;
    let seen: Vec<_> = all.iter().map(|job| (job.target.as_deref(), job.state, job.attempts)).collect();
    assert_eq!(
        seen,
        [(Some("1.1"), JobState::Failed, 1), (Some("1.2"), JobState::Running, 1), (Some("1.3"), JobState::Queued, 0),]
    );
    assert_eq!(all[0].reason.as_deref(), Some("failed: signal 9"));
    for (state, job) in [JobState::Failed, JobState::Running, JobState::Queued].into_iter().zip(&all) {
        assert_eq!(list(Some(state)).await, std::slice::from_ref(job));
    }
    let first = catalog.list_jobs(None, 2, None).await.unwrap();
    let second = catalog.list_jobs(None, 2, first.next.as_deref()).await.unwrap();
    assert_eq!((first.items.len(), second.items.len(), second.next), (2, 1, None));
    let counts = catalog.counts().await.unwrap();
    assert_eq!((counts.jobs, counts.failed_jobs), (2, 1));

    assert_eq!(catalog.retry_job(all[1].id).await, Ok(false), "it runs");
    assert_eq!(catalog.retry_job(all[0].id).await, Ok(true));
    assert_eq!(catalog.object_state(key(1)).await, Ok(Some(State::Stored)));
    let again = catalog.claim_jobs(JobKind::Derive, "n", 1).await.unwrap();
    assert_eq!((again[0].object_key, again[0].attempts), (key(1), 1));

    // What was not made while nothing was made of such objects is queued when something is.
    catalog.set_unservable(key(1), Reason::new(ReasonKind::NotJpeg2000, "words")).await.unwrap();
    catalog.set_unservable(key(2), Reason::new(ReasonKind::Unsupported, "words")).await.unwrap();
    assert_eq!(catalog.queue_derivations().await, Ok(1));
    assert_eq!(list(Some(JobState::Queued)).await.len(), 2);
    assert_eq!(list(Some(JobState::Failed)).await.len(), 1);
}
