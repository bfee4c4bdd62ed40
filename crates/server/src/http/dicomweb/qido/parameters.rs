//! The query of a search [PS3.18 8.3.4].

use catalog::Match;
use percent_encoding::percent_decode_str;

use crate::{
    finding::keys::{Attribute, Manner},
    http::{error::Problem, routes::Field},
};

/// What a search asks for beside its path.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    pub(super) matches: Vec<Match>,
    /// Attributes that are wanted beside those that are always answered, by the first tag of their path.
    pub(super) included: Vec<u32>,
    /// Everything that is known is wanted.
    pub(super) all_included: bool,
    pub(super) offset: u64,
    pub(super) limit: u32,
}

/// Answers if the request does not say, and at most: what an answer may hold is bounded.
const MOST_ANSWERS: u32 = 1000;

/// Parameters of one query; more are a mistake or worse.
const MOST_PARAMETERS: usize = 256;

/// The parameters that are no keys.
pub(super) const FIELDS: &[Field] = &[
    Field::new("fuzzymatching", "true: a person name is found by the beginnings of its words"),
    Field::new("multiplevaluematching", "true: a value is a list, of which one is enough"),
    Field::new("emptyvaluematching", "true: two quotation marks stand for an attribute without a value"),
    Field::new("includefield", "attributes that are wanted too, or all"),
    Field::new("limit", "answers at most; 1000 is the most"),
    Field::new("offset", "answers that are passed over"),
];

impl Parameters {
    /// # Errors
    ///
    /// 400 for a known parameter whose value cannot be read, or too many of them.
    pub(super) fn parse(query: &str) -> Result<Self, Problem> {
        let mut pairs = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            pairs.push((decode(name)?, decode(value)?));
            if pairs.len() > MOST_PARAMETERS {
                return Err(Problem::bad_request("the query has more than 256 parameters"));
            }
        }
        let mut found = Self { limit: MOST_ANSWERS, ..Self::default() };
        let is_set = |wanted: &str| match pairs.iter().find(|(name, _)| name == wanted).map(|(_, value)| &**value) {
            Some("true") => Ok(true),
            None | Some("false") => Ok(false),
            Some(_) => Err(Problem::bad_request(format!("{wanted} is true or false"))),
        };
        let manner = Manner {
            fuzzy: is_set("fuzzymatching")?,
            several: is_set("multiplevaluematching")?,
            empty: is_set("emptyvaluematching")?,
        };
        for (name, value) in &pairs {
            match name.as_str() {
                "fuzzymatching" | "multiplevaluematching" | "emptyvaluematching" => {}
                "limit" => found.limit = u32::try_from(number(name, value)?).unwrap_or(u32::MAX).min(MOST_ANSWERS),
                "offset" => found.offset = number(name, value)?,
                "includefield" => found.include(value)?,
                name => {
                    let Some(attribute) = Attribute::named(name) else { continue };
                    found.included.extend(attribute.path.first());
                    found.matches.extend(attribute.key(value, manner));
                }
            }
        }
        Ok(found)
    }

    fn include(&mut self, value: &str) -> Result<(), Problem> {
        for name in value.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            if name == "all" {
                self.all_included = true;
                continue;
            }
            let attribute = Attribute::named(name);
            let attribute = attribute.ok_or_else(|| Problem::bad_request("includefield names no attribute"))?;
            self.included.extend(attribute.path.first());
        }
        Ok(())
    }
}

fn number(name: &str, value: &str) -> Result<u64, Problem> {
    value.parse().map_err(|_not_one| Problem::bad_request(format!("{name} is a number")))
}

fn decode(text: &str) -> Result<String, Problem> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(|_error| Problem::bad_request("the query is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use catalog::Want;

    use super::*;

    #[test]
    fn parameters_are_keys_fields_and_bounds() {
        let query = "PatientName=M%C3%BCller*&00080060=CT&includefield=StudyDescription,00100040&limit=5&offset=7&x=y";
        let found = Parameters::parse(query).unwrap();
        assert_eq!(found.matches.len(), 2);
        assert_eq!(found.matches[0], Match { path: vec![0x0010_0010], want: Want::Name("Müller*".to_owned()) });
        assert_eq!(found.included, [0x0010_0010, 0x0008_0060, 0x0008_1030, 0x0010_0040]);
        assert_eq!((found.limit, found.offset, found.all_included), (5, 7, false));
        let fuzzy = Parameters::parse("PatientName=otto&fuzzymatching=true").unwrap();
        assert_eq!(fuzzy.matches[0].want, Want::NameWords("otto".to_owned()));
        assert_eq!(Parameters::parse("limit=99999").unwrap().limit, MOST_ANSWERS);
        for wrong in ["limit=x", "offset=-1", "fuzzymatching=yes", "includefield=Nonsense", "PatientID=%FF"] {
            assert!(Parameters::parse(wrong).is_err(), "{wrong}");
        }
    }
}
