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
    /// hold at once; codestreams come one after the other; placeholders lead to incremental codestreams, and never
    /// to the bytes of a codestream's box or to an equivalent one, the first of which `type=raw` gives, the second nobody.
    #[must_use]
    pub fn is_met(&self) -> bool {
        let mut kind = "";
        self.text.split(';').any(|alternative| {
            // What is said of the first alternative holds for those after it: `meta:orig;incr`.
            let value = match alternative.split_once(':') {
                Some((of_kind, value)) => {
                    kind = of_kind;
                    value
                }
                None => alternative,
            };
            matches!(
                (kind, value),
                ("", "fullwindow" | "progressive")
                    | ("meta", "incr")
                    | ("codeseq", "sequential")
                    | ("conciseness", "concise" | "loose")
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

#[cfg(test)]
mod tests {
    use crate::Request;

    fn unmet(value: &str) -> Vec<String> {
        let sets = Request::parse(format!("pref={value}").as_bytes(), None).unwrap().pref;
        sets.into_iter().filter(|set| set.required && !set.is_met()).map(|set| set.text).collect()
    }

    #[test]
    fn c_10_2_one_alternative_that_is_met_is_enough() {
        for met in [
            "fullwindow/r",
            "progressive/r",
            "fullwindow;progressive/r",
            "meta:incr/r",
            "meta:orig;incr/r",
            "meta:equiv;meta:incr/r",
            "codeseq:interleaved;sequential/r",
            "conciseness:loose/r",
            "meta:orig,color-icc:3,mbw:2M,slice:4,whatever",
        ] {
            assert_eq!(unmet(met), [""; 0], "{met}");
        }
        for unknown in
            ["meta:orig", "meta:orig;equiv", "incr", "codeseq:reverse-sequential", "mbw:2M", "slice:4", "meta:"]
        {
            assert_eq!(unmet(&format!("fullwindow/r,{unknown}/r")), [unknown]);
        }
        assert_eq!(unmet("meta:fullwindow/r,codeseq:incr/r"), ["meta:fullwindow", "codeseq:incr"]);
    }
}
