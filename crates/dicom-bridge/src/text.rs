//! Specific Character Set [PS3.3 C.12.1.1.2]: attribute text to UTF-8.

use dicom_encoding::text::{SpecificCharacterSet, TextCodec as _};

/// How the text of one object is written.
#[derive(Debug, Clone)]
pub(crate) struct CharacterSet {
    base: Repertoire,
}

#[derive(Debug, Clone)]
enum Repertoire {
    Utf8,
    Codec(SpecificCharacterSet),
    /// ISO 8859-1 but for these.
    Latin1Except(&'static [(u8, char)]),
    /// Not known to us: UTF-8 if it is that, else ISO 8859-1.
    Unknown,
}

const ESCAPE: u8 = 0x1b;

impl CharacterSet {
    /// The set that the value of (0008,0005) names; the default repertoire if it is absent.
    pub(crate) fn from_value(value: &[u8]) -> Self {
        let first = value.split(|byte| *byte == b'\\').next().unwrap_or_default();
        let name = String::from_utf8_lossy(first);
        Self { base: Repertoire::named(name.trim_matches([' ', '\0'])) }
    }

    /// The text as Unicode. Never fails: what cannot be decoded is replaced.
    ///
    /// Code extensions switch with escape sequences; a new piece begins at each of them.
    pub(crate) fn decode(&self, bytes: &[u8]) -> String {
        let mut text = String::new();
        let mut pieces = bytes.split(|byte| *byte == ESCAPE);
        text.push_str(&self.base.decode(pieces.next().unwrap_or_default()));
        for piece in pieces {
            match EXTENSIONS.iter().find(|(escape, _)| piece.starts_with(escape)) {
                Some((escape, name)) => {
                    let rest = piece.get(escape.len()..).unwrap_or_default();
                    if *name == "ISO_IR 87" {
                        // The codec of the Japanese sets wants to see the escape sequence itself.
                        let escaped = [&[ESCAPE], *escape, rest].concat();
                        text.push_str(&Repertoire::named(name).decode(&escaped));
                    } else {
                        text.push_str(&Repertoire::named(name).decode(rest));
                    }
                }
                None => text.push_str(&self.base.decode(piece)),
            }
        }
        text
    }
}

impl Repertoire {
    fn named(name: &str) -> Self {
        match name {
            "" => Self::Codec(SpecificCharacterSet::ISO_IR_6),
            "ISO_IR 192" => Self::Utf8,
            "ISO_IR 148" | "ISO 2022 IR 148" => Self::Latin1Except(LATIN_5),
            "ISO_IR 203" | "ISO 2022 IR 203" => Self::Latin1Except(LATIN_9),
            _ => SpecificCharacterSet::from_code(name).map_or(Self::Unknown, Self::Codec),
        }
    }

    fn decode(&self, bytes: &[u8]) -> String {
        match self {
            Self::Utf8 => String::from_utf8_lossy(bytes).into_owned(),
            Self::Codec(codec) => codec.decode(bytes).unwrap_or_else(|_| latin1(bytes, &[])),
            Self::Latin1Except(exceptions) => latin1(bytes, exceptions),
            Self::Unknown => match std::str::from_utf8(bytes) {
                Ok(text) => text.to_owned(),
                Err(_) => latin1(bytes, &[]),
            },
        }
    }
}

fn latin1(bytes: &[u8], exceptions: &[(u8, char)]) -> String {
    let decode = |byte: &u8| {
        let exception = exceptions.iter().find(|(exception, _)| exception == byte);
        exception.map_or(char::from(*byte), |(_, other)| *other)
    };
    bytes.iter().map(decode).collect()
}

/// ISO 8859-9.
const LATIN_5: &[(u8, char)] = &[(0xd0, 'Ğ'), (0xdd, 'İ'), (0xde, 'Ş'), (0xf0, 'ğ'), (0xfd, 'ı'), (0xfe, 'ş')];
/// ISO 8859-15.
#[rustfmt::skip]
const LATIN_9: &[(u8, char)] = &[
    (0xa4, '€'), (0xa6, 'Š'), (0xa8, 'š'), (0xb4, 'Ž'), (0xb8, 'ž'), (0xbc, 'Œ'), (0xbd, 'œ'), (0xbe, 'Ÿ'),
];

/// What follows ESC, and the set that is meant from there on [PS3.3 C.12.1.1.2, tables C.12-3 and C.12-4].
#[rustfmt::skip]
const EXTENSIONS: &[(&[u8], &str)] = &[
    (b"(B", "ISO_IR 6"), (b"(J", "ISO_IR 13"), (b")I", "ISO_IR 13"), (b"$B", "ISO_IR 87"),
    (b"$)C", "ISO_IR 149"), (b"$)A", "GB2312"),
    (b"-A", "ISO_IR 100"), (b"-B", "ISO_IR 101"), (b"-C", "ISO_IR 109"), (b"-D", "ISO_IR 110"),
    (b"-F", "ISO_IR 126"), (b"-G", "ISO_IR 127"), (b"-H", "ISO_IR 138"), (b"-L", "ISO_IR 144"),
    (b"-M", "ISO_IR 148"), (b"-T", "ISO_IR 166"), (b"-b", "ISO_IR 203"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn check(set: &str, bytes: &[u8], expect: &str) {
        assert_eq!(CharacterSet::from_value(set.as_bytes()).decode(bytes), expect, "{set}");
    }

    #[test]
    fn single_byte_sets_and_utf8() {
        check("", b"Buc^J\xe9r\xf4me", "Buc^Jérôme");
        check("ISO_IR 100", b"Buc^J\xe9r\xf4me", "Buc^Jérôme");
        check("ISO_IR 144 ", b"\xbb\xee\xda", "Люк");
        check("ISO_IR 148", b"\xc7avu\xfeo\xf0lu", "Çavuşoğlu");
        check("ISO_IR 203", b"\xbd\xa4", "œ€");
        check("ISO_IR 192", "Wang^小東".as_bytes(), "Wang^小東");
        check("ISO_IR 192", b"a\xffb", "a\u{fffd}b");
        check("GB18030", b"Wang^\xd0\xa1\xb6\xab", "Wang^小东");
        check("no such set", "Люк".as_bytes(), "Люк");
    }

    /// The examples of [PS3.5 H.3.1, I.2].
    #[test]
    fn code_extensions_switch_inside_a_value() {
        let yamada = b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B";
        check("\\ISO 2022 IR 87", yamada, "Yamada^Tarou=山田^太郎=やまだ^たろう");
        let hong = b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf";
        check("\\ISO 2022 IR 149", hong, "Hong^Gildong=洪^吉洞=홍^길동");
    }

    #[test]
    fn c16_escape_bombs_stay_small() {
        let bomb = b"\x1b$B\x1b$)C\x1b-A".repeat(10_000);
        assert!(CharacterSet::from_value(b"\\ISO 2022 IR 87").decode(&bomb).len() <= bomb.len() * 4);
    }
}
