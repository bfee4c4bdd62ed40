//! The bits of a JPEG-LS scan: after a byte of ones, the next has seven bits [14495-1 A.1].

use crate::Error;

pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
    held: u64,
    count: u32,
    after_ones: bool,
}

const SHORT: Error = Error::Malformed("a JPEG-LS scan that ends too early");

impl<'a> Bits<'a> {
    pub(super) const fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at, held: 0, count: 0, after_ones: false }
    }

    pub(super) fn bit(&mut self) -> Result<bool, Error> {
        Ok(self.number(1)? == 1)
    }

    /// A number of up to 32 bits.
    pub(super) fn number(&mut self, count: u32) -> Result<i32, Error> {
        if self.count < count {
            self.fill();
        }
        self.count = self.count.checked_sub(count).ok_or(SHORT)?;
        let bits = self.held >> self.count & ((1 << count) - 1);
        i32::try_from(bits).ok().ok_or(Error::Malformed("a JPEG-LS number that is too large"))
    }

    /// A Golomb code of limited length [14495-1 A.5.3]: zeros, a one, and `k` bits, or after `most` zeros the number
    /// less 1 in `plain` bits.
    pub(super) fn golomb(&mut self, k: u32, most: u32, plain: u32) -> Result<i32, Error> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros > most {
                return Err(Error::Malformed("a JPEG-LS code that is too long"));
            }
        }
        if zeros >= most {
            return Ok(self.number(plain)?.saturating_add(1));
        }
        let high = i32::try_from(u64::from(zeros) << k).ok().ok_or(SHORT)?;
        high.checked_add(self.number(k)?).ok_or(SHORT)
    }

    /// Goes over the restart marker that must come next.
    pub(super) fn restart(&mut self) -> Result<(), Error> {
        (self.held, self.count, self.after_ones) = (0, 0, false);
        match (self.bytes.get(self.at), self.bytes.get(self.at + 1)) {
            (Some(0xff), Some(0xd0..=0xd7)) => {
                self.at += 2;
                Ok(())
            }
            _ => Err(Error::Malformed("a JPEG-LS restart marker is missing")),
        }
    }

    /// Where the next marker is to be looked for.
    pub(super) const fn position(&self) -> usize {
        self.at
    }

    fn fill(&mut self) {
        while self.count <= 48 {
            let Some(&byte) = self.bytes.get(self.at) else { return };
            if byte == 0xff && self.bytes.get(self.at + 1).is_none_or(|next| *next >= 0x80) {
                return;
            }
            let bits = if self.after_ones { 7 } else { 8 };
            self.held = self.held << bits | u64::from(byte);
            self.count += bits;
            self.after_ones = byte == 0xff;
            self.at += 1;
        }
    }
}
