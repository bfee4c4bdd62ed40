//! How a connection of the http-tcp transport begins: with the name of its channel [15444-9 G].

use thiserror::Error;

/// Reads the name of the channel at the start of a connection.
#[derive(Debug, Clone, Default)]
pub struct Greeting {
    line: Vec<u8>,
    cid: Option<String>,
}

/// What a connection begins with is no channel's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the connection does not begin with the name of a channel")]
pub struct NoGreeting;

impl Greeting {
    /// A reader at the start of a connection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads on in `input`, which is moved past what belongs to the greeting; returns the channel's name once
    /// it is known.
    ///
    /// A second line end, which some clients send, is left to [`Sender::handle_bytes`](super::Sender::handle_bytes),
    /// because it need not come at all and an acknowledgement may look like it.
    ///
    /// # Errors
    ///
    /// [`NoGreeting`] if the line is empty, longer than 128 bytes, or not printable.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<&str>, NoGreeting> {
        while self.cid.is_none() {
            let Some((&byte, rest)) = input.split_first() else { return Ok(None) };
            *input = rest;
            match byte {
                b'\n' => {
                    let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
                    let is_name = !line.is_empty() && line.iter().all(u8::is_ascii_graphic);
                    let name = std::str::from_utf8(line).ok().filter(|_| is_name);
                    self.cid = Some(name.ok_or(NoGreeting)?.to_owned());
                }
                _ if self.line.len() >= MAX_LINE => return Err(NoGreeting),
                byte => self.line.push(byte),
            }
        }
        Ok(self.cid.as_deref())
    }
}

/// What a client sends first; one line end, as the deployed viewer does it.
#[must_use]
pub fn encode_greeting(cid: &str) -> Vec<u8> {
    [cid.as_bytes(), b"\r\n"].concat()
}

/// Longest line that is read, in bytes.
const MAX_LINE: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], step: usize) -> Result<(Option<String>, Vec<u8>), NoGreeting> {
        let (mut greeting, mut rest, mut cid) = (Greeting::new(), Vec::new(), None);
        for mut piece in bytes.chunks(step) {
            cid = greeting.read(&mut piece)?.map(str::to_owned);
            rest.extend_from_slice(piece);
        }
        Ok((cid, rest))
    }

    #[test]
    fn g_a_connection_begins_with_a_name_and_a_line_end() {
        for step in [1, 2, 3, 100] {
            for (bytes, rest) in [
                (&b"n1.ab\r\n"[..], &b""[..]),
                (b"n1.ab\n", b""),
                (b"n1.ab\r\n\x02\x0c\0\0\0\x01\0\0", b"\x02\x0c\0\0\0\x01\0\0"),
                (b"n1.ab\r\n\r\n\x02\x0c\0", b"\r\n\x02\x0c\0"),
            ] {
                assert_eq!(read(bytes, step), Ok((Some("n1.ab".to_owned()), rest.to_vec())), "{bytes:?} by {step}");
            }
        }
        assert_eq!(read(b"n1.ab", 2), Ok((None, Vec::new())));
        assert_eq!(encode_greeting("x"), b"x\r\n");
    }

    #[test]
    fn e21_anything_else_is_refused() {
        for bytes in [&b"\r\n"[..], b"\n", b"a b\r\n", b"\0\0\n", &[b'x'; 200], b"\xff\xff\n"] {
            assert_eq!(read(bytes, 7), Err(NoGreeting), "{bytes:?}");
        }
    }
}
