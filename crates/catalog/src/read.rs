//! Questions, answered by the readers.

use sqlx::AssertSqlSafe;

use crate::connection::{Row, Value};
use crate::cursor;
use crate::error::CatalogError;
use crate::key::{IndexKey, ObjectKey};
use crate::model::{
    Counts, InstanceFilter, InstanceRow, JobKind, JobRow, JobState, ObjectRow, OnlyTarget, Page, SeriesRow, State,
    TargetKind, TargetRow,
};
use crate::query::{self, Question};
use crate::readers::Readers;
use crate::rows;

impl Readers {
    pub(crate) async fn target(&self, name: &str) -> Result<Option<TargetRow>, CatalogError> {
        let text = AssertSqlSafe(query::targets(query::TARGET_BY_NAME));
        let row = self.optional(text, &[name.into()]).await?;
        row.as_ref().map(rows::target).transpose()
    }

    pub(crate) async fn target_of_tid(&self, tid: &str) -> Result<Option<TargetRow>, CatalogError> {
        let text = AssertSqlSafe(query::targets(query::TARGET_BY_TID));
        let row = self.optional(text, &[tid.into()]).await?;
        row.as_ref().map(rows::target).transpose()
    }

    pub(crate) async fn list_series(
        &self,
        limit: u32,
        most: u32,
        after: Option<&str>,
    ) -> Result<Page<SeriesRow>, CatalogError> {
        let after = after.map_or(Ok(0), cursor::decode)?;
        let (series, rows) = (i64::from(limit) + 1, i64::from(most) + 1);
        let found = self.all(AssertSqlSafe(query::series()), &[after.into(), series.into(), rows.into()]).await?;
        series_page(&found, limit, most)
    }

    pub(crate) async fn object_state(&self, key: ObjectKey) -> Result<Option<State>, CatalogError> {
        let row = self.optional(query::OBJECT_STATE, &[(&key.to_string()).into()]).await?;
        row.as_ref().map(rows::state).transpose()
    }

    pub(crate) async fn has_index(&self, key: IndexKey) -> Result<bool, CatalogError> {
        let object = key.object.to_string();
        let values = [(&object).into(), key.version.into()];
        Ok(self.optional(query::INDEX, &values).await?.is_some())
    }

    pub(crate) async fn only_target(&self) -> Result<OnlyTarget, CatalogError> {
        let found = self.all(AssertSqlSafe(query::targets(query::ONLY_TARGET)), &[]).await?;
        match found.as_slice() {
            [] => Ok(OnlyTarget::None),
            [row] => Ok(OnlyTarget::One(Box::new(rows::target(row)?))),
            _ => Ok(OnlyTarget::Several),
        }
    }

    pub(crate) async fn series_targets(&self, series: &str, limit: u32) -> Result<Vec<TargetRow>, CatalogError> {
        let text = AssertSqlSafe(query::series_targets());
        let found = self.all(text, &[series.into(), limit.into()]).await?;
        found.iter().map(rows::target).collect()
    }

    pub(crate) async fn list_targets(
        &self,
        kind: Option<TargetKind>,
        limit: u32,
        after: Option<&str>,
    ) -> Result<Page<TargetRow>, CatalogError> {
        let after = after.map_or(Ok(0), cursor::decode)?;
        let mut question = Question::new(query::targets("")).with(" WHERE t.serial > $", after);
        if let Some(kind) = kind {
            question = question.with(" AND t.kind = $", kind.as_str());
        }
        question = question.with(" ORDER BY t.serial LIMIT $", i64::from(limit) + 1);
        let found = self.all(AssertSqlSafe(question.text), &question.values).await?;
        page(&found, limit, rows::target)
    }

    pub(crate) async fn list_instances(
        &self,
        filter: &InstanceFilter,
        limit: u32,
        after: Option<&str>,
    ) -> Result<Page<InstanceRow>, CatalogError> {
        let after = after.map_or(Ok(0), cursor::decode)?;
        let mut question = Question::new(query::INSTANCES).with(" WHERE i.serial > $", after);
        let wanted = [
            (query::OF_STUDY, &filter.study_instance_uid),
            (query::OF_SERIES, &filter.series_instance_uid),
            (query::OF_INSTANCE, &filter.sop_instance_uid),
            (query::OF_MODALITY, &filter.modality),
            (query::OF_PATIENT, &filter.patient_id),
        ];
        for (condition, value) in wanted {
            if let Some(value) = value {
                question = question.with(condition, value);
            }
        }
        question = question.with(" ORDER BY i.serial LIMIT $", i64::from(limit) + 1);
        let found = self.all(AssertSqlSafe(question.text), &question.values).await?;
        page(&found, limit, rows::instance)
    }

