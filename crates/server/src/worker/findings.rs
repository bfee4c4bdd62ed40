//! What was found damaged in an object, in words short enough for a catalog row.

use std::fmt::{Display, Write as _};

/// Findings in the order in which they were made; the first few are kept, the rest counted.
#[derive(Debug, Default)]
pub(super) struct Findings {
    kept: Vec<String>,
    more: u64,
}

/// Findings that are kept.
const KEPT: usize = 6;

impl Findings {
    pub(super) fn push(&mut self, place: &str, finding: impl Display) {
        if self.kept.len() < KEPT {
            self.kept.push(format!("{place}{finding}"));
        } else {
            self.more += 1;
        }
    }

    /// The words; `None` if nothing was found.
    pub(super) fn into_words(self) -> Option<String> {
        if self.kept.is_empty() {
            return None;
        }
        let mut words = self.kept.join("; ");
        if self.more > 0 {
            // Writing into a String cannot fail.
            let _ = write!(words, "; and {} more", self.more);
        }
        Some(words)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_kept_and_the_rest_counted() {
        assert_eq!(Findings::default().into_words(), None);
        let mut findings = Findings::default();
        (0..9).for_each(|n| findings.push("frame 1: ", n));
        let words = findings.into_words().unwrap();
        assert!(words.starts_with("frame 1: 0; frame 1: 1; "), "{words}");
        assert!(words.ends_with("frame 1: 5; and 3 more"), "{words}");
    }
}
