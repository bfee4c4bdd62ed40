//! The contract of a catalog: functions over [`Catalog`], run on every database that is built in.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use catalog::{
    Catalog, CatalogError, FileOutcome, IndexFacts, IndexKey, InstanceFilter, InstanceOutcome, JobKind, NewInstance,
    NewObject, ObjectKey, OnlyTarget, Reason, ReasonKind, SeriesRow, Servable, ServedIndex, State, TargetKind,
};

mod database;
mod find;
mod postgres;

use database::PostgresDatabase;
use find::{
    a_deleted_instance_is_gone_from_every_level, keys_match_as_their_kind_says, levels_are_counted_as_instances_arrive,
    pages_of_answers_leave_nothing_out, words_are_found_by_their_beginnings,
};

/// Runs every function of the contract on a fresh catalog of either database.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(
                #[tokio::test]
                async fn $name() {
                    let folder = tempfile::tempdir().unwrap();
                    let url = format!("sqlite:{}", folder.path().join("catalog.sqlite").display());
                    let catalog = catalog::Catalog::open(&url).await.unwrap();
                    super::$name(&catalog).await;
                    catalog.close().await;
                }
            )*
        }
        mod on_postgres {
            $(
                #[tokio::test]
                async fn $name() {
                    let Some(database) = super::PostgresDatabase::fresh().await else { return };
                    let url = database.url();
                    let catalog = catalog::Catalog::open(&url).await.unwrap();
                    super::$name(&catalog).await;
                    catalog.close().await;
                    database.remove().await;
                }
            )*
        }
    };
}

on_both!(
    an_instance_is_inserted_then_a_duplicate_then_a_conflict,
    a_file_name_is_a_pointer,
    a_job_comes_with_the_row_and_goes_with_its_result,
    a_claimed_job_comes_back_after_a_crash_and_is_given_up_in_the_end,
    an_object_that_failed_is_tried_again_when_it_comes_again,
    what_is_indexed_stays_servable,
    unservable_objects_have_a_reason_and_no_job,
    a_file_may_come_with_its_index,
    an_instance_may_come_with_its_index,
    instances_with_their_index_commit_beside_those_that_are_there,
    pages_follow_arrival_and_end_with_none,
    instances_are_filtered_exactly,
    the_only_target_is_the_one_with_an_image,
    a_series_is_ordered_by_instance_number_then_uid,
    concurrent_commits_are_all_there_and_the_bad_one_alone_fails,
    one_object_may_have_several_names,
    hostile_text_is_data,
    values_longer_than_a_database_index_takes_are_found,
    a_claim_of_a_node_that_never_comes_back_is_taken_over,
    objects_are_listed_in_the_order_of_their_keys,
    an_object_whose_index_is_missing_waits_for_another,
    levels_are_counted_as_instances_arrive,
    keys_match_as_their_kind_says,
    pages_of_answers_leave_nothing_out,
    words_are_found_by_their_beginnings,
    a_deleted_instance_is_gone_from_every_level,
);

async fn an_instance_is_inserted_then_a_duplicate_then_a_conflict(catalog: &Catalog) {
    assert_eq!(put(catalog, 1, "1.2.3").await, InstanceOutcome::Inserted);
    assert_eq!(put(catalog, 1, "1.2.3").await, InstanceOutcome::Duplicate);
    assert_eq!(put(catalog, 2, "1.2.3").await, InstanceOutcome::Conflict);
    let kept = catalog.target("1.2.3").await.unwrap().unwrap();
    assert_eq!(kept.object_key, key(1));
    assert_eq!((kept.kind, kept.state, kept.index), (TargetKind::Instance, State::Stored, None));
    assert_eq!(kept.sop_instance_uid.as_deref(), Some("1.2.3"));
    assert_eq!(catalog.counts().await.unwrap().jobs, 1, "a conflict leaves no work behind");
    let row = catalog.instance("1.2.3").await.unwrap().unwrap();
    assert_eq!((row.object_key, row.tid, row.rows), (key(1), None, Some(512)));
    assert_eq!(catalog.instance("1.2").await.unwrap(), None);
}

