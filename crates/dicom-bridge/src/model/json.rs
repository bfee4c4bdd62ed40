//! DICOM JSON [PS3.18 F.2].

use std::io;

use super::{Attribute, Form, Value, base64, name_groups};

/// Writes one object.
pub(super) struct Writer<'o> {
    out: &'o mut dyn io::Write,
    /// Whether something stands already in each object or array that is open.
    begun: Vec<bool>,
}

/// Integers beyond this are not exact in a reader that knows only floating point.
const EXACT: u64 = 1 << 53;

impl<'o> Writer<'o> {
    pub(super) fn new(out: &'o mut dyn io::Write) -> Self {
        Self { out, begun: Vec::new() }
    }

    /// What divides the next thing from the one before.
    fn divide(&mut self) -> io::Result<()> {
        match self.begun.last_mut() {
            Some(begun) if *begun => self.out.write_all(b","),
            Some(begun) => {
                *begun = true;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn begin_attribute(&mut self, attribute: &Attribute<'_>) -> io::Result<()> {
        self.divide()?;
        write!(self.out, "\"{:08X}\":{{\"vr\":\"{}\"", attribute.tag, attribute.vr)
    }

    fn list(&mut self, values: &[String], one: fn(&mut dyn io::Write, &str) -> io::Result<()>) -> io::Result<()> {
        self.out.write_all(b",\"Value\":[")?;
        for (nth, value) in values.iter().enumerate() {
            if nth > 0 {
                self.out.write_all(b",")?;
            }
            if value.is_empty() {
                self.out.write_all(b"null")?;
            } else {
                one(self.out, value)?;
            }
        }
        self.out.write_all(b"]")
    }
}

impl Form for Writer<'_> {
    fn begin(&mut self) -> io::Result<()> {
        self.begin_item()
    }

    fn value(&mut self, attribute: &Attribute<'_>, value: &Value) -> io::Result<()> {
        self.begin_attribute(attribute)?;
        match value {
            Value::Empty => {}
            Value::Text(values) => self.list(values, write_text)?,
            Value::NumberText(values) => self.list(values, write_number_text)?,
            Value::Numbers(values) => self.list(values, write_number)?,
            Value::PersonNames(values) => self.list(values, write_name)?,
            Value::Bytes(bytes) => {
                self.out.write_all(b",\"InlineBinary\":\"")?;
                base64::encode(bytes, self.out)?;
                self.out.write_all(b"\"")?;
            }
            Value::BulkData(uri) => {
                self.out.write_all(b",\"BulkDataURI\":")?;
                write_text(self.out, uri)?;
            }
        }
        self.out.write_all(b"}")
    }

    fn begin_sequence(&mut self, attribute: &Attribute<'_>) -> io::Result<()> {
        self.begin_attribute(attribute)?;
        self.begun.push(false);
        Ok(())
    }

    fn begin_item(&mut self) -> io::Result<()> {
        // A sequence without items has no value.
        if self.begun.last() == Some(&false) {
            self.out.write_all(b",\"Value\":[")?;
        }
        self.divide()?;
        self.begun.push(false);
        self.out.write_all(b"{")
    }

    fn end_item(&mut self) -> io::Result<()> {
        self.begun.pop();
        self.out.write_all(b"}")
    }

    fn end_sequence(&mut self) -> io::Result<()> {
        let has_items = self.begun.pop() == Some(true);
        self.out.write_all(if has_items { b"]}" } else { b"}" })
    }

    fn end(&mut self) -> io::Result<()> {
        self.end_item()
    }
}

fn write_text(out: &mut dyn io::Write, text: &str) -> io::Result<()> {
    out.write_all(b"\"")?;
    let mut plain = text.as_bytes();
    while let Some(at) = plain.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20 | 0x7f)) {
        let (before, rest) = plain.split_at(at);
        out.write_all(before)?;
        if let Some((special, rest)) = rest.split_first() {
            match special {
                b'"' | b'\\' => out.write_all(&[b'\\', *special])?,
                control => write!(out, "\\u{control:04x}")?,
            }
            plain = rest;
        }
    }
    out.write_all(plain)?;
    out.write_all(b"\"")
}

