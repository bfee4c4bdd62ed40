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
        }
    }
}