async fn a_file_name_is_a_pointer(catalog: &Catalog) {
    let file = |n| object(n, Servable::ToIndex);
    assert_eq!(catalog.commit_file(file(1), "a/b.jp2").await, Ok(FileOutcome::Inserted));
    assert_eq!(catalog.commit_file(file(1), "a/b.jp2").await, Ok(FileOutcome::Duplicate));
    assert_eq!(catalog.commit_file(file(2), "a/b.jp2").await, Ok(FileOutcome::Replaced));
    assert_eq!(catalog.target("a/b.jp2").await.unwrap().unwrap().object_key, key(2));
    assert_eq!(catalog.target("A/b.jp2").await, Ok(None), "names are compared byte for byte");
    put(catalog, 3, "1.2.3").await;
    assert!(catalog.commit_file(file(4), "1.2.3").await.is_err(), "a file never takes an instance's name");
}

async fn a_job_comes_with_the_row_and_goes_with_its_result(catalog: &Catalog) {
    put(catalog, 1, "1.1").await;
    put(catalog, 2, "1.2").await;
    put(catalog, 3, "1.3").await;
    let first = catalog.claim_jobs(JobKind::Index, "n", 2).await.unwrap();
    assert_eq!(first.iter().map(|job| (job.object_key, job.attempts)).collect::<Vec<_>>(), [(key(1), 1), (key(2), 1)]);
    assert_eq!(first[0].object_size, 1000);
    let second = catalog.claim_jobs(JobKind::Index, "n", 2).await.unwrap();
    assert_eq!(second.len(), 1);
    assert!(catalog.claim_jobs(JobKind::Index, "n", 2).await.unwrap().is_empty());

    catalog.set_indexed(key(1), facts(None)).await.unwrap();
    catalog.set_unservable(key(2), Reason::new(ReasonKind::Damaged, "no frame is whole")).await.unwrap();
    catalog.release_job(second[0].id).await.unwrap();
    assert_eq!(catalog.counts().await.unwrap().jobs, 1);

    let served = catalog.target("1.1").await.unwrap().unwrap();
    let index = served.index.unwrap();
    assert_eq!((served.state, index.key.object, index.key.version), (State::Indexed, key(1), 3));
    assert_eq!((index.codestreams, index.width, index.height, index.tid.len()), (5, 640, 480, 32));
    assert_eq!(index.presentation, "{}");
    let refused = catalog.target("1.2").await.unwrap().unwrap();
    assert_eq!(refused.reason.as_deref(), Some("damaged: no frame is whole"));
    let again = catalog.claim_jobs(JobKind::Index, "n", 9).await.unwrap();
    assert_eq!(again[0].attempts, 1, "what was released was not begun");
    assert_eq!(catalog.object_state(key(1)).await, Ok(Some(State::Indexed)));
    assert_eq!(catalog.object_state(key(9)).await, Ok(None));
    assert_eq!(catalog.set_indexed(key(9), facts(None)).await, Err(CatalogError::NoSuchObject));
}

async fn a_claimed_job_comes_back_after_a_crash_and_is_given_up_in_the_end(catalog: &Catalog) {
    put(catalog, 1, "1.1").await;
    let reason = Reason::new(ReasonKind::Failed, "tried three times");
    for attempt in 1..=3 {
        assert_eq!(catalog.give_up_jobs(3, reason.clone()).await, Ok(0));
        let jobs = catalog.claim_jobs(JobKind::Index, "n", 1).await.unwrap();
        assert_eq!(jobs[0].attempts, attempt);
        assert_eq!(catalog.requeue_claimed("another node").await, Ok(0));
        assert_eq!(catalog.release_claimed("n").await, Ok(1), "an orderly end does not count");
        assert_eq!(catalog.claim_jobs(JobKind::Index, "n", 1).await.unwrap()[0].attempts, attempt);
        assert_eq!(catalog.requeue_claimed("n").await, Ok(1));
    }
    assert_eq!(catalog.give_up_jobs(3, reason).await, Ok(1));
    assert!(catalog.claim_jobs(JobKind::Index, "n", 1).await.unwrap().is_empty());
    let row = catalog.instance("1.1").await.unwrap().unwrap();
    assert_eq!((row.state, row.reason.as_deref()), (State::Unservable, Some("failed: tried three times")));
}

async fn an_object_that_failed_is_tried_again_when_it_comes_again(catalog: &Catalog) {
    for (kind, state, jobs) in [(ReasonKind::Failed, State::Stored, 1), (ReasonKind::Damaged, State::Unservable, 0)] {
        put(catalog, 1, "1.1").await;
        catalog.set_unservable(key(1), Reason::new(kind, "words")).await.unwrap();
        assert_eq!(put(catalog, 1, "1.1").await, InstanceOutcome::Duplicate);
        assert_eq!(catalog.object_state(key(1)).await, Ok(Some(state)));
        assert_eq!(catalog.counts().await.unwrap().jobs, jobs);
    }
}

