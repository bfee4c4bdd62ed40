//! The client half of one http-tcp connection: chunks in, acknowledgements out.

use thiserror::Error;

use super::HEADER_LEN;

/// Reads chunks from the bytes of a connection, in whatever pieces they come.
///
/// The messages of a response may reach from one chunk into the next (OpenJPIP's server cuts them at 992
/// bytes), so what it gives are the bodies, to be joined by a [`MessageReader`](crate::client::MessageReader).
#[derive(Debug, Clone, Default)]
pub struct Receiver {
    header: Vec<u8>,
    /// Bytes of the present chunk's body that have not come.
    left: usize,
    acknowledgements: Vec<u8>,
}

/// A chunk that says it is shorter than its own header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a chunk says that it is {0} bytes long")]
pub struct BadChunk(u16);

impl Receiver {
    /// A reader at the start of a connection.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The next bytes of chunk bodies in `input`, which is moved past them; `None` when it is used up.
    ///
    /// # Errors
    ///
    /// [`BadChunk`] if a chunk is malformed; the connection is of no further use then.
    pub fn read<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<&'a [u8]>, BadChunk> {
        while !input.is_empty() {
            if self.left > 0 {
                let body = take(input, self.left);
                self.left = self.left.saturating_sub(body.len());
                self.acknowledge();
                return Ok(Some(body));
            }
            let missing = HEADER_LEN.saturating_sub(self.header.len());
            self.header.extend_from_slice(take(input, missing));
            if let [l0, l1, _, _, _, _, _, _] = *self.header {
                let total = u16::from_be_bytes([l0, l1]);
                self.left = usize::from(total).checked_sub(HEADER_LEN).ok_or(BadChunk(total))?;
                self.acknowledge();
            }
        }
        Ok(None)
    }

    /// The bytes to be sent to the server now: an acknowledgement of each chunk that has come whole.
    pub fn take_acknowledgements(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.acknowledgements)
    }

    /// Whether the bytes so far end where a chunk does.
    #[must_use]
    pub const fn is_between_chunks(&self) -> bool {
        self.header.is_empty()
    }

    fn acknowledge(&mut self) {
        if self.left == 0 {
            self.acknowledgements.append(&mut self.header);
        }
    }
}

fn take<'a>(input: &mut &'a [u8], len: usize) -> &'a [u8] {
    let (taken, rest) = input.split_at_checked(len).unwrap_or((input, &[]));
    *input = rest;
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g_chunks_are_joined_and_acknowledged_once_they_are_whole() {
        let stream =
            [&[0, 11, 1, 2, 3, 4, 5, 6][..], b"abc", &[0, 8, 9, 9, 9, 9, 9, 9], &[0, 9, 7, 7, 7, 7, 7, 7], b"d"];
        let stream = stream.concat();
        for step in 1..stream.len() {
            let mut receiver = Receiver::new();
            let (mut body, mut acknowledged) = (Vec::new(), Vec::new());
            for (n, mut piece) in stream.chunks(step).enumerate() {
                while let Some(part) = receiver.read(&mut piece).unwrap() {
                    body.extend_from_slice(part);
                }
                acknowledged.extend(receiver.take_acknowledgements());
                if n * step + step < 11 {
                    assert!(acknowledged.is_empty(), "the first chunk is not whole");
                }
            }
            assert_eq!(body, b"abcd");
            assert_eq!(acknowledged, [&stream[..8], &stream[11..19], &stream[19..27]].concat());
            assert!(receiver.is_between_chunks());
        }
    }

    #[test]
    fn g_a_chunk_is_no_shorter_than_its_header() {
        let mut receiver = Receiver::new();
        assert_eq!(receiver.read(&mut &[0, 7, 0, 0, 0, 0, 0, 0][..]), Err(BadChunk(7)));
    }
}
