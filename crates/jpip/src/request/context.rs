//! `context`: codestreams named by what uses them [15444-9 C.4.7].

use super::range::SampledRange;
use super::scan::Scanner;

/// One element of a `context` list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodestreamContext {
    /// Compositing layers of a JPX file: `jpxl<0-3>[s0i1]`.
    CompositingLayers {
        /// Layer numbers.
        layers: SampledRange,
        /// Instruction set and instruction whose mapping applies; without them the layer's own grid.
        instruction: Option<(u64, u64)>,
    },
    /// A track of a Motion JPEG 2000 file: `mj2t<1+now>[track]`.
    Track {
        /// Track number.
        track: u64,
        /// Whether the samples wanted begin at the present moment.
        now: bool,
        /// The bracketed rest, `track` or `movie`, verbatim.
        mapping: Option<String>,
    },
    /// A kind of context that this edition leaves open, verbatim.
    Other(String),
}

impl CodestreamContext {
    /// Takes one element; only an empty one or an unclosed bracket is an error, whatever it stands for.
    pub(crate) fn scan(scanner: &mut Scanner<'_>) -> Option<Self> {
        let start = scanner.rest();
        let mut attempt = *scanner;
        if let Some(found) = Self::scan_layers(&mut attempt).or_else(|| {
            attempt = *scanner;
            Self::scan_track(&mut attempt)
        }) && (attempt.is_empty() || attempt.peek() == Some(b','))
        {
            *scanner = attempt;
            return Some(found);
        }
        let mut depth = 0u32;
        let len = start.iter().position(|&byte| {
            match byte {
                b'<' | b'[' => depth = depth.saturating_add(1),
                b'>' | b']' => depth = depth.saturating_sub(1),
                _ => {}
            }
            byte == b',' && depth == 0
        });
        let text = start.get(..len.unwrap_or(start.len()))?;
        scanner.eat_all(text);
        if text.is_empty() || (len.is_none() && depth > 0) {
            return None;
        }
        Some(Self::Other(String::from_utf8_lossy(text).into_owned()))
    }

    fn scan_layers(scanner: &mut Scanner<'_>) -> Option<Self> {
        if !scanner.eat_all(b"jpxl<") {
            return None;
        }
        let layers = SampledRange::scan(scanner)?;
        if !scanner.eat(b'>') {
            return None;
        }
        let mut instruction = None;
        if scanner.eat_all(b"[s") {
            let set = scanner.uint()?;
            if !scanner.eat(b'i') {
                return None;
            }
            instruction = Some((set, scanner.uint()?));
            if !scanner.eat(b']') {
                return None;
            }
        }
        Some(Self::CompositingLayers { layers, instruction })
    }

    fn scan_track(scanner: &mut Scanner<'_>) -> Option<Self> {
        if !scanner.eat_all(b"mj2t<") {
            return None;
        }
        let track = scanner.uint()?;
        let now = scanner.eat_all(b"+now");
        if !scanner.eat(b'>') {
            return None;
        }
        let mapping =
            if scanner.eat(b'[') { Some(String::from_utf8_lossy(scanner.until(b']')?).into_owned()) } else { None };
        Some(Self::Track { track, now, mapping })
    }
}

#[cfg(test)]
mod tests {
    use super::super::range::{UintRange, list};
    use super::*;

    fn contexts(text: &str) -> Option<Vec<CodestreamContext>> {
        list("context", text.as_bytes(), 8, CodestreamContext::scan).ok()
    }

    #[test]
    fn c_4_7_contexts() {
        let range = UintRange { first: 0, last: Some(3) };
        let layers = CodestreamContext::CompositingLayers {
            layers: SampledRange { range, factor: 1 },
            instruction: Some((0, 2)),
        };
        let track = CodestreamContext::Track { track: 1, now: true, mapping: Some("movie".into()) };
        assert_eq!(contexts("jpxl<0-3>[s0i2],mj2t<1+now>[movie]"), Some(vec![layers, track]));
        let other = |text: &str| CodestreamContext::Other(text.into());
        assert_eq!(contexts("jpmp<1,2>,jpxl<x>"), Some(vec![other("jpmp<1,2>"), other("jpxl<x>")]));
        assert_eq!(contexts(""), None);
        assert_eq!(contexts("jpxl<0"), None);
    }
}