async fn what_is_indexed_stays_servable(catalog: &Catalog) {
    put(catalog, 1, "1.1").await;
    catalog.set_indexed(key(1), facts(Some("EOC is missing"))).await.unwrap();
    catalog.set_unservable(key(1), Reason::new(ReasonKind::Failed, "late")).await.unwrap();
    let newer = IndexFacts { version: 4, tid: "f".repeat(32), ..facts(None) };
    let old = catalog.target("1.1").await.unwrap().unwrap();
    assert_eq!((old.state, old.reason.as_deref()), (State::Indexed, Some("EOC is missing")));
    catalog.set_indexed(key(1), newer).await.unwrap();
    let new = catalog.target("1.1").await.unwrap().unwrap();
    assert_eq!(new.index.map(|index| (index.key.version, index.tid)), Some((4, "f".repeat(32))));
}

async fn unservable_objects_have_a_reason_and_no_job(catalog: &Catalog) {
    let reason = Reason::new(ReasonKind::NotJpeg2000, "JPEG Baseline (Process 1)");
    let new = object(1, Servable::Not(reason));
    catalog.commit_instance(new, instance("1.1")).await.unwrap();
    let row = catalog.instance("1.1").await.unwrap().unwrap();
    assert_eq!(row.reason.as_deref(), Some("not-jpeg2000: JPEG Baseline (Process 1)"));
    assert_eq!(catalog.counts().await.unwrap().jobs, 0);
}

async fn a_file_may_come_with_its_index(catalog: &Catalog) {
    let new = object(1, Servable::Indexed(facts(None)));
    assert_eq!(catalog.commit_file(new, "x.jp2").await, Ok(FileOutcome::Inserted));
    let row = catalog.target("x.jp2").await.unwrap().unwrap();
    assert_eq!((row.state, row.media_type.as_str()), (State::Indexed, "image/jp2"));
    assert_eq!(catalog.counts().await.unwrap().jobs, 0);
    let newer = IndexFacts { version: 4, tid: "1".repeat(32), ..facts(None) };
    let again = catalog.commit_file(object(1, Servable::Indexed(newer.clone())), "x.jp2").await;
    assert_eq!(again, Ok(FileOutcome::Duplicate));
    let index = catalog.target("x.jp2").await.unwrap().unwrap().index.unwrap();
    assert_eq!((index.key.version, index.tid), (4, newer.tid), "the same bytes may bring a newer index");
}

async fn an_instance_may_come_with_its_index(catalog: &Catalog) {
    let indexed = |n| object(n, Servable::Indexed(facts(Some("a tile is cut short"))));
    assert_eq!(catalog.commit_instance(indexed(1), instance("1.1")).await, Ok(InstanceOutcome::Inserted));
    assert_eq!(catalog.commit_instance(indexed(1), instance("1.1")).await, Ok(InstanceOutcome::Duplicate));
    assert_eq!(catalog.commit_instance(indexed(2), instance("1.1")).await, Ok(InstanceOutcome::Conflict));
    // However it became known, it is known in the same way.
    put(catalog, 3, "1.3").await;
    catalog.set_indexed(key(3), facts(Some("a tile is cut short"))).await.unwrap();
    let [at_once, later] = ["1.1", "1.3"].map(|uid| async move {
        let (target, row) =
            (catalog.target(uid).await.unwrap().unwrap(), catalog.instance(uid).await.unwrap().unwrap());
        let index = target.index.map(|index| (index.size, index.codestreams, index.width, index.height, index.tid));
        (target.kind, target.state, target.media_type, target.reason, target.object_size, index, row.rows, row.tid)
    });
    assert_eq!(at_once.await, later.await);
    // Its bytes are known already, by another name.
    catalog.commit_file(object(4, Servable::ToIndex), "four.jp2").await.unwrap();
    assert_eq!(catalog.commit_instance(indexed(4), instance("1.4")).await, Ok(InstanceOutcome::Inserted));
    assert_eq!(catalog.target("four.jp2").await.unwrap().unwrap().state, State::Indexed);
    assert_eq!(catalog.counts().await.unwrap().jobs, 0);
}

