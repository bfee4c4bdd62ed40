//! What a request selects: its codestreams, and the order in which data-bins are delivered.

use crate::data_bin::CodestreamId;
use crate::limits::Limits;
use crate::request::Request;
use crate::request::context::CodestreamContext;
use crate::request::range::{SampledRange, UintRange};
use crate::target::CodestreamSet;

/// The codestreams of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedCodestreams {
    /// Their numbers, in the order asked, each once; all exist.
    pub ids: Vec<CodestreamId>,
    /// Whether existing codestreams were left out because they are too many.
    pub cut: bool,
    /// Value of `JPIP-context`: each context that was understood and what it stands for.
    pub context: Option<String>,
}

/// The codestreams that `stream` and `context` name, or the default one where both are absent
/// [15444-9 C.4.6, C.4.7].
///
/// Compositing layer *n* is codestream *n*. A context that is not understood is passed over; so is, in the answer
/// alone, one whose expansion would make it too long.
#[must_use]
pub fn requested_codestreams(request: &Request, set: &CodestreamSet, limits: &Limits) -> RequestedCodestreams {
    let limit = limits.max_codestreams;
    let mut ranges = request.stream.clone();
    let (mut answers, mut answer_len, mut to_expand) = (Vec::new(), 0, limit);
    for context in &request.context {
        let CodestreamContext::CompositingLayers { layers, instruction } = context else { continue };
        ranges.push(*layers);
        let existing = set.expand(&[*layers], to_expand);
        to_expand -= existing.len();
        if let Some(names) = range_list(&existing, ';') {
            let instruction = instruction.map(|(set, number)| format!("[s{set}i{number}]")).unwrap_or_default();
            let answer = format!("jpxl<{}>{instruction}={names}", text(layers));
            if answer_len + answer.len() < MAX_CONTEXT_ANSWER {
                answer_len += answer.len() + 1;
                answers.push(answer);
            }
        }
    }
    let mut ids = if ranges.is_empty() {
        let default = set.default_id();
        if set.ordinal(default).is_some() { vec![default] } else { Vec::new() }
    } else {
        set.expand(&ranges, limit.saturating_add(1))
    };
    let cut = ids.len() > limit;
    ids.truncate(limit);
    RequestedCodestreams { ids, cut, context: (!answers.is_empty()).then(|| answers.join(",")) }
}

/// Codestream numbers as a list of ranges; `None` for an empty one.
#[must_use]
pub fn range_list(ids: &[CodestreamId], separator: char) -> Option<String> {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for id in ids {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(id.0) => *last = id.0,
            _ => runs.push((id.0, id.0)),
        }
    }
    let runs: Vec<String> = runs
        .iter()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
        .collect();
    (!runs.is_empty()).then(|| runs.join(separator.encode_utf8(&mut [0; 4])))
}

fn text(sampled: &SampledRange) -> String {
    let UintRange { first, last } = sampled.range;
    let range = match last {
        Some(last) if last == first => first.to_string(),
        Some(last) => format!("{first}-{last}"),
        None => format!("{first}-"),
    };
    if sampled.factor > 1 { format!("{range}:{}", sampled.factor) } else { range }
}

/// Length of `JPIP-context` in bytes; intermediaries refuse heads that are much longer.
const MAX_CONTEXT_ANSWER: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn requested(query: &str, set: CodestreamSet) -> (Vec<u64>, Option<String>) {
        let request = Request::parse(query.as_bytes(), None).unwrap();
        let found = requested_codestreams(&request, &set, &Limits::default());
        (found.ids.iter().map(|id| id.0).collect(), found.context)
    }

    #[test]
    fn c_4_7_streams_and_contexts_add_up() {
        let file = CodestreamSet::File(5);
        assert_eq!(requested("", file), (vec![0], None));
        assert_eq!(requested("stream=3,9", file), (vec![3], None));
        assert_eq!(requested("context=jpxl<0-1>", file), (vec![0, 1], Some("jpxl<0-1>=0-1".into())));
        assert_eq!(
            requested("stream=4&context=jpxl<0-9:2>[s0i1],jpmp<2>", file),
            (vec![4, 0, 2], Some("jpxl<0-9:2>[s0i1]=0;2;4".into()))
        );
        assert_eq!(requested("context=mj2t<1>", file), (vec![0], None));
        assert_eq!(requested("stream=9", file), (vec![], None));
        assert_eq!(requested("", CodestreamSet::Frames(3)), (vec![0], None));
        assert_eq!(requested("context=jpxl<0-0>", CodestreamSet::Frames(1)), (vec![0], Some("jpxl<0>=0".into())));
    }

    #[test]
    fn the_number_of_codestreams_is_limited() {
        let request = Request::parse(b"stream=0-", None).unwrap();
        let limits = Limits { max_codestreams: 3, ..Limits::default() };
        let found = requested_codestreams(&request, &CodestreamSet::File(9), &limits);
        assert!(found.cut && found.ids.len() == 3);
        assert_eq!(range_list(&found.ids, ','), Some("0-2".into()));
    }

    #[test]
    fn contexts_without_end_are_answered_in_few_words() {
        for context in ["jpxl<0->", "jpxl<0-:2>", "jpxl<1-18446744073709551615>[s1i1]"] {
            let text = format!("context={}", vec![context; 16_000].join(","));
            let request = Request::parse(b"", Some(text.as_bytes())).unwrap();
            // Each of these took a second, and answered with megabytes.
            for _ in 0..20 {
                let found = requested_codestreams(&request, &CodestreamSet::File(4096), &Limits::default());
                assert!(found.ids.len() >= 2048);
                assert!(found.context.is_none_or(|text| text.len() <= MAX_CONTEXT_ANSWER), "{context}");
            }
        }
    }
}
