//! What an instance says of its patient, study and series: the rows of these levels [PS3.4 C.6.1].
//!
//! The first instance of a study or series describes it; what later ones say otherwise is in their own rows.

use serde_json::{Map, Value};
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

use crate::connection::{self, Connection};
use crate::failure::Failure;
use crate::model::NewInstance;
use crate::{query, rows};

/// The rows of study and series that an instance belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Levels {
    study_date: Option<String>,
    patient_id: Option<String>,
    accession_number: Option<String>,
    /// Alphabetic, ideographic and phonetic, folded.
    names: [Option<String>; 3],
    words: String,
    study: String,
    modality: Option<String>,
    series: String,
}

/// The schema that has levels.
pub(crate) const SCHEMA: i64 = 3;

const PATIENT_NAME: &str = "00100010";
const PATIENT_ID: &str = "00100020";
const STUDY_DATE: &str = "00080020";
const ACCESSION_NUMBER: &str = "00080050";
const MODALITY: &str = "00080060";

/// What is found by a search for words: names, identifiers, descriptions.
const WORDS: [&str; 5] = [PATIENT_NAME, PATIENT_ID, ACCESSION_NUMBER, "00200010", "00081030"];

/// Attributes of a study; all of group 0010 beside them [PS3.3 C.7.2, PS3.18 10.6.3].
const STUDY_TAGS: [u32; 17] = [
    0x0008_0020,
    0x0008_0030,
    0x0008_0050,
    0x0008_0051,
    0x0008_0090,
    0x0008_0096,
    0x0008_009c,
    0x0008_0201,
    0x0008_1030,
    0x0008_1032,
    0x0008_1048,
    0x0008_1060,
    0x0020_000d,
    0x0020_0010,
    0x0032_1032,
    0x0032_1060,
    0x0040_1012,
];

/// Attributes of a series [PS3.3 C.7.3, C.7.5].
const SERIES_TAGS: [u32; 26] = [
    0x0008_0021,
    0x0008_0031,
    0x0008_0060,
    0x0008_0070,
    0x0008_0080,
    0x0008_0081,
    0x0008_1010,
    0x0008_1040,
    0x0008_103e,
    0x0008_103f,
    0x0008_1050,
    0x0008_1070,
    0x0008_1090,
    0x0008_1111,
    0x0018_0015,
    0x0018_1000,
    0x0018_1020,
    0x0018_1030,
    0x0018_5100,
    0x0020_000e,
    0x0020_0011,
    0x0020_0052,
    0x0020_0060,
    0x0040_0244,
    0x0040_0245,
    0x0040_0275,
];

/// Whether an attribute belongs to patient or study.
pub(crate) fn is_of_study(tag: u32) -> bool {
    tag >> 16 == 0x0010 || STUDY_TAGS.contains(&tag)
}

/// Whether an attribute belongs to a series.
pub(crate) fn is_of_series(tag: u32) -> bool {
    SERIES_TAGS.contains(&tag)
}

impl Levels {
    /// The levels of an instance; what of its attributes is not JSON describes nothing.
    pub(crate) fn of(instance: &NewInstance) -> Self {
        Self::of_attributes(&instance.attributes)
    }

    fn of_attributes(attributes: &str) -> Self {
        let attributes: Map<String, Value> = serde_json::from_str(attributes).unwrap_or_default();
        let first = |tag| values(&attributes, tag).next().map(str::to_owned);
        let names = first(PATIENT_NAME).unwrap_or_default();
        let mut groups = names.split('=').map(|group| Some(fold(group)).filter(|group| !group.is_empty()));
        let part = |wanted: &dyn Fn(u32) -> bool| {
            let of_level = attributes.iter().filter(|(tag, _)| u32::from_str_radix(tag, 16).is_ok_and(wanted));
            let of_level = of_level.map(|(tag, value)| (tag.clone(), value.clone()));
            Value::Object(of_level.collect()).to_string()
        };
        let words: Vec<_> = WORDS.iter().flat_map(|tag| values(&attributes, tag)).map(fold_words).collect();
        Self {
            study_date: first(STUDY_DATE),
            patient_id: first(PATIENT_ID),
            accession_number: first(ACCESSION_NUMBER),
            names: [groups.next().flatten(), groups.next().flatten(), groups.next().flatten()],
            words: words.join(" "),
            study: part(&is_of_study),
            modality: first(MODALITY),
            series: part(&is_of_series),
        }
    }

