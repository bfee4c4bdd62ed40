//! Questions, answered by the readers; they never wait for the writer.

use sqlx::{AssertSqlSafe, QueryBuilder, Row as _, Sqlite as Dialect};

use crate::cursor;
use crate::error::CatalogError;
use crate::key::ObjectKey;
use crate::model::{Counts, InstanceFilter, InstanceRow, OnlyTarget, Page, State, TargetKind, TargetRow};
use crate::query;
use crate::sqlite::{Sqlite, rows};

impl Sqlite {
    pub(crate) async fn target(&self, name: &str) -> Result<Option<TargetRow>, CatalogError> {
        let text = AssertSqlSafe(query::targets(query::TARGET_BY_NAME));
        let row = sqlx::query(text).bind(name).fetch_optional(&self.readers).await?;
        row.as_ref().map(rows::target).transpose()
    }

    pub(crate) async fn object_state(&self, key: ObjectKey) -> Result<Option<State>, CatalogError> {
        let row = sqlx::query(query::OBJECT_STATE).bind(key.to_string()).fetch_optional(&self.readers).await?;
        row.as_ref().map(rows::state).transpose()
    }

    pub(crate) async fn only_target(&self) -> Result<OnlyTarget, CatalogError> {
        let text = AssertSqlSafe(query::targets(query::ONLY_TARGET));
        let found = sqlx::query(text).fetch_all(&self.readers).await?;
        match found.as_slice() {
            [] => Ok(OnlyTarget::None),
            [row] => Ok(OnlyTarget::One(Box::new(rows::target(row)?))),
            _ => Ok(OnlyTarget::Several),
        }
    }

    pub(crate) async fn series_targets(&self, series: &str, limit: u32) -> Result<Vec<TargetRow>, CatalogError> {
        let text = AssertSqlSafe(query::targets(query::SERIES_TARGETS));
        let found = sqlx::query(text).bind(series).bind(limit).fetch_all(&self.readers).await?;
        found.iter().map(rows::target).collect()
    }

    pub(crate) async fn list_targets(
        &self,
        kind: Option<TargetKind>,
        limit: u32,
        after: Option<&str>,
    ) -> Result<Page<TargetRow>, CatalogError> {
        let after = after.map_or(Ok(0), cursor::decode)?;
        let mut question = QueryBuilder::<Dialect>::new(query::targets("WHERE t.serial > "));
        question.push_bind(after);
        if let Some(kind) = kind {
            question.push(" AND t.kind = ").push_bind(kind.as_str());
        }
        question.push(" ORDER BY t.serial LIMIT ").push_bind(i64::from(limit) + 1);
        let found = question.build().fetch_all(&self.readers).await?;
        page(&found, limit, rows::target)
    }

    pub(crate) async fn list_instances(
        &self,
        filter: &InstanceFilter,
        limit: u32,
        after: Option<&str>,
    ) -> Result<Page<InstanceRow>, CatalogError> {
        let after = after.map_or(Ok(0), cursor::decode)?;
        let mut question = QueryBuilder::<Dialect>::new(query::INSTANCES);
        question.push_bind(after);
        let wanted = [
            (" AND i.study_instance_uid = ", &filter.study_instance_uid),
            (" AND i.series_instance_uid = ", &filter.series_instance_uid),
            (" AND i.sop_instance_uid = ", &filter.sop_instance_uid),
            (" AND i.modality = ", &filter.modality),
            (" AND i.patient_id = ", &filter.patient_id),
        ];
        for (condition, value) in wanted {
            if let Some(value) = value {
                question.push(condition).push_bind(value.as_str());
            }
        }
        question.push(" ORDER BY i.serial LIMIT ").push_bind(i64::from(limit) + 1);
        let found = question.build().fetch_all(&self.readers).await?;
        page(&found, limit, rows::instance)
    }

    pub(crate) async fn counts(&self) -> Result<Counts, CatalogError> {
        let row = sqlx::query(query::COUNTS).fetch_one(&self.readers).await?;
        Ok(Counts {
            instances: rows::number(&row, "instances")?,
            files: rows::number(&row, "files")?,
            jobs: rows::number(&row, "jobs")?,
        })
    }

    pub(crate) async fn ping(&self) -> Result<(), CatalogError> {
        let row = sqlx::query(query::PING).fetch_one(&self.readers).await?;
        row.try_get::<i64, _>(0)?;
        Ok(())
    }
}

/// The rows asked for out of one more than that, so that the last page is known to be the last.
fn page<T>(
    found: &[sqlx::sqlite::SqliteRow],
    limit: u32,
    read: impl Fn(&sqlx::sqlite::SqliteRow) -> Result<T, CatalogError>,
) -> Result<Page<T>, CatalogError> {
    let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
    let kept = found.get(..wanted).unwrap_or(found);
    let more = found.len() > kept.len();
    let next = match kept.last() {
        Some(last) if more => Some(cursor::encode(rows::serial(last)?)),
        _ => None,
    };
    Ok(Page { items: kept.iter().map(read).collect::<Result<_, _>>()?, next })
}
