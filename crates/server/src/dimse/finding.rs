//! C-FIND [PS3.4 C.4.1]: matches as they are found, page by page, until there are no more or the peer has enough.

mod answer;

use catalog::{Level as CatalogLevel, Match, Query};
use dicom_bridge::Attribute;
use dicom_bridge::dimse::{Answer, Identifier, Level, Request, Root, Status};

use super::link::{Break, Link};
use crate::app::App;
use crate::finding::keys::{Manner, want};

/// Matches of one query; whoever has more of them is asked to narrow it down.
const MOST_MATCHES: usize = 10_000;

/// Matches that are looked up at a time.
const PAGE: u32 = 100;

/// Values of one key: as many as the catalog compares with.
const MOST_VALUES: usize = 1000;

/// Keys that say how to answer, or what is worked out: nothing is matched with them.
const RETURNED_ONLY: [u32; 10] = [
    0x0008_0053,
    0x0008_0054,
    0x0008_0056,
    0x0008_0201,
    0x0020_1200,
    0x0020_1202,
    0x0020_1204,
    0x0020_1206,
    0x0020_1208,
    0x0020_1209,
];

/// Answers a query.
pub(super) async fn find(app: &App, link: &mut Link, request: &Request, root: Root) -> Result<(), Break> {
    let identifier = match Identifier::parse(request, root) {
        Ok(identifier) => identifier,
        Err(error) => return finish(link, request, Status::DoesNotMatch, Some(&error.to_string())).await,
    };
    if identifier.keys.iter().any(|key| key.values.len() > MOST_VALUES) {
        return finish(link, request, Status::OutOfResources, Some("a key with more values than are compared")).await;
    }
    let mut query = Query {
        level: match identifier.level {
            Level::Patient => CatalogLevel::Patient,
            Level::Study => CatalogLevel::Study,
            Level::Series => CatalogLevel::Series,
            Level::Image => CatalogLevel::Instance,
        },
        matches: Vec::new(),
        words: None,
        after: None,
        offset: 0,
        limit: PAGE,
    };
    add_matches(&mut query.matches, &[], &identifier.keys);
    let retrieve_ae_title = &app.settings().dicom.ae_title;
    let mut matches = 0;
    loop {
        let answers = match app.catalog().find(&query).await {
            Ok(answers) => answers,
            Err(error) => {
                tracing::error!(%error, "a C-FIND cannot be looked up");
                return finish(link, request, Status::OutOfResources, Some("the catalog does not answer")).await;
            }
        };
        for found in &answers.found {
            let answer = answer::attributes(found, &identifier, retrieve_ae_title);
            let data_set = match answer.to_data_set(&request.transfer_syntax_uid) {
                Ok(data_set) => data_set,
                Err(error) => {
                    tracing::error!(%error, "a match cannot be written");
                    return finish(link, request, Status::CannotUnderstand, Some("a match cannot be written")).await;
                }
            };
            let pending = Answer { data_set: Some(&data_set), ..Answer::of(Status::Pending) };
            link.association().answer(request, &pending);
        }
        link.flush().await?;
        matches += answers.found.len();
        if link.is_cancelled().await? {
            return finish(link, request, Status::Cancelled, None).await;
        }
        if answers.gave_up {
            return finish(link, request, Status::OutOfResources, Some("too much to look at: narrow the query")).await;
        }
        match answers.next {
            Some(_) if matches >= MOST_MATCHES => {
                return finish(link, request, Status::OutOfResources, Some("too many matches: narrow the query")).await;
            }
            Some(next) => query.after = Some(next),
            None => return finish(link, request, Status::Success, None).await,
        }
    }
}

async fn finish(link: &mut Link, request: &Request, status: Status, comment: Option<&str>) -> Result<(), Break> {
    tracing::info!(peer.address = %link.address(), status = status.code(), "C-FIND");
    link.association().answer(request, &Answer { comment, ..Answer::of(status) });
    Ok(link.flush().await?)
}

/// The keys that narrow a query down, those inside sequences behind the tags that lead to them.
fn add_matches(matches: &mut Vec<Match>, around: &[u32], keys: &[Attribute]) {
    for key in keys.iter().filter(|key| !around.is_empty() || !RETURNED_ONLY.contains(&key.tag)) {
        let path = [around, &[key.tag]].concat();
        if key.vr == "SQ" {
            // A key has one item [PS3.4 C.2.2.2.6].
            add_matches(matches, &path, key.items.first().map(Vec::as_slice).unwrap_or_default());
        } else if let Some(want) = want(key.vr, &key.values.join("\\"), Manner::default()) {
            matches.push(Match { path, want });
        }
    }
}

#[cfg(test)]
mod tests {
    use catalog::Want;

    use super::*;

    #[test]
    fn keys_become_matches_those_in_sequences_too() {
        let key = |tag, vr, values: &[&str]| Attribute {
            tag,
            vr,
            values: values.iter().map(|&value| value.to_owned()).collect(),
            items: Vec::new(),
        };
        let sequence = Attribute {
            items: vec![vec![key(0x0040_0009, "SH", &["STEP*"]), key(0x0040_1001, "SH", &[])]],
            ..key(0x0040_0275, "SQ", &[])
        };
        let keys = [
            key(0x0008_0020, "DA", &["20240101-20240103"]),
            key(0x0010_0020, "LO", &[]),
            key(0x0020_000d, "UI", &["1.2", "1.3"]),
            key(0x0020_1208, "IS", &["5"]),
            sequence,
        ];
        let mut matches = Vec::new();
        add_matches(&mut matches, &[], &keys);
        let text = |text: &str| Some(text.to_owned());
        let of = |path: &[u32], want| Match { path: path.to_vec(), want };
        assert_eq!(
            matches,
            [
                of(&[0x0008_0020], Want::Range(text("20240101"), text("20240103"))),
                of(&[0x0020_000d], Want::OneOf(vec!["1.2".into(), "1.3".into()])),
                of(&[0x0040_0275, 0x0040_0009], Want::Like("STEP*".into())),
            ]
        );
    }
}
