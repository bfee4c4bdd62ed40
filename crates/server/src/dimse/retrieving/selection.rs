//! Which instances a retrieval asks for.

use std::collections::HashSet;

use catalog::{Catalog, CatalogError, InstanceFilter, InstanceRow};
use dicom_bridge::dimse::Retrieval;

/// Why the instances cannot be told.
#[derive(Debug, thiserror::Error)]
pub(super) enum SelectionError {
    #[error("more than {MOST} instances at once")]
    TooMany,
    #[error("the catalog does not answer")]
    Catalog(#[from] CatalogError),
}

/// Instances of one retrieval; their number has 16 bits in the responses.
const MOST: usize = u16::MAX as usize;

/// Rows that are asked for at a time.
const PAGE: u32 = 1000;

/// The instances that agree with every list that is not empty, in order of arrival.
///
/// # Errors
///
/// - [`SelectionError::TooMany`] if there are more than a retrieval may have.
/// - [`SelectionError::Catalog`] if the catalog fails.
pub(super) async fn select(catalog: &Catalog, wanted: &Retrieval) -> Result<Vec<InstanceRow>, SelectionError> {
    let (mut instances, mut seen) = (Vec::new(), HashSet::new());
    for filter in filters(wanted) {
        let mut cursor: Option<String> = None;
        loop {
            let page = catalog.list_instances(&filter, PAGE, cursor.as_deref()).await?;
            for row in page.items {
                if agrees(&row, wanted) && seen.insert(row.sop_instance_uid.clone()) {
                    instances.push(row);
                }
                if instances.len() > MOST {
                    return Err(SelectionError::TooMany);
                }
            }
            match page.next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
    }
    Ok(instances)
}

/// One question for each UID of the lowest list; the lists above are looked at in the rows.
fn filters(wanted: &Retrieval) -> Vec<InstanceFilter> {
    let patient = || InstanceFilter { patient_id: wanted.patient_id.clone(), ..InstanceFilter::default() };
    let of = |uids: &[String], put: fn(&mut InstanceFilter, String)| {
        let filter = |uid: &String| {
            let mut filter = patient();
            put(&mut filter, uid.clone());
            filter
        };
        uids.iter().map(filter).collect()
    };
    if !wanted.instances.is_empty() {
        return of(&wanted.instances, |filter, uid| filter.sop_instance_uid = Some(uid));
    }
    if !wanted.series.is_empty() {
        return of(&wanted.series, |filter, uid| filter.series_instance_uid = Some(uid));
    }
    if !wanted.studies.is_empty() {
        return of(&wanted.studies, |filter, uid| filter.study_instance_uid = Some(uid));
    }
    // Nothing named is nothing wanted, never everything.
    wanted.patient_id.as_ref().map(|_| patient()).into_iter().collect()
}

fn agrees(row: &InstanceRow, wanted: &Retrieval) -> bool {
    let is_in =
        |list: &[String], uid: &Option<String>| list.is_empty() || uid.as_ref().is_some_and(|uid| list.contains(uid));
    is_in(&wanted.studies, &row.study_instance_uid) && is_in(&wanted.series, &row.series_instance_uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_list_is_asked_for_and_nothing_named_is_nothing() {
        let uids = |list: &[&str]| list.iter().map(|&uid| uid.to_owned()).collect::<Vec<_>>();
        assert!(filters(&Retrieval::default()).is_empty());
        let patient = Retrieval { patient_id: Some("P".into()), ..Retrieval::default() };
        assert_eq!(filters(&patient), [InstanceFilter { patient_id: Some("P".into()), ..InstanceFilter::default() }]);
        let series = Retrieval { studies: uids(&["1"]), series: uids(&["2", "3"]), ..patient };
        let found = filters(&series);
        let asked: Vec<_> = found.iter().map(|filter| filter.series_instance_uid.as_deref()).collect();
        assert_eq!(asked, [Some("2"), Some("3")]);
        assert!(found.iter().all(|filter| filter.patient_id.as_deref() == Some("P")));
    }
}
