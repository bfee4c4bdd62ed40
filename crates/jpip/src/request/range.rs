//! `UINT-RANGE` and `sampled-range` [15444-9 C.4.6, C.4.7].

use super::error::RequestError;
use super::scan::Scanner;

/// A closed range of numbers, or one without an upper end: `3`, `3-7`, `3-`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UintRange {
    /// First number.
    pub first: u64,
    /// Last number, included; `None` means "to the end of what exists".
    pub last: Option<u64>,
}

/// A range of which every `factor`-th number is meant, beginning with the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampledRange {
    /// The numbers sampled from.
    pub range: UintRange,
    /// Sampling factor, at least 1.
    pub factor: u64,
}

impl UintRange {
    /// The range that holds one number.
    #[must_use]
    pub const fn single(number: u64) -> Self {
        Self { first: number, last: Some(number) }
    }

    /// Whether `number` lies in the range.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        self.first <= number && self.last.is_none_or(|last| number <= last)
    }

    pub(crate) fn scan(scanner: &mut Scanner<'_>) -> Option<Self> {
        let first = scanner.uint()?;
        if !scanner.eat(b'-') {
            return Some(Self::single(first));
        }
        match scanner.uint() {
            Some(last) if last < first => None,
            last => Some(Self { first, last }),
        }
    }
}

impl SampledRange {
    pub(crate) fn scan(scanner: &mut Scanner<'_>) -> Option<Self> {
        let range = UintRange::scan(scanner)?;
        if !scanner.eat(b':') {
            return Some(Self { range, factor: 1 });
        }
        let factor = scanner.uint()?;
        if range == UintRange::single(range.first) {
            return Some(Self::from_single_with_colon(range.first, factor));
        }
        (factor > 0).then_some(Self { range, factor })
    }

    /// What `a:b` means. By the standard it is the one number `a`, sampled by `b`, which nobody has a reason
    /// to write; clients of the JHelioviewer era mean the range from `a` to `b`, in either direction.
    /// `0:b` stays with the standard; `a:0` can only be a range, for no sampling factor is 0.
    fn from_single_with_colon(a: u64, b: u64) -> Self {
        let range = match (a, b) {
            (0, _) => UintRange::single(0),
            _ => UintRange { first: a.min(b), last: Some(a.max(b)) },
        };
        Self { range, factor: 1 }
    }
}

/// Reads a comma list in which `item` takes one element each.
pub(crate) fn list<T>(
    field: &'static str,
    value: &[u8],
    limit: usize,
    item: impl Fn(&mut Scanner<'_>) -> Option<T>,
) -> Result<Vec<T>, RequestError> {
    let mut scanner = Scanner::new(value);
    let mut items = Vec::new();
    loop {
        if items.len() >= limit {
            return Err(RequestError::LimitExceeded { field, limit });
        }
        items.push(item(&mut scanner).ok_or(RequestError::malformed(field, "not a list of the items expected"))?);
        if scanner.is_empty() {
            return Ok(items);
        }
        if !scanner.eat(b',') {
            return Err(RequestError::malformed(field, "unexpected text after an item"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn streams(text: &str) -> Option<Vec<(u64, Option<u64>, u64)>> {
        let items = list("stream", text.as_bytes(), 8, SampledRange::scan).ok()?;
        Some(items.iter().map(|s| (s.range.first, s.range.last, s.factor)).collect())
    }

    #[test]
    fn c_4_7_sampled_ranges() {
        assert_eq!(streams("0"), Some(vec![(0, Some(0), 1)]));
        assert_eq!(streams("2-9:3,11-"), Some(vec![(2, Some(9), 3), (11, None, 1)]));
        assert_eq!(streams("4-:2"), Some(vec![(4, None, 2)]));
        for bad in ["", "a", "1,", "1-9:0", "9-1", "1 2", "-1"] {
            assert_eq!(streams(bad), None, "{bad}");
        }
        assert!(streams("1,1,1,1,1,1,1,1,1").is_none(), "more than the limit");
    }

    #[test]
    fn a_colon_on_a_single_id_is_a_range_to_old_clients() {
        assert_eq!(streams("2:5"), Some(vec![(2, Some(5), 1)]));
        assert_eq!(streams("5:2"), Some(vec![(2, Some(5), 1)]));
        assert_eq!(streams("0:5"), Some(vec![(0, Some(0), 1)]));
    }
}