    pub(crate) async fn list_objects(
        &self,
        after: Option<ObjectKey>,
        limit: u32,
    ) -> Result<Vec<ObjectRow>, CatalogError> {
        // Every key is greater than the empty text.
        let after = after.map_or_else(String::new, |key| key.to_string());
        let found = self.all(query::OBJECTS, &[(&after).into(), limit.into()]).await?;
        found.iter().map(rows::object).collect()
    }

    pub(crate) async fn list_jobs(
        &self,
        state: Option<JobState>,
        limit: u32,
        after: Option<&str>,
    ) -> Result<Page<JobRow>, CatalogError> {
        let after = after.map_or(Ok(0), cursor::decode)?;
        let of_state = match state {
            None => "",
            Some(JobState::Queued) => " AND j.failure IS NULL AND j.claimed_by IS NULL",
            Some(JobState::Running) => " AND j.failure IS NULL AND j.claimed_by IS NOT NULL",
            Some(JobState::Failed) => " AND j.failure IS NOT NULL",
        };
        let mut question = Question::new(query::JOBS).with(" WHERE j.id > $", after);
        question.text.push_str(of_state);
        let question = question.with(" ORDER BY j.id LIMIT $", i64::from(limit) + 1);
        let found = self.all(AssertSqlSafe(question.text), &question.values).await?;
        page(&found, limit, rows::job_row)
    }

    pub(crate) async fn derived_of(&self, key: ObjectKey) -> Result<Option<ObjectKey>, CatalogError> {
        let row = self.optional(query::DERIVED_OF, &[(&key.to_string()).into()]).await?;
        row.as_ref().map(|row| rows::object_key(row, "derived_key")).transpose()
    }

    pub(crate) async fn has_job(&self, kind: JobKind, key: ObjectKey) -> Result<bool, CatalogError> {
        let key = key.to_string();
        let values: [Value<'_>; 2] = [kind.as_str().into(), (&key).into()];
        Ok(self.optional(query::JOB_OF, &values).await?.is_some())
    }

    pub(crate) async fn counts(&self) -> Result<Counts, CatalogError> {
        let row = self.one(query::COUNTS, &[]).await?;
        Ok(Counts {
            instances: rows::number(&row, "instances")?,
            files: rows::number(&row, "files")?,
            jobs: rows::number(&row, "jobs")?,
            failed_jobs: rows::number(&row, "failed_jobs")?,
        })
    }

    pub(crate) async fn ping(&self) -> Result<(), CatalogError> {
        self.one(query::PING, &[]).await.map(drop)
    }
}

/// The rows asked for out of one more than that, so that the last page is known to be the last.
fn page<T>(found: &[Row], limit: u32, read: impl Fn(&Row) -> Result<T, CatalogError>) -> Result<Page<T>, CatalogError> {
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let kept = found.get(..wanted).unwrap_or(found);
    let more = found.len() > kept.len();
    let next = match kept.last() {
        Some(last) if more => Some(cursor::encode(rows::serial(last)?)),
        _ => None,
    };
    Ok(Page { items: kept.iter().map(read).collect::<Result<_, _>>()?, next })
}

/// The same for rows that are instances of series. Where there were more rows than are read at a time, the last series is
/// not whole and goes to the next page, unless it is the only one: then it has more instances than `most`.
fn series_page(found: &[Row], limit: u32, most: u32) -> Result<Page<SeriesRow>, CatalogError> {
    let (limit, most) = (usize::try_from(limit).unwrap_or(usize::MAX), usize::try_from(most).unwrap_or(usize::MAX));
    let mut series: Vec<(i64, SeriesRow)> = Vec::new();
    for row in found {
        let first = row.integer("first_serial")?;
        let instance = rows::target(row)?;
        match series.last_mut() {
            Some((of, series)) if *of == first => series.instances.push(instance),
            _ => {
                let series_instance_uid = row.text("series_instance_uid")?.to_owned();
                series.push((first, SeriesRow { series_instance_uid, instances: vec![instance] }));
            }
        }
    }
    let is_cut = found.len() > most;
    let whole = series.len().saturating_sub(usize::from(is_cut && series.len() > 1));
    let more = is_cut || whole > limit;
    series.truncate(whole.min(limit));
    let next = series.last().filter(|_| more).map(|(first, _)| cursor::encode(*first));
    Ok(Page { items: series.into_iter().map(|(_, series)| series).collect(), next })
}