async fn instances_with_their_index_commit_beside_those_that_are_there(catalog: &Catalog) {
    let commit = |n: u8, uid: String| {
        let catalog = catalog.clone();
        let new = object(n, Servable::Indexed(facts(None)));
        tokio::spawn(async move { catalog.commit_instance(new, instance(&uid)).await.unwrap() })
    };
    for n in (0..200).step_by(3) {
        assert_eq!(commit(n, format!("1.{n}")).await.unwrap(), InstanceOutcome::Inserted);
    }
    let tasks: Vec<_> = (0..200).map(|n| commit(n, format!("1.{n}"))).collect();
    for (n, task) in tasks.into_iter().enumerate() {
        let expected = if n % 3 == 0 { InstanceOutcome::Duplicate } else { InstanceOutcome::Inserted };
        assert_eq!(task.await.unwrap(), expected, "{n}");
    }
    let counts = catalog.counts().await.unwrap();
    assert_eq!((counts.instances, counts.jobs), (200, 0));
}

async fn pages_follow_arrival_and_end_with_none(catalog: &Catalog) {
    for n in (1..=7).rev() {
        put(catalog, n, &format!("1.{n}")).await;
    }
    catalog.commit_file(object(20, Servable::ToIndex), "x.jp2").await.unwrap();
    let mut seen = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let page = catalog.list_targets(None, 3, cursor.as_deref()).await.unwrap();
        seen.extend(page.items.into_iter().map(|row| row.target));
        cursor = page.next;
        let Some(next) = &cursor else { break };
        assert!(next.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
    }
    assert_eq!(seen, ["1.7", "1.6", "1.5", "1.4", "1.3", "1.2", "1.1", "x.jp2"]);
    let whole = catalog.list_targets(Some(TargetKind::Instance), 7, None).await.unwrap();
    assert_eq!((whole.items.len(), whole.next), (7, None), "an exact page is the last");
    assert_eq!(catalog.list_targets(Some(TargetKind::File), 7, None).await.unwrap().items.len(), 1);
    assert!(catalog.list_targets(Some(TargetKind::Series), 7, None).await.unwrap().items.is_empty());
    assert_eq!(catalog.list_targets(None, 7, Some("x y")).await, Err(CatalogError::BadCursor));
}

async fn instances_are_filtered_exactly(catalog: &Catalog) {
    for (n, study, modality) in [(1, "9.1", "CT"), (2, "9.1", "SR"), (3, "9.2", "CT")] {
        let new = NewInstance {
            study_instance_uid: Some(study.to_owned()),
            modality: Some(modality.to_owned()),
            patient_id: Some(format!("p{n}")),
            ..instance(&format!("1.{n}"))
        };
        catalog.commit_instance(object(n, Servable::ToIndex), new).await.unwrap();
    }
    let uids = async |filter: InstanceFilter| {
        let page = catalog.list_instances(&filter, 100, None).await.unwrap();
        page.items.into_iter().map(|row| row.sop_instance_uid).collect::<Vec<_>>()
    };
    let none = InstanceFilter::default;
    assert_eq!(uids(none()).await, ["1.1", "1.2", "1.3"]);
    assert_eq!(uids(InstanceFilter { study_instance_uid: some("9.1"), ..none() }).await, ["1.1", "1.2"]);
    let both = InstanceFilter { study_instance_uid: some("9.1"), modality: some("CT"), ..none() };
    assert_eq!(uids(both).await, ["1.1"]);
    assert_eq!(uids(InstanceFilter { patient_id: some("p3"), ..none() }).await, ["1.3"]);
    assert!(uids(InstanceFilter { patient_id: some("p"), ..none() }).await.is_empty());
    assert!(uids(InstanceFilter { series_instance_uid: some("%"), ..none() }).await.is_empty());
}

async fn the_only_target_is_the_one_with_an_image(catalog: &Catalog) {
    assert_eq!(catalog.only_target().await, Ok(OnlyTarget::None));
    let report = object(1, Servable::Not(Reason::new(ReasonKind::NoPixelData, "a report")));
    catalog.commit_instance(report, instance("1.1")).await.unwrap();
    assert_eq!(catalog.only_target().await, Ok(OnlyTarget::None));
    put(catalog, 2, "1.2").await;
    match catalog.only_target().await.unwrap() {
        OnlyTarget::One(row) => assert_eq!(row.target, "1.2"),
        other => panic!("{other:?}"),
    }
    catalog.commit_file(object(3, Servable::ToIndex), "x.jp2").await.unwrap();
    assert_eq!(catalog.only_target().await, Ok(OnlyTarget::Several));
}

