//! A scanner over the decoded bytes of one field value.

use std::str;

/// What is left of a value. Every method either takes what it names or leaves the scanner untouched.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    pub(crate) const fn new(value: &'a [u8]) -> Self {
        Self { rest: value }
    }

    /// Takes `byte` if it is next.
    pub(crate) fn eat(&mut self, byte: u8) -> bool {
        match self.rest.split_first() {
            Some((&first, rest)) if first == byte => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// Takes `text` if it is next.
    pub(crate) fn eat_all(&mut self, text: &[u8]) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Takes one byte.
    pub(crate) fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    /// Takes `1*DIGIT`; a value above 64 bits becomes `u64::MAX`.
    pub(crate) fn uint(&mut self) -> Option<u64> {
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        if digits.is_empty() {
            return None;
        }
        let add = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit.wrapping_sub(b'0')));
        Some(digits.iter().fold(0, add))
    }

    /// Takes the longest prefix whose bytes all satisfy `keep`.
    pub(crate) fn take_while(&mut self, keep: impl Fn(u8) -> bool) -> &'a [u8] {
        let len = self.rest.iter().position(|&byte| !keep(byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(len).unwrap_or((self.rest, &[]));
        self.rest = rest;
        taken
    }

    /// Takes everything before `byte` and the byte itself; `None` if it does not come.
    pub(crate) fn until(&mut self, byte: u8) -> Option<&'a [u8]> {
        let at = self.rest.iter().position(|&b| b == byte)?;
        let (taken, rest) = self.rest.split_at_checked(at)?;
        self.rest = rest.get(1..).unwrap_or_default();
        Some(taken)
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}

/// Reads `UFLOAT`, exactly the whole of `value`.
pub(crate) fn ufloat(value: &[u8]) -> Option<f64> {
    let plain = value.iter().all(|&byte| byte.is_ascii_digit() || byte == b'.');
    if !plain || value.is_empty() {
        return None;
    }
    str::from_utf8(value).ok()?.parse().ok()
}

/// Reads a byte count, saturating. A JavaScript client that doubles its `len` for ever ends at texts such
/// as `1.4e+21`, which must read as "very much".
pub(crate) fn byte_count(value: &[u8]) -> Option<u64> {
    let mut scanner = Scanner::new(value);
    let whole = scanner.take_while(|byte| byte.is_ascii_digit());
    if whole.is_empty() {
        return None;
    }
    let fraction: &[u8] = if scanner.eat(b'.') { scanner.take_while(|byte| byte.is_ascii_digit()) } else { &[] };
    let mut exponent = None;
    if scanner.eat(b'e') || scanner.eat(b'E') {
        scanner.eat(b'+');
        exponent = Some(scanner.uint()?);
    }
    // A fraction stands only in JavaScript's long form: half a byte is a mistake.
    if !scanner.is_empty() || (!fraction.is_empty() && exponent.is_none()) {
        return None;
    }
    let exponent = exponent.unwrap_or(0);
    // 20 digits reach past 64 bits, so a longer shift changes nothing any more.
    let shift = usize::try_from(exponent.min(40)).unwrap_or(40);
    let zeros = std::iter::repeat(&b'0');
    let digits = whole.iter().chain(fraction.iter().chain(zeros).take(shift));
    let add = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit.wrapping_sub(b'0')));
    Some(digits.fold(0, add))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_count_saturates_and_reads_what_javascript_prints() {
        for (text, value) in [
            ("0", Some(0)),
            ("2147483647", Some(2_147_483_647)),
            ("99999999999999999999999", Some(u64::MAX)),
            ("1e21", Some(u64::MAX)),
            ("1.4e+21", Some(u64::MAX)),
            ("1.5e3", Some(1500)),
            ("1e400000000000000000000000", Some(u64::MAX)),
            ("-1", None),
            ("", None),
            ("10k", None),
            ("1.5", None),
        ] {
            assert_eq!(byte_count(text.as_bytes()), value, "{text}");
        }
    }
}
