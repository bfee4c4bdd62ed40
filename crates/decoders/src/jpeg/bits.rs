//! The bits of entropy-coded data [10918-1 F.2.2.5].

use crate::Error;

/// Reads bits, most significant first; ends before a marker.
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    held: u64,
    count: u32,
}

const SHORT: Error = Error::Malformed("a JPEG scan that ends too early");

impl<'a> Bits<'a> {
    pub(super) const fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, held: 0, count: 0 }
    }

    /// The next 16 bits, not taken; zeros where there are none.
    pub(super) fn peek16(&mut self) -> u16 {
        if self.count < 16 {
            self.fill();
        }
        let bits = if self.count >= 16 { self.held >> (self.count - 16) } else { self.held << (16 - self.count) };
        (bits & 0xffff) as u16
    }

    pub(super) fn take(&mut self, count: u32) -> Result<(), Error> {
        self.count = self.count.checked_sub(count).ok_or(SHORT)?;
        Ok(())
    }

    /// A number of up to 16 bits.
    pub(super) fn number(&mut self, count: u32) -> Result<i32, Error> {
        if count == 0 {
            return Ok(0);
        }
        let bits = self.peek16() >> (16 - count.min(16));
        self.take(count)?;
        Ok(i32::from(bits))
    }

    /// A number with its sign: EXTEND of RECEIVE [10918-1 F.2.2.1].
    pub(super) fn signed(&mut self, count: u32) -> Result<i32, Error> {
        let number = self.number(count)?;
        let is_negative = count > 0 && number < 1 << (count - 1);
        Ok(if is_negative { number - (1 << count) + 1 } else { number })
    }

    /// Goes over the restart marker that must come next [10918-1 F.2.1.3].
    pub(super) fn restart(&mut self) -> Result<(), Error> {
        (self.held, self.count) = (0, 0);
        while self.bytes.get(self.at) == Some(&0xff) && self.bytes.get(self.at + 1) == Some(&0xff) {
            self.at += 1;
        }
        match (self.bytes.get(self.at), self.bytes.get(self.at + 1)) {
            (Some(0xff), Some(0xd0..=0xd7)) => {
                self.at += 2;
                Ok(())
            }
            _ => Err(Error::Malformed("a JPEG restart marker is missing")),
        }
    }

    /// Where the next marker is to be looked for.
    pub(super) const fn position(&self) -> usize {
        self.at
    }

    fn fill(&mut self) {
        while self.count <= 48 {
            let Some(&byte) = self.bytes.get(self.at) else { return };
            if byte == 0xff {
                if self.bytes.get(self.at + 1) != Some(&0) {
                    return;
                }
                self.at += 1;
            }
            self.at += 1;
            self.held = self.held << 8 | u64::from(byte);
            self.count += 8;
        }
    }
}