async fn a_series_is_ordered_by_instance_number_then_uid(catalog: &Catalog) {
    for (n, uid, number) in [(1, "1.9", None), (2, "1.8", Some(10)), (3, "1.7", Some(2)), (4, "1.10", Some(10))] {
        let new = NewInstance { instance_number: number, ..instance(uid) };
        catalog.commit_instance(object(n, Servable::ToIndex), new).await.unwrap();
    }
    let rows = catalog.series_targets("2.25.2", 100).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.target.as_str()).collect::<Vec<_>>(), ["1.7", "1.10", "1.8", "1.9"]);

    for (n, uid, series) in [(5, "1.11", Some("2.25.1")), (6, "1.12", None), (7, "1.13", Some("2.25.3"))] {
        let new = NewInstance { series_instance_uid: series.map(str::to_owned), ..instance(uid) };
        catalog.commit_instance(object(n, Servable::ToIndex), new).await.unwrap();
    }
    // In order of arrival; a page ends at its limit of series, or before it would hold too many instances.
    let [long, short, last] =
        [("2.25.2", &["1.7", "1.10", "1.8", "1.9"][..]), ("2.25.1", &["1.11"]), ("2.25.3", &["1.13"])];
    for (limit, most, expected) in [
        (2, 100, vec![vec![long, short], vec![last]]),
        (3, 6, vec![vec![long, short, last]]),
        (100, 5, vec![vec![long, short], vec![last]]),
        (100, 4, vec![vec![long], vec![short, last]]),
        // Alone it has more than that, which shows.
        (100, 2, vec![vec![("2.25.2", &["1.7", "1.10", "1.8"])], vec![short, last]]),
        (1, 100, vec![vec![long], vec![short], vec![last]]),
    ] {
        let mut cursor = None;
        for (n, page) in expected.iter().enumerate() {
            let found = catalog.list_series(limit, most, cursor.as_deref()).await.unwrap();
            let names = |series: &SeriesRow| series.instances.iter().map(|row| row.target.clone()).collect::<Vec<_>>();
            let found_page: Vec<_> =
                found.items.iter().map(|series| (series.series_instance_uid.as_str(), names(series))).collect();
            let page: Vec<_> =
                page.iter().map(|(uid, names)| (*uid, names.iter().map(|&name| name.to_owned()).collect())).collect();
            assert_eq!(found_page, page, "page {n} of {limit} series and {most} instances");
            assert_eq!(found.next.is_some(), n + 1 < expected.len(), "page {n} of {limit} series and {most} instances");
            cursor = found.next;
        }
    }
    let listed = catalog.list_series(1, 100, None).await.unwrap();
    assert_eq!(listed.items[0].instances, rows, "the same as asked for alone");
    assert_eq!(catalog.list_series(2, 100, Some("x")).await, Err(CatalogError::BadCursor));
}

