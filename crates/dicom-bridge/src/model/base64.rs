//! Bytes as text [RFC 4648 4].

use std::io;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Writes `bytes` in base 64, padded.
pub(super) fn encode(bytes: &[u8], out: &mut dyn io::Write) -> io::Result<()> {
    for three in bytes.chunks(3) {
        let mut bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte));
        bits <<= 8 * (3 - three.len());
        let mut four = *b"====";
        for (nth, character) in four.iter_mut().enumerate().take(three.len() + 1) {
            let index = (bits >> (18 - 6 * nth)) as usize & 63;
            *character = ALPHABET.get(index).copied().unwrap_or(b'=');
        }
        out.write_all(&four)?;
    }
    Ok(())
}

/// The bytes that a text in base 64 spells; `None` if it spells none.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let bytes: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let value = |character: u8| ALPHABET.iter().position(|known| *known == character);
    let digits = bytes.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    if bytes.len() - digits > 2 || !bytes.len().is_multiple_of(4) {
        return None;
    }
    let mut decoded = Vec::with_capacity(digits / 4 * 3 + 2);
    for four in bytes.get(..digits)?.chunks(4) {
        let mut bits = 0u32;
        for character in four {
            bits = bits << 6 | u32::try_from(value(*character)?).ok()?;
        }
        bits <<= 6 * (4 - four.len());
        decoded.extend(bits.to_be_bytes().into_iter().skip(1).take(four.len() - 1));
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// [RFC 4648 10]
    #[test]
    fn the_examples_of_the_standard() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut out = Vec::new();
            encode(bytes.as_bytes(), &mut out).unwrap();
            assert_eq!(out, text.as_bytes());
            assert_eq!(decode(text).unwrap(), bytes.as_bytes());
        }
    }

    #[test]
    fn what_is_no_base_64_is_none() {
        for text in ["Z", "Zg", "Zg=", "Z===", "====", "Zm9v=", "Zm9*", "=Zm9"] {
            assert_eq!(decode(text), None, "{text}");
        }
        assert_eq!(decode("Zm9v\r\nYg=="), Some(b"foob".to_vec()));
    }
}