/// What is no number, in spite of its VR, stays text; receivers must take both [PS3.18 F.2.3.1].
fn write_number_text(out: &mut dyn io::Write, text: &str) -> io::Result<()> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    match text.parse::<f64>() {
        Ok(number) if is_decimal && number.is_finite() => {
            if is_json_number(text) {
                out.write_all(text.as_bytes())
            } else {
                write!(out, "{number}")
            }
        }
        _ => write_text(out, text),
    }
}

/// A number of a binary VR; those that JSON has no way to write, or readers no way to keep, are text.
fn write_number(out: &mut dyn io::Write, decimal: &str) -> io::Result<()> {
    let is_exact = match decimal.parse::<i128>() {
        Ok(integer) => integer.unsigned_abs() <= u128::from(EXACT),
        Err(_not_an_integer) => decimal.parse::<f64>().is_ok_and(f64::is_finite),
    };
    if is_exact { out.write_all(decimal.as_bytes()) } else { write_text(out, decimal) }
}

fn write_name(out: &mut dyn io::Write, name: &str) -> io::Result<()> {
    out.write_all(b"{")?;
    for (nth, (called, group)) in name_groups(name).enumerate() {
        write!(out, "{}\"{called}\":", if nth > 0 { "," } else { "" })?;
        write_text(out, group)?;
    }
    out.write_all(b"}")
}

/// Whether JSON takes the text for a number [RFC 8259 6].
fn is_json_number(text: &str) -> bool {
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let (integer, fraction) = match mantissa.split_once('.') {
        Some((integer, fraction)) => (integer, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits(integer)
        && (integer == "0" || !integer.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(write: fn(&mut dyn io::Write, &str) -> io::Result<()>, text: &str) -> String {
        let mut out = Vec::new();
        write(&mut out, text).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_that_are_text_become_numbers_where_json_has_them() {
        for (text, json) in [
            ("0", "0"),
            ("-1.50", "-1.50"),
            ("1e5", "1e5"),
            ("+7", "7"),
            ("007", "7"),
            (".5", "0.5"),
            ("1.", "1"),
            ("nan", "\"nan\""),
            ("inf", "\"inf\""),
            ("1e999", "\"1e999\""),
            ("1,5", "\"1,5\""),
        ] {
            assert_eq!(written(write_number_text, text), json);
        }
    }

    #[test]
    fn numbers_that_readers_cannot_keep_are_text() {
        for (decimal, json) in [
            ("9007199254740992", "9007199254740992"),
            ("9007199254740993", "\"9007199254740993\""),
            ("-18446744073709551615", "\"-18446744073709551615\""),
            ("NaN", "\"NaN\""),
            ("-inf", "\"-inf\""),
            ("0.1", "0.1"),
        ] {
            assert_eq!(written(write_number, decimal), json);
        }
    }

    #[test]
    fn names_have_groups() {
        assert_eq!(
            written(write_name, "Wang^XiaoDong=王^小東"),
            r#"{"Alphabetic":"Wang^XiaoDong","Ideographic":"王^小東"}"#
        );
        assert_eq!(written(write_name, "==x"), r#"{"Phonetic":"x"}"#);
    }

    proptest! {
        #[test]
        fn any_text_is_read_again(text in "\\PC{0,20}[\0-\u{7f}]{0,20}") {
            prop_assert_eq!(serde_json::from_str::<String>(&written(write_text, &text)).unwrap(), text);
        }

        #[test]
        fn whatever_stands_for_a_number_is_json(text in "[-+0-9.eE]{1,12}") {
            let json = written(write_number_text, &text);
            prop_assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{}", json);
        }
    }
}
