//! The SQL of a query: what has a column narrows the rows down.

use super::{Level, Match, Query, Want};
use crate::connection::Value;
use crate::levels::{fold, fold_words, is_of_series, is_of_study};

/// A query of which SQL does a part, and the keys that are left.
pub(super) struct Narrowed<'q> {
    select: &'static str,
    /// Conditions, each beginning with AND; `$n` are the values.
    conditions: String,
    values: Vec<String>,
    /// What SQL cannot tell, or not exactly.
    rest: Vec<&'q Match>,
    /// Name of the table whose serial is the order.
    table: &'static str,
}

const STUDY_INSTANCE_UID: u32 = 0x0020_000d;
const SERIES_INSTANCE_UID: u32 = 0x0020_000e;
const SOP_INSTANCE_UID: u32 = 0x0008_0018;
const SOP_CLASS_UID: u32 = 0x0008_0016;
const STUDY_DATE: u32 = 0x0008_0020;
const ACCESSION_NUMBER: u32 = 0x0008_0050;
const MODALITY: u32 = 0x0008_0060;
const MODALITIES_IN_STUDY: u32 = 0x0008_0061;
const PATIENT_NAME: u32 = 0x0010_0010;
const PATIENT_ID: u32 = 0x0010_0020;

const STUDIES: &str = "
    SELECT s.serial, s.attributes, CAST(NULL AS TEXT) AS attributes_above,
        (SELECT COUNT(*) FROM series x WHERE x.study_instance_uid = s.study_instance_uid) AS series_count,
        (SELECT CAST(COALESCE(SUM(x.instances), 0) AS BIGINT) FROM series x
            WHERE x.study_instance_uid = s.study_instance_uid) AS instance_count,
        (SELECT string_agg(d.modality, '\\') FROM (SELECT DISTINCT x.modality FROM series x
            WHERE x.study_instance_uid = s.study_instance_uid AND x.modality IS NOT NULL ORDER BY x.modality) AS d)
            AS modalities
    FROM studies s";

const SERIES: &str = "
    SELECT x.serial, x.attributes, s.attributes AS attributes_above, x.instances AS instance_count
    FROM series x JOIN studies s ON s.study_instance_uid = x.study_instance_uid";

const INSTANCES: &str = "
    SELECT i.serial, i.attributes, CAST(NULL AS TEXT) AS attributes_above, i.sop_instance_uid, i.series_instance_uid,
        i.study_instance_uid, i.sop_class_uid, i.transfer_syntax_uid, i.modality, i.instance_number, i.image_rows,
        i.image_columns, i.number_of_frames, o.key, o.size, o.state, o.reason, o.tid
    FROM instances i
    JOIN targets t ON t.serial = i.serial
    JOIN objects o ON o.key = t.object_key
    LEFT JOIN studies s ON s.study_instance_uid = i.study_instance_uid";

/// Of several studies of one patient the one that came first.
const FIRST_OF_PATIENT: &str = " AND NOT EXISTS (SELECT 1 FROM studies e WHERE e.serial < s.serial
    AND e.patient_id = s.patient_id AND substr(e.patient_id, 1, 64) = substr(s.patient_id, 1, 64))";

/// Whether a series of the study has a modality; the caller says which, and closes the bracket.
const HAS_MODALITY: &str = "EXISTS (SELECT 1 FROM series m WHERE m.study_instance_uid = s.study_instance_uid
    AND m.modality IS NOT NULL";

impl<'q> Narrowed<'q> {
    pub(super) fn new(query: &'q Query, is_postgres: bool) -> Self {
        let (select, table) = match query.level {
            Level::Patient | Level::Study => (STUDIES, "s"),
            Level::Series => (SERIES, "x"),
            Level::Instance => (INSTANCES, "i"),
        };
        let mut narrowed = Self { select, conditions: String::new(), values: Vec::new(), rest: Vec::new(), table };
        if query.level == Level::Patient {
            narrowed.conditions.push_str(FIRST_OF_PATIENT);
        }
        for key in &query.matches {
            // Keys of lower levels match nothing that a row here has: they are passed over [PS3.4 C.2.2.1.3].
            if is_of(query.level, &key.path) && !narrowed.narrow(query.level, key) {
                narrowed.rest.push(key);
            }
        }
        if let Some(words) = &query.words {
            narrowed.words(words, is_postgres);
        }
        narrowed
    }