async fn concurrent_commits_are_all_there_and_the_bad_one_alone_fails(catalog: &Catalog) {
    put(catalog, 250, "1.1000").await;
    let tasks = (0..200u8).map(|n| {
        let catalog = catalog.clone();
        tokio::spawn(async move {
            let bad = n % 10 == 0;
            match bad {
                true => catalog.commit_file(object(n, Servable::ToIndex), "1.1000").await.is_err(),
                false => put(&catalog, n, &format!("1.{n}")).await == InstanceOutcome::Inserted,
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        assert!(task.await.unwrap());
    }
    let counts = catalog.counts().await.unwrap();
    assert_eq!((counts.instances, counts.files, counts.jobs), (181, 0, 181), "what failed left nothing");
}

async fn one_object_may_have_several_names(catalog: &Catalog) {
    for name in ["a.jp2", "b.jp2"] {
        catalog.commit_file(object(1, Servable::ToIndex), name).await.unwrap();
    }
    assert_eq!(catalog.counts().await.unwrap().jobs, 1);
    catalog.set_indexed(key(1), facts(None)).await.unwrap();
    for name in ["a.jp2", "b.jp2"] {
        assert_eq!(catalog.target(name).await.unwrap().unwrap().state, State::Indexed);
    }
}

async fn hostile_text_is_data(catalog: &Catalog) {
    let name = "'; DROP TABLE objects; -- \u{1f9e0}%_";
    catalog.commit_file(object(1, Servable::ToIndex), name).await.unwrap();
    assert_eq!(catalog.target(name).await.unwrap().unwrap().target, name);
    assert_eq!(catalog.target("' OR 1=1 --").await, Ok(None));
    // PostgreSQL holds no U+0000.
    assert_eq!(catalog.target("\0").await, Ok(None));
    let new = NewInstance { patient_id: some("a\0b"), ..instance("1.1") };
    assert_eq!(catalog.commit_instance(object(2, Servable::ToIndex), new).await, Ok(InstanceOutcome::Inserted));
    let filter = InstanceFilter { patient_id: some("a\0b"), ..InstanceFilter::default() };
    assert_eq!(catalog.list_instances(&filter, 9, None).await.unwrap().items.len(), 1);
}

async fn values_longer_than_a_database_index_takes_are_found(catalog: &Catalog) {
    // Digits of a simple generator: PostgreSQL would pack repetitions.
    let mut state = 1u32;
    let mut digits = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from(b'!' + (state >> 24) as u8 % 90)
    };
    let long: String = (0..20_000).map(|_| digits()).collect();
    let other = format!("{}x", &long[..19_999]);
    for (n, value) in [(1, &long), (2, &other)] {
        let uid = format!("1.{n}");
        let new = NewInstance { patient_id: Some(value.clone()), modality: Some(value.clone()), ..instance(&uid) };
        assert_eq!(catalog.commit_instance(object(n, Servable::ToIndex), new).await, Ok(InstanceOutcome::Inserted));
    }
    for filter in [
        InstanceFilter { patient_id: Some(long.clone()), ..InstanceFilter::default() },
        InstanceFilter { modality: Some(long.clone()), ..InstanceFilter::default() },
    ] {
        let found = catalog.list_instances(&filter, 9, None).await.unwrap().items;
        assert_eq!(found.iter().map(|row| row.object_key).collect::<Vec<_>>(), [key(1)]);
        assert_eq!(found[0].modality.as_ref(), Some(&long));
    }
}

async fn a_claim_of_a_node_that_never_comes_back_is_taken_over(catalog: &Catalog) {
    put(catalog, 1, "1.1").await;
    put(catalog, 2, "1.2").await;
    assert_eq!(catalog.claim_jobs(JobKind::Index, "lost", 1).await.unwrap()[0].object_key, key(1));
    assert_eq!(catalog.requeue_stale(Duration::from_secs(3600)).await, Ok(0), "it may still work on it");
    assert_eq!(catalog.requeue_stale(Duration::MAX).await, Ok(0));
    assert_eq!(catalog.requeue_stale(Duration::ZERO).await, Ok(1), "what is queued is not stale");
    let jobs = catalog.claim_jobs(JobKind::Index, "n", 9).await.unwrap();
    let begun = jobs.iter().map(|job| (job.object_key, job.attempts)).collect::<Vec<_>>();
    assert_eq!(begun, [(key(1), 2), (key(2), 1)], "it counts as begun");
    // The lost node was only slow: its result is as good as that of the other.
    catalog.set_indexed(key(1), facts(None)).await.unwrap();
    catalog.set_indexed(key(1), facts(None)).await.unwrap();
    assert_eq!(catalog.counts().await.unwrap().jobs, 1);
}

async fn objects_are_listed_in_the_order_of_their_keys(catalog: &Catalog) {
    for n in [0xfa, 0x0b, 0x9c, 0xa0] {
        put(catalog, n, &format!("1.{n}")).await;
    }
    catalog.set_indexed(key(0x9c), facts(None)).await.unwrap();
    catalog.set_unservable(key(0xa0), Reason::new(ReasonKind::Damaged, "words")).await.unwrap();
    let first = catalog.list_objects(None, 3).await.unwrap();
    let second = catalog.list_objects(Some(first[2].key), 3).await.unwrap();
    assert!(catalog.list_objects(Some(second[0].key), 3).await.unwrap().is_empty());
    let rows: Vec<_> = first.into_iter().chain(second).collect();
    let states: Vec<_> = rows.iter().map(|row| (row.key, row.size, row.state)).collect();
    let expected = [
        (key(0x0b), 1000, State::Stored),
        (key(0x9c), 1000, State::Indexed),
        (key(0xa0), 1000, State::Unservable),
        (key(0xfa), 1000, State::Stored),
    ];
    assert_eq!(states, expected);
    let indexes: Vec<_> = rows.iter().filter_map(|row| row.index).collect();
    assert_eq!(indexes, [ServedIndex { key: IndexKey { object: key(0x9c), version: 3 }, size: 100 }]);
}

async fn an_object_whose_index_is_missing_waits_for_another(catalog: &Catalog) {
    for n in 1..=3 {
        put(catalog, n, &format!("1.{n}")).await;
    }
    catalog.set_indexed(key(1), facts(Some("EOC is missing"))).await.unwrap();
    catalog.set_unservable(key(2), Reason::new(ReasonKind::Damaged, "words")).await.unwrap();
    assert_eq!(catalog.queue_index(key(1)).await, Ok(true));
    let row = catalog.target("1.1").await.unwrap().unwrap();
    assert_eq!((row.state, row.reason, row.index), (State::Stored, None, None));
    assert_eq!(catalog.list_objects(None, 1).await.unwrap()[0].index, None);
    assert_eq!(catalog.queue_index(key(2)).await, Ok(false), "no index makes it servable");
    assert_eq!(catalog.object_state(key(2)).await, Ok(Some(State::Unservable)));
    assert_eq!(catalog.queue_index(key(3)).await, Ok(true), "it waits already");
    assert_eq!(catalog.queue_index(key(9)).await, Ok(false), "there is no such object");
    let jobs = catalog.claim_jobs(JobKind::Index, "n", 9).await.unwrap();
    assert_eq!(jobs.iter().map(|job| job.object_key).collect::<Vec<_>>(), [key(3), key(1)], "one job each");
    catalog.set_indexed(key(1), facts(None)).await.unwrap();
    let row = catalog.target("1.1").await.unwrap().unwrap();
    assert_eq!((row.state, row.index.map(|index| index.key.version)), (State::Indexed, Some(3)));
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart_of_sqlite_without_a_close() {
    let folder = tempfile::tempdir().unwrap();
    acknowledged_is_kept(&format!("sqlite:{}", folder.path().join("catalog.sqlite").display())).await;
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart_of_a_node_without_a_close() {
    let Some(database) = PostgresDatabase::fresh().await else { return };
    acknowledged_is_kept(&database.url()).await;
    database.remove().await;
}

async fn acknowledged_is_kept(url: &str) {
    let first = Catalog::open(url).await.unwrap();
    put(&first, 1, "1.1").await;
    first.claim_jobs(JobKind::Index, "n", 1).await.unwrap();
    let second = Catalog::open(url).await.unwrap();
    assert!(second.target("1.1").await.unwrap().is_some());
    assert_eq!(second.requeue_claimed("n").await, Ok(1));
    second.close().await;
    first.close().await;
    assert_eq!(first.commit_file(object(2, Servable::ToIndex), "x").await, Err(CatalogError::Closed));
    assert_eq!(first.target("1.1").await, Err(CatalogError::Closed));
}

#[tokio::test]
async fn an_unknown_database_is_refused_with_words() {
    let refused = Catalog::open("mysql://host/x").await.unwrap_err();
    assert_eq!(refused, CatalogError::UnknownDatabase);
}

async fn put(catalog: &Catalog, n: u8, uid: &str) -> InstanceOutcome {
    catalog.commit_instance(object(n, Servable::ToIndex), instance(uid)).await.unwrap()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn key(n: u8) -> ObjectKey {
    ObjectKey::new([n; 32])
}

fn object(n: u8, servable: Servable) -> NewObject {
    NewObject { key: key(n), size: 1000, media_type: "application/dicom".to_owned(), servable }
}

fn instance(uid: &str) -> NewInstance {
    NewInstance {
        sop_instance_uid: uid.to_owned(),
        series_instance_uid: Some("2.25.2".to_owned()),
        study_instance_uid: Some("2.25.1".to_owned()),
        sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".to_owned(),
        transfer_syntax_uid: "1.2.840.10008.1.2.4.90".to_owned(),
        rows: Some(512),
        columns: Some(512),
        number_of_frames: Some(1),
        attributes: "{}".to_owned(),
        ..NewInstance::default()
    }
}

fn facts(damage: Option<&str>) -> IndexFacts {
    IndexFacts {
        version: 3,
        size: 100,
        codestreams: 5,
        width: 640,
        height: 480,
        media_type: Some("image/jp2".to_owned()),
        tid: "0".repeat(32),
        presentation: "{}".to_owned(),
        damage: damage.map(str::to_owned),
    }
}
