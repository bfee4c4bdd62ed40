//! Queries on patients, studies, series and instances, as C-FIND and QIDO-RS ask them [PS3.4 C.2, PS3.18 10.6].
//!
//! SQL narrows down by what has a column, and one matcher decides on the attributes of each row that is left; what SQL
//! can tell exactly is not looked at again. A query that would have to look at too many rows stops and says so.

mod kept;
mod matching;
mod narrowing;

use sqlx::AssertSqlSafe;

use crate::connection::Row;
use crate::cursor;
use crate::error::CatalogError;
use crate::model::{InstanceRow, Page};
use crate::readers::Readers;
use crate::rows;
pub use kept::KeptAttributes;
use narrowing::Narrowed;

/// The level of the information model that the answers are on [PS3.4 C.6].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Patients, each told by the first of its studies.
    Patient,
    /// Studies.
    Study,
    /// Series.
    Series,
    /// Composite object instances.
    Instance,
}

impl Level {
    /// Whether a key that begins with this tag is looked at; those of lower levels are passed over [PS3.4 C.2.2.1.3].
    #[must_use]
    pub fn looks_at(self, tag: u32) -> bool {
        narrowing::is_of(self, &[tag])
    }
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The level of the answers.
    pub level: Level,
    /// What all of them must match.
    pub matches: Vec<Match>,
    /// Words that must all begin a word of the patient's name or ID, the accession number, the Study ID or the
    /// description of the study.
    pub words: Option<String>,
    /// Serial of the answer after which to go on: [`Answers::next`] of an earlier page.
    pub after: Option<i64>,
    /// Matching answers that are passed over first.
    pub offset: u64,
    /// Answers at most.
    pub limit: u32,
}

/// What is asked for page by page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// As [`Query::level`].
    pub level: Level,
    /// As [`Query::matches`].
    pub matches: Vec<Match>,
    /// As [`Query::words`].
    pub words: Option<String>,
}

/// One key: an attribute of the level or of one above it, and what it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Match {
    /// Tags from the outermost sequence to the attribute, group in the upper 16 bits.
    pub path: Vec<u32>,
    /// What a value of it must be.
    pub want: Want,
}

/// What a value must be; of several values of an attribute one is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Want {
    /// One of these: single value matching, and list of UID matching.
    OneOf(Vec<String>),
    /// A text in which `*` stands for any characters and `?` for one.
    Like(String),
    /// The same for a person name: case and accents do not count, and any group of components may match.
    Name(String),
    /// A person name of which every word begins with one of these words, in any order: fuzzy matching.
    NameWords(String),
    /// A date, time or date and time from the first to the second, both included.
    Range(Option<String>, Option<String>),
    /// Nothing: the attribute is absent or empty.
    Empty,
}

/// The answers to a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answers {
    /// In order of arrival.
    pub found: Vec<Found>,
    /// Where the next page begins; `None` if there is nothing more.
    pub next: Option<i64>,
    /// Whether the search stopped at the limit of rows that one query may look at.
    pub gave_up: bool,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Attributes of this level and of those above.
    pub attributes: KeptAttributes,
    /// Counts of the study, on levels [`Level::Patient`] and [`Level::Study`].
    pub study: Option<FoundStudy>,
    /// Counts of the series, on level [`Level::Series`].
    pub series: Option<FoundSeries>,
    /// The instance, on level [`Level::Instance`].
    pub instance: Option<FoundInstance>,
}

/// What a study holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundStudy {
    /// Number of Study Related Series (0020,1206).
    pub series: u32,
    /// Number of Study Related Instances (0020,1208).
    pub instances: u64,
    /// Modalities in Study (0008,0061).
    pub modalities: Vec<String>,
}

/// What a series holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundSeries {
    /// Number of Series Related Instances (0020,1209).
    pub instances: u32,
}

/// An instance that was found.
pub type FoundInstance = InstanceRow;

/// Rows that one query may look at.
const MOST_ROWS: u64 = 200_000;

/// Rows that are fetched at a time when each must be looked at.
const ROWS_AT_A_TIME: u32 = 512;

impl Readers {
    /// A page of what is searched for.
    pub(crate) async fn search(
        &self,
        search: Search,
        limit: u32,
        after: Option<&str>,
    ) -> Result<Page<Found>, CatalogError> {
        let Search { level, matches, words } = search;
        let after = after.map(cursor::decode).transpose()?;
        let answers = self.find(&Query { level, matches, words, after, offset: 0, limit }).await?;
        Ok(Page { items: answers.found, next: answers.next.map(cursor::encode) })
    }

    pub(crate) async fn find(&self, query: &Query) -> Result<Answers, CatalogError> {
        let narrowed = Narrowed::new(query, matches!(self, Self::Postgres(_)));
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let mut answers = Answers { found: Vec::new(), next: None, gave_up: false };
        let (mut after, mut looked_at) = (query.after.unwrap_or(0), 0);
        let mut offset = query.offset;
        let rows_at_a_time =
            if narrowed.is_exact() { query.limit.saturating_add(1) } else { ROWS_AT_A_TIME.max(query.limit) };
        loop {
            let skip = if narrowed.is_exact() { std::mem::take(&mut offset) } else { 0 };
            let (text, values) = narrowed.page(after, rows_at_a_time, i64::try_from(skip).unwrap_or(i64::MAX));
            let page = self.all(AssertSqlSafe(text), &values).await?;
            for row in &page {
                let attributes = attributes(row)?;
                if !narrowed.is_exact() && !looked_for(&narrowed, &attributes) {
                    after = rows::serial(row)?;
                    continue;
                }
                if offset > 0 {
                    offset -= 1;
                } else if answers.found.len() < limit {
                    answers.found.push(found(row, query.level, attributes)?);
                } else {
                    answers.next = Some(after);
                    return Ok(answers);
                }
                after = rows::serial(row)?;
            }
            looked_at += page.len() as u64;
            if page.len() < usize::try_from(rows_at_a_time).unwrap_or(usize::MAX) {
                return Ok(answers);
            }
            if looked_at >= MOST_ROWS {
                answers.gave_up = true;
                return Ok(answers);
            }
        }
    }
}

/// Whether a row has what SQL could not tell of it.
fn looked_for(narrowed: &Narrowed<'_>, attributes: &KeptAttributes) -> bool {
    let tags: Vec<_> = narrowed.rest().filter_map(|key| key.path.first()).map(|tag| format!("{tag:08X}")).collect();
    let attributes = attributes.of(|tag| tags.iter().any(|wanted| wanted == tag));
    narrowed.rest().all(|key| matching::matches(&attributes, key))
}

/// The attributes of a row and of the levels above it.
fn attributes(row: &Row) -> Result<KeptAttributes, CatalogError> {
    let above = row.optional_text("attributes_above")?.map(str::to_owned);
    Ok(KeptAttributes::new(row.text("attributes")?.to_owned(), above))
}

fn found(row: &Row, level: Level, attributes: KeptAttributes) -> Result<Found, CatalogError> {
    let mut found = Found { attributes, study: None, series: None, instance: None };
    match level {
        Level::Patient | Level::Study => {
            let modalities = row.optional_text("modalities")?.unwrap_or_default();
            found.study = Some(FoundStudy {
                series: rows::number(row, "series_count")?,
                instances: rows::number(row, "instance_count")?,
                modalities: modalities.split('\\').filter(|code| !code.is_empty()).map(str::to_owned).collect(),
            });
        }
        Level::Series => found.series = Some(FoundSeries { instances: rows::number(row, "instance_count")? }),
        Level::Instance => found.instance = Some(rows::instance(row)?),
    }
    Ok(found)
}
