//! Bits of a packet header, with the bit stuffing after 0xFF undone [15444-1 B.10.1].

use std::io;

use crate::error::ParseError;

/// Where packet header bytes come from, one after another.
pub(crate) trait HeaderBytes {
    /// The next byte.
    fn byte(&mut self) -> Result<u8, Stop>;

    /// Called before `code_blocks` code-blocks are looked at, which may take no byte at all.
    fn visit(&mut self, _code_blocks: u64) -> Result<(), Stop> {
        Ok(())
    }

    /// Called before memory for `code_blocks` code-blocks is taken.
    fn hold(&mut self, _code_blocks: u64) -> Result<(), Stop> {
        Ok(())
    }
}

/// Why a packet header could not be read to its end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The bytes end first.
    End,
    /// No encoder can have written this.
    Malformed(&'static str),
    /// More work or memory than is allowed.
    Limit { what: &'static str, found: u64, limit: u64 },
    /// The medium failed.
    Source(io::Error),
}

impl Stop {
    /// The nodes do not fit the precinct; cannot happen.
    pub(crate) const INCONSISTENT: Self = Self::Malformed("packet header state does not fit its precinct");

    /// The error for a header that stopped at `offset`.
    pub(crate) fn into_error(self, offset: u64) -> ParseError {
        match self {
            Self::End => ParseError::Truncated { what: "a packet header", offset },
            Self::Malformed(what) => ParseError::Malformed { what, offset },
            Self::Limit { what, found, limit } => ParseError::LimitExceeded { what, found, limit },
            Self::Source(error) => ParseError::Source(error),
        }
    }
}

/// Header bytes that are all in memory.
#[derive(Debug)]
pub(super) struct SliceBytes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> SliceBytes<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) const fn skip(&mut self, count: usize) {
        self.at += count;
    }

    pub(super) const fn position(&self) -> usize {
        self.at
    }
}

impl HeaderBytes for SliceBytes<'_> {
    fn byte(&mut self) -> Result<u8, Stop> {
        let byte = self.bytes.get(self.at).copied().ok_or(Stop::End)?;
        self.at += 1;
        Ok(byte)
    }
}

/// The bits of one packet header.
#[derive(Debug)]
pub(crate) struct Bits<'b, B> {
    bytes: &'b mut B,
    byte: u8,
    /// Bits of `byte` that have not been taken.
    left: u32,
}

impl<'b, B: HeaderBytes> Bits<'b, B> {
    pub(crate) const fn new(bytes: &'b mut B) -> Self {
        Self { bytes, byte: 0, left: 0 }
    }

    #[inline]
    pub(crate) fn bit(&mut self) -> Result<bool, Stop> {
        if self.left == 0 {
            // After 0xFF the top bit of the next byte is stuffed.
            self.left = if self.byte == 0xFF { 7 } else { 8 };
            self.byte = self.bytes.byte()?;
        }
        self.left -= 1;
        Ok((self.byte >> self.left) & 1 != 0)
    }

    /// `count` bits as a number, the first one most significant; `count` is at most 32.
    #[inline]
    pub(crate) fn bits(&mut self, count: u32) -> Result<u64, Stop> {
        let mut value = 0u64;
        for _ in 0..count {
            value = (value << 1) | u64::from(self.bit()?);
        }
        Ok(value)
    }

    /// Number of 1 bits before the next 0 bit, at most `limit`.
    pub(crate) fn ones(&mut self, limit: u32) -> Result<u32, Stop> {
        let mut count = 0;
        while count < limit && self.bit()? {
            count += 1;
        }
        Ok(count)
    }

    /// See [`HeaderBytes::visit`].
    pub(crate) fn visit(&mut self, code_blocks: u64) -> Result<(), Stop> {
        self.bytes.visit(code_blocks)
    }

    /// See [`HeaderBytes::hold`].
    pub(crate) fn hold(&mut self, code_blocks: u64) -> Result<(), Stop> {
        self.bytes.hold(code_blocks)
    }

    /// Ends the header: the rest of the byte is padding, and a last byte 0xFF is followed by a stuffed one.
    pub(crate) fn align(&mut self) -> Result<(), Stop> {
        if self.byte == 0xFF {
            self.bytes.byte()?;
        }
        self.left = 0;
        self.byte = 0;
        Ok(())
    }
}
