//! What a request selects: its codestreams, and the order in which data-bins are delivered.

use crate::data_bin::CodestreamId;
use crate::limits::Limits;
use crate::request::Request;
use crate::request::context::CodestreamContext;
use crate::request::range::{SampledRange, UintRange};
use crate::target::{CodestreamSet, LogicalTarget};
use crate::view_window::placement::Placement;

/// The codestreams of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestedCodestreams {
    /// Their numbers, in the order asked, each once; all exist.
    pub ids: Vec<CodestreamId>,
    /// Whether existing codestreams were left out because they are too many.
    pub cut: bool,
    /// Where codestreams of layers go on the composed picture that the window is counted on.
    pub placements: Vec<(CodestreamId, Placement)>,
    /// Value of `JPIP-context`: each context that was understood and what it stands for.
    pub context: Option<String>,
}

/// The codestreams that `stream` and `context` name, or the default one where both are absent
/// [15444-9 C.4.6, C.4.7].
///
/// Compositing layer *n* is codestream *n*, unless the target says which codestreams its layers are made of. A context that is not understood is passed over; so is, in the answer
/// alone, one whose expansion would make it too long.
#[must_use]
pub fn requested_codestreams(request: &Request, target: &LogicalTarget, limits: &Limits) -> RequestedCodestreams {
    let set = &target.codestreams;
    let limit = limits.max_codestreams;
    let mut ranges = request.stream.clone();
    let mut is_named = !ranges.is_empty();
    let (mut answers, mut placements) = (Vec::new(), Vec::new());
    let (mut answer_len, mut to_expand) = (0, limit);
    for context in &request.context {
        let CodestreamContext::CompositingLayers { layers, instruction } = context else { continue };
        is_named = true;
        let of_layers = codestreams_of(layers, &target.metadata.layers, to_expand);
        let of_layers = of_layers.as_deref().unwrap_or(std::slice::from_ref(layers));
        let existing = set.expand(of_layers, to_expand);
        ranges.extend(of_layers);
        let composed = target.metadata.composition.as_ref().zip(*instruction);
        if let Some(placement) = composed.and_then(|(all, (set, number))| Placement::of(all, set, number)) {
            placements.extend(existing.iter().map(|id| (*id, placement)));
        }
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
    let mut ids = if is_named {
        set.expand(&ranges, limit.saturating_add(1))
    } else {
        let default = set.default_id();
        if set.ordinal(default).is_some() { vec![default] } else { Vec::new() }
    };
    let cut = ids.len() > limit;
    ids.truncate(limit);
    RequestedCodestreams { ids, cut, placements, context: (!answers.is_empty()).then(|| answers.join(",")) }
}

/// The codestreams that compositing layers are made of; `None` where each codestream is a layer.
fn codestreams_of(wanted: &SampledRange, layers: &[Vec<u32>], limit: usize) -> Option<Vec<SampledRange>> {
    let last = u32::try_from(layers.len()).ok()?.checked_sub(1)?;
    let existing = CodestreamSet::File(last.saturating_add(1)).expand(&[*wanted], limit);
    let made_of = existing.iter().filter_map(|layer| layers.get(usize::try_from(layer.0).ok()?));
    let single = |&number: &u32| SampledRange { range: UintRange::single(u64::from(number)), factor: 1 };
    Some(made_of.flatten().map(single).take(limit).collect())
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
    use crate::metadata::raw_codestream;

    fn target(codestreams: CodestreamSet) -> LogicalTarget {
        LogicalTarget { tid: "t".into(), codestreams, metadata: raw_codestream() }
    }

    fn requested(query: &str, set: CodestreamSet) -> (Vec<u64>, Option<String>) {
        of_target(query, &target(set))
    }

    fn of_target(query: &str, target: &LogicalTarget) -> (Vec<u64>, Option<String>) {
        let request = Request::parse(query.as_bytes(), None).unwrap();
        let found = requested_codestreams(&request, target, &Limits::default());
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
    fn c_4_7_layers_stand_for_the_codestreams_that_they_are_made_of() {
        let mut target = target(CodestreamSet::File(5));
        target.metadata.layers = vec![vec![3], vec![0, 4], vec![9], vec![3, 1]];
        assert_eq!(of_target("context=jpxl<1>", &target), (vec![0, 4], Some("jpxl<1>=0;4".into())));
        assert_eq!(of_target("context=jpxl<0-:3>,jpxl<2>", &target), (vec![3, 1], Some("jpxl<0-:3>=3;1".into())));
        assert_eq!(of_target("context=jpxl<7>", &target), (vec![], None));
        assert_eq!(of_target("context=jpxl<7>&stream=2", &target), (vec![2], None));
    }

    #[test]
    fn the_number_of_codestreams_is_limited() {
        let request = Request::parse(b"stream=0-", None).unwrap();
        let limits = Limits { max_codestreams: 3, ..Limits::default() };
        let found = requested_codestreams(&request, &target(CodestreamSet::File(9)), &limits);
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
                let found = requested_codestreams(&request, &target(CodestreamSet::File(4096)), &Limits::default());
                assert!(found.ids.len() >= 2048);
                assert!(found.context.is_none_or(|text| text.len() <= MAX_CONTEXT_ANSWER), "{context}");
            }
        }
    }
}
