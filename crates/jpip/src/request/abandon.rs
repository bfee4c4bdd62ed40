//! `abandon`: chunks that the client of a channel over UDP no longer waits for [15444-9 C, K].
//!
//! Deviation: the standard's grammar is not known to us. Read here is a comma list of `qid:first-last`,
//! `qid:first` and `qid` (all of its chunks).

use std::ops::RangeInclusive;

/// Some chunks of the answer to one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbandonedChunks {
    /// The request's `qid`.
    pub qid: u64,
    /// Numbers of the chunks.
    pub numbers: RangeInclusive<u32>,
}

impl AbandonedChunks {
    /// Reads one item of the list; `None` if it has another form.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (qid, numbers) = text.split_once(':').map_or((text, None), |(qid, numbers)| (qid, Some(numbers)));
        let numbers = match numbers {
            None => 0..=u32::MAX,
            Some(numbers) => {
                let (first, last) = numbers.split_once('-').unwrap_or((numbers, numbers));
                number(first)?..=if last.is_empty() { u32::MAX } else { number(last)? }
            }
        };
        Some(Self { qid: number(qid)?, numbers })
    }
}

impl std::fmt::Display for AbandonedChunks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}-{}", self.qid, self.numbers.start(), self.numbers.end())
    }
}

/// Digits only: no sign, no spaces.
fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_ranges_single_chunks_and_whole_answers_are_read() {
        let rows = [
            ("5:3-7", Some((5, 3..=7))),
            ("5:3", Some((5, 3..=3))),
            ("5:3-", Some((5, 3..=u32::MAX))),
            ("5", Some((5, 0..=u32::MAX))),
            ("", None),
            ("5:", None),
            (":3", None),
            ("5:+3", None),
            ("5:3-7-9", None),
            ("5:99999999999", None),
            ("image/jp2", None),
        ];
        for (text, expect) in rows {
            let read = AbandonedChunks::parse(text);
            assert_eq!(read, expect.map(|(qid, numbers)| AbandonedChunks { qid, numbers }), "{text}");
            if let Some(read) = read {
                assert_eq!(AbandonedChunks::parse(&read.to_string()), Some(read));
            }
        }
    }
}