    /// Whether all rows of [`Narrowed::page`] match.
    pub(super) const fn is_exact(&self) -> bool {
        self.rest.is_empty()
    }

    /// The keys that are to be looked at in each row.
    pub(super) fn rest(&self) -> impl Iterator<Item = &'q Match> {
        self.rest.iter().copied()
    }

    /// The text and values of one page.
    pub(super) fn page(&self, after: i64, limit: u32, offset: i64) -> (String, Vec<Value<'_>>) {
        let mut values: Vec<Value<'_>> = self.values.iter().map(Value::from).collect();
        let n = values.len();
        values.extend([Value::from(after), Value::from(limit), Value::from(offset)]);
        let Self { select, conditions, table, .. } = self;
        let (after, limit, offset) = (n + 1, n + 2, n + 3);
        let text = format!(
            "{select} WHERE {table}.serial > ${after}{conditions} ORDER BY {table}.serial LIMIT ${limit} OFFSET ${offset}"
        );
        (text, values)
    }

    /// Adds what SQL can do for a key; whether nothing is left to look at.
    fn narrow(&mut self, level: Level, key: &Match) -> bool {
        let [tag] = *key.path.as_slice() else { return false };
        let own = |table: &'static str| if level == Level::Instance { "i" } else { table };
        match (tag, &key.want) {
            (STUDY_INSTANCE_UID, Want::OneOf(uids)) => self.one_of(own(self.table), "study_instance_uid", uids),
            (SERIES_INSTANCE_UID, Want::OneOf(uids)) => self.one_of(own("x"), "series_instance_uid", uids),
            (SOP_INSTANCE_UID, Want::OneOf(uids)) => self.one_of("i", "sop_instance_uid", uids),
            (SOP_CLASS_UID, Want::OneOf(uids)) => self.one_of("i", "sop_class_uid", uids),
            (MODALITY, Want::OneOf(codes)) => self.one_of(own("x"), "modality", codes),
            (MODALITIES_IN_STUDY, Want::OneOf(codes)) => return self.modality_in_study(codes),
            (MODALITIES_IN_STUDY, Want::Like(pattern)) => return self.modality_in_study_like(pattern),
            (MODALITIES_IN_STUDY, Want::Empty) => {
                self.conditions.push_str(&format!(" AND NOT {HAS_MODALITY})"));
                return true;
            }
            (PATIENT_ID, Want::OneOf(ids)) => self.one_of("s", "patient_id", ids),
            (ACCESSION_NUMBER, Want::OneOf(numbers)) => self.one_of("s", "accession_number", numbers),
            (STUDY_DATE, Want::OneOf(dates)) => self.one_of("s", "study_date", dates),
            (STUDY_DATE, Want::Range(from, to)) => {
                self.bound("s.study_date", ">=", from.as_deref());
                self.bound("s.study_date", "<=", to.as_deref());
                return false;
            }
            (PATIENT_NAME, Want::Name(pattern)) => {
                self.name(&fold_pattern(pattern));
                return false;
            }
            (PATIENT_ID, Want::Like(pattern)) => {
                self.prefix(&["s.patient_id"], pattern);
                return false;
            }
            (ACCESSION_NUMBER, Want::Like(pattern)) => {
                self.prefix(&["s.accession_number"], pattern);
                return false;
            }
            _ => return false,
        }
        // The columns of UIDs hold what the attributes say; others hold the first of several values.
        matches!(tag, STUDY_INSTANCE_UID | SERIES_INSTANCE_UID | SOP_INSTANCE_UID)
    }

    fn value(&mut self, value: impl Into<String>) -> usize {
        self.values.push(value.into());
        self.values.len()
    }

    fn one_of(&mut self, table: &str, column: &str, wanted: &[String]) {
        let numbers: Vec<_> = wanted.iter().map(|value| format!("${}", self.value(value))).collect();
        let beginnings: Vec<_> = numbers.iter().map(|number| format!("substr({number}, 1, 64)")).collect();
        let (numbers, beginnings) = (numbers.join(", "), beginnings.join(", "));
        let column = format!("{table}.{column}");
        self.conditions.push_str(&format!(" AND {column} IN ({numbers})"));
        if has_beginning(&column) {
            self.conditions.push_str(&format!(" AND substr({column}, 1, 64) IN ({beginnings})"));
        }
    }

    fn bound(&mut self, column: &str, relation: &str, value: Option<&str>) {
        if let Some(value) = value {
            let n = self.value(value);
            let words = format!(" AND {column} {relation} ${n} AND substr({column}, 1, 64) {relation} ${n}");
            self.conditions.push_str(&words);
        }
    }

    fn modality_in_study(&mut self, codes: &[String]) -> bool {
        let numbers: Vec<_> = codes.iter().map(|code| format!("${}", self.value(code))).collect();
        self.conditions.push_str(&format!(" AND {HAS_MODALITY} AND m.modality IN ({}))", numbers.join(", ")));
        true
    }

    fn modality_in_study_like(&mut self, pattern: &str) -> bool {
        let mut like = String::new();
        for c in pattern.chars() {
            match c {
                '*' => like.push('%'),
                '?' => like.push('_'),
                '%' | '_' | '!' => like.extend(['!', c]),
                other => like.push(other),
            }
        }
        let n = self.value(like);
        self.conditions.push_str(&format!(" AND {HAS_MODALITY} AND m.modality LIKE ${n} ESCAPE '!')"));
        true
    }

    fn name(&mut self, pattern: &str) {
        self.prefix(&["s.alphabetic_name", "s.ideographic_name", "s.phonetic_name"], pattern);
    }

    /// What comes before the first wildcard is where an index begins to look.
    fn prefix(&mut self, columns: &[&str], pattern: &str) {
        let prefix = pattern.split(['*', '?']).next().unwrap_or_default();
        if prefix.is_empty() {
            return;
        }
        let prefix: String = prefix.chars().take(64).collect();
        let (from, to) = (self.value(prefix.clone()), self.value(format!("{prefix}\u{10ffff}")));
        let any: Vec<_> = columns
            .iter()
            .map(|column| {
                format!(
                    "({column} >= ${from} AND {column} < ${to} AND substr({column}, 1, 64) >= ${from} \
                     AND substr({column}, 1, 64) < ${to})"
                )
            })
            .collect();
        self.conditions.push_str(&format!(" AND ({})", any.join(" OR ")));
    }

    fn words(&mut self, words: &str, is_postgres: bool) {
        let folded = fold_words(words);
        if folded.is_empty() {
            return;
        }
        // Letters and digits alone, so that nothing in them is syntax.
        if is_postgres {
            let beginnings: Vec<_> = folded.split(' ').map(|word| format!("{word}:*")).collect();
            let n = self.value(beginnings.join(" & "));
            self.conditions.push_str(&format!(" AND to_tsvector('simple', s.words) @@ to_tsquery('simple', ${n})"));
        } else {
            let beginnings: Vec<_> = folded.split(' ').map(|word| format!("\"{word}\"*")).collect();
            let n = self.value(beginnings.join(" "));
            let words = format!(" AND s.serial IN (SELECT rowid FROM study_words WHERE study_words MATCH ${n})");
            self.conditions.push_str(&words);
        }
    }
}

/// A pattern for a name as the folded columns hold it.
fn fold_pattern(pattern: &str) -> String {
    // Of several component groups any may match; the first is as good as another to begin with.
    fold(pattern.split('=').find(|group| !group.is_empty()).unwrap_or_default())
}

/// Columns that may hold a text of any length: their index on PostgreSQL holds its beginning.
fn has_beginning(column: &str) -> bool {
    matches!(column, "s.patient_id" | "s.accession_number" | "s.study_date" | "i.modality")
}

/// Whether rows of a level have an attribute.
pub(super) fn is_of(level: Level, path: &[u32]) -> bool {
    let Some(&tag) = path.first() else { return false };
    match level {
        Level::Patient | Level::Study => is_of_study(tag) || tag == MODALITIES_IN_STUDY,
        Level::Series => is_of_study(tag) || is_of_series(tag) || tag == MODALITIES_IN_STUDY,
        Level::Instance => true,
    }
}