    /// What the statements of this module take after the UIDs of study and series.
    pub(crate) fn values(&self) -> [connection::Value<'_>; 10] {
        let [alphabetic, ideographic, phonetic] = &self.names;
        [
            (&self.study_date).into(),
            (&self.patient_id).into(),
            (&self.accession_number).into(),
            alphabetic.into(),
            ideographic.into(),
            phonetic.into(),
            (&self.words).into(),
            (&self.study).into(),
            (&self.modality).into(),
            (&self.series).into(),
        ]
    }
}

/// Adds the rows of the levels that are not there yet, and counts the instance; one without a study has no levels.
pub(crate) async fn count_instance(
    connection: &mut Connection<'_>,
    levels: &Levels,
    study: Option<&str>,
    series: Option<&str>,
) -> Result<(), Failure> {
    if study.is_none() || series.is_none() {
        return Ok(());
    }
    let mut values = vec![study.into(), series.into()];
    values.extend(levels.values());
    let (of_study, of_series) = values.split_at(10);
    connection.execute(query::INSERT_STUDY, &[&[values[0]], &of_study[2..]].concat()).await?;
    connection.execute(query::COUNT_IN_SERIES, &[&values[..2], of_series].concat()).await?;
    Ok(())
}

/// Fills the tables of studies and series from the instances of an older catalog; once.
pub(crate) async fn fill(connection: &mut Connection<'_>) -> Result<(), Failure> {
    if connection.optional(query::LEVELS_ARE_MISSING, &[]).await?.is_none() {
        return Ok(());
    }
    // Of several nodes that start at once the first fills; the others wait for it, and look again.
    connection.control(connection.text_of(&query::BEGIN_LEVELS)).await?;
    if connection.optional(query::LEVELS_ARE_MISSING, &[]).await?.is_none() {
        return connection.control("ROLLBACK").await;
    }
    tracing::info!("reading studies and series out of the instances of the catalog; this is done once");
    let mut after = 0;
    loop {
        let page = connection.all(query::INSTANCES_TO_LEVEL, &[after.into()]).await?;
        let Some(last) = page.last() else { break };
        after = rows::serial(last)?;
        for row in &page {
            let levels = Levels::of_attributes(row.text("attributes")?);
            let (study, series) = (row.optional_text("study_instance_uid")?, row.optional_text("series_instance_uid")?);
            count_instance(connection, &levels, study, series).await?;
        }
    }
    connection.control("COMMIT").await
}

/// A text without case, accents and the spaces around it, as names are compared [PS3.4 C.2.2.2.1].
pub(crate) fn fold(text: &str) -> String {
    let folded: String = text.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase).collect();
    folded.trim_matches([' ', '^']).to_owned()
}

/// The words of a text, folded: what stands between delimiters.
pub(crate) fn fold_words(text: &str) -> String {
    let folded = fold(text);
    let words: Vec<_> = folded.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

fn values<'a>(attributes: &'a Map<String, Value>, tag: &str) -> impl Iterator<Item = &'a str> {
    let value = attributes.get(tag).and_then(|attribute| attribute.get("Value")).and_then(Value::as_array);
    value.into_iter().flatten().filter_map(Value::as_str).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_folded_group_by_group() {
        assert_eq!(fold("Müller^Jörg^^"), "muller^jorg");
        assert_eq!(fold("Ångström"), "angstrom");
        let levels =
            Levels::of_attributes(r#"{"00100010":{"vr":"PN","Value":["Yamada^Tarou=山田^太郎=やまだ^たろう"]}}"#);
        let names = levels.names.map(Option::unwrap_or_default);
        assert_eq!(names[..2], ["yamada^tarou", "山田^太郎"]);
        assert!(!names[2].is_empty());
    }

    #[test]
    fn attributes_go_to_their_level() {
        let levels = Levels::of_attributes(
            r#"{"00080020":{"vr":"DA","Value":["20240102"]},"00080060":{"vr":"CS","Value":["CT"]},
                "00101030":{"vr":"DS","Value":["70"]},"00280010":{"vr":"US","Value":["512"]}}"#,
        );
        assert_eq!(levels.study_date.as_deref(), Some("20240102"));
        assert_eq!(levels.modality.as_deref(), Some("CT"));
        assert!(levels.study.contains("00101030") && !levels.study.contains("00280010"));
        assert!(levels.series.contains("00080060") && !levels.series.contains("00280010"));
        assert_eq!(Levels::of_attributes("no JSON").study, "{}");
    }

    #[test]
    fn words_are_what_stands_between_delimiters() {
        assert_eq!(fold_words("Müller^Anna  CT-Schädel, nativ"), "muller anna ct schadel nativ");
    }
}
