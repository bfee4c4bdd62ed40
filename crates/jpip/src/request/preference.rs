//! `pref`, `cap` and `csf` [15444-9 C.10].

use super::error::RequestError;
use crate::limits::Limits;

/// One related-pref-set of `pref`: alternatives of one kind, the most preferred first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreferenceSet {
    /// The set as it was sent, without `/r`.
    pub text: String,
    /// `/r`: the request fails if the set cannot be met.
    pub required: bool,
}

impl PreferenceSet {
    pub(crate) fn parse_list(field: &'static str, value: &[u8], limits: &Limits) -> Result<Vec<Self>, RequestError> {
        let texts = text_list(field, value, limits)?;
        Ok(texts
            .into_iter()
            .map(|text| match text.strip_suffix("/r") {
                Some(set) => Self { text: set.to_owned(), required: true },
                None => Self { text, required: false },
            })
            .collect())
    }

    /// Whether this server honours one of the alternatives.
    ///
    /// A window is never shrunk and every response is quality-progressive, so both view-window preferences
    /// hold at once; codestreams come one after the other; placeholders lead to incremental codestreams.
    #[must_use]
    pub fn is_met(&self) -> bool {
        self.text.split(';').any(|preference| {
            matches!(
                preference,
                "fullwindow"
                    | "progressive"
                    | "meta:incr"
                    | "codeseq:sequential"
                    | "conciseness:concise"
                    | "conciseness:loose"
            )
        })
    }
}

/// The elements of a comma list as text, for the fields whose elements are passed on or stored verbatim.
pub(crate) fn text_list(field: &'static str, value: &[u8], limits: &Limits) -> Result<Vec<String>, RequestError> {
    let mut found = Vec::new();
    for item in value.split(|&byte| byte == b',') {
        if found.len() >= limits.max_list_items {
            return Err(RequestError::LimitExceeded { field, limit: limits.max_list_items });
        }
        let printable = !item.is_empty() && item.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
        if !printable {
            return Err(RequestError::malformed(field, "an empty or unprintable item"));
        }
        found.push(String::from_utf8_lossy(item).into_owned());
    }
    Ok(found)
}
