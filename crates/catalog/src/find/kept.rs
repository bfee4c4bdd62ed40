//! The attributes of an answer, of which only those are read that somebody wants: rows are many, and attributes more.

use std::fmt;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde_json::{Map, Value};

/// Attributes of a level and of those above it, as they were kept.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeptAttributes {
    own: String,
    above: Option<String>,
}

impl KeptAttributes {
    pub(super) const fn new(own: String, above: Option<String>) -> Self {
        Self { own, above }
    }

    /// Those that are wanted, by tag as eight hex digits: `{"00080060":{"vr":"CS","Value":["CT"]},…}`, DICOM JSON with
    /// every value as text.
    pub fn of(&self, is_wanted: impl Fn(&str) -> bool) -> Map<String, Value> {
        let mut found = Map::new();
        for text in [Some(&self.own), self.above.as_ref()].into_iter().flatten() {
            let into = Into { found: &mut found, is_wanted: &is_wanted };
            // What is no JSON was not written by us, and says nothing.
            let _unreadable = into.deserialize(&mut serde_json::Deserializer::from_str(text));
        }
        found
    }
}

/// Reads the attributes that are wanted and not there yet.
struct Into<'a, W> {
    found: &'a mut Map<String, Value>,
    is_wanted: &'a W,
}

impl<'de, W: Fn(&str) -> bool> DeserializeSeed<'de> for Into<'_, W> {
    type Value = ();

    fn deserialize<D: serde::Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de, W: Fn(&str) -> bool> Visitor<'de> for Into<'_, W> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("attributes by tag")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut attributes: A) -> Result<(), A::Error> {
        while let Some(tag) = attributes.next_key::<&str>()? {
            if (self.is_wanted)(tag) && !self.found.contains_key(tag) {
                self.found.insert(tag.to_owned(), attributes.next_value()?);
            } else {
                attributes.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wanted_is_read_and_the_lower_level_counts() {
        let own = r#"{"00080060":{"vr":"CS","Value":["CT"]},"00080050":{"vr":"SH","Value":["own"]}}"#;
        let above = r#"{"00080050":{"vr":"SH","Value":["above"]},"00100020":{"vr":"LO","Value":["P"]}}"#;
        let kept = KeptAttributes::new(own.to_owned(), Some(above.to_owned()));
        let found = kept.of(|tag| tag != "00080060");
        assert_eq!(found.keys().collect::<Vec<_>>(), ["00080050", "00100020"]);
        assert_eq!(found["00080050"]["Value"][0], "own");
        assert!(KeptAttributes::new("no JSON".to_owned(), None).of(|_| true).is_empty());
    }
}
