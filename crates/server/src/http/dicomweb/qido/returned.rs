//! Which attributes an answer has [PS3.18 10.6.3.3].

use catalog::{Found, Level};
use serde_json::{Map, Value, json};

use super::parameters::Parameters;
use crate::{app::App, finding::attributes, http::dicomweb::BASE};

/// What decides on the attributes of an answer.
pub(super) struct Shape<'a> {
    pub(super) level: Level,
    /// Whether the path names a study, and a series.
    pub(super) is_within: (bool, bool),
    pub(super) parameters: &'a Parameters,
}

/// Attributes of every answer.
const ALWAYS: [&str; 4] = ["00080005", "00080056", "00080201", "00081190"];

/// Those of a study, those of a series, and those of an instance; the ones with a type are answered without a value
/// when they have none.
const OF_STUDY: [(&str, Option<&str>); 14] = [
    ("00080020", Some("DA")),
    ("00080030", Some("TM")),
    ("00080050", Some("SH")),
    ("00080061", Some("CS")),
    ("00080090", Some("PN")),
    ("00081030", None),
    ("00100010", Some("PN")),
    ("00100020", Some("LO")),
    ("00100030", Some("DA")),
    ("00100040", Some("CS")),
    ("0020000D", Some("UI")),
    ("00200010", Some("SH")),
    ("00201206", None),
    ("00201208", None),
];
const OF_SERIES: [(&str, Option<&str>); 8] = [
    ("00080060", Some("CS")),
    ("0008103E", None),
    ("0020000E", Some("UI")),
    ("00200011", Some("IS")),
    ("00201209", None),
    ("00400244", None),
    ("00400245", None),
    ("00400275", None),
];
const OF_INSTANCE: [(&str, Option<&str>); 7] = [
    ("00080016", Some("UI")),
    ("00080018", Some("UI")),
    ("00200013", Some("IS")),
    ("00280008", None),
    ("00280010", None),
    ("00280011", None),
    ("00280100", None),
];

impl Shape<'_> {
    /// The attributes of one answer.
    pub(super) fn of(&self, app: &App, found: &Found) -> Map<String, Value> {
        let mut attributes = attributes::of(found, |tag| self.parameters.all_included || self.is_returned(tag));
        for (tag, vr) in self.usual() {
            if let Some(vr) = vr {
                attributes.entry(*tag).or_insert_with(|| json!({ "vr": vr }));
            }
        }
        if let Some(url) = self.retrieve_url(app, &attributes) {
            attributes.insert("00081190".to_owned(), json!({ "vr": "UR", "Value": [url] }));
        }
        attributes
    }

    /// The attributes of the level, and of those above that the path does not name.
    fn usual(&self) -> impl Iterator<Item = &'static (&'static str, Option<&'static str>)> {
        let own: &[_] = match self.level {
            Level::Patient | Level::Study => &OF_STUDY,
            Level::Series => &OF_SERIES,
            Level::Instance => &OF_INSTANCE,
        };
        let (in_study, in_series) = self.is_within;
        let series: &[_] = if self.level == Level::Instance && !in_series { &OF_SERIES } else { &[] };
        let study: &[_] = if self.level != Level::Study && !in_study { &OF_STUDY } else { &[] };
        own.iter().chain(series).chain(study)
    }

    fn is_returned(&self, tag: &str) -> bool {
        let number = u32::from_str_radix(tag, 16).unwrap_or_default();
        // The UIDs of the path come along, so that an answer can be read by itself.
        ALWAYS.contains(&tag)
            || matches!(number, super::STUDY_INSTANCE_UID | super::SERIES_INSTANCE_UID)
            || self.usual().any(|(usual, _)| *usual == tag)
            || self.parameters.included.contains(&number)
    }

    /// Where what was found can be had.
    fn retrieve_url(&self, app: &App, attributes: &Map<String, Value>) -> Option<String> {
        let uid = |tag: &str| attributes.get(tag)?.get("Value")?.get(0)?.as_str();
        let mut url = format!("{}{BASE}/studies/{}", app.base_url(), uid("0020000D")?);
        if matches!(self.level, Level::Series | Level::Instance) {
            url = format!("{url}/series/{}", uid("0020000E")?);
        }
        if self.level == Level::Instance {
            url = format!("{url}/instances/{}", uid("00080018")?);
        }
        Some(url)
    }
}
