//! Big-endian fields of a marker segment, with the position of the first missing one.

use crate::error::ParseError;

/// A reader over one segment's payload; every read past its end is an error that says where.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    bytes: &'a [u8],
    offset: u64,
    what: &'static str,
}

impl<'a> Fields<'a> {
    /// Fields of the payload `bytes`, which begins at `offset` of the codestream.
    pub(crate) const fn new(bytes: &'a [u8], offset: u64, what: &'static str) -> Self {
        Self { bytes, offset, what }
    }

    pub(crate) fn u8(&mut self) -> Result<u8, ParseError> {
        self.array::<1>().map(u8::from_be_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, ParseError> {
        self.array().map(u16::from_be_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, ParseError> {
        self.array().map(u32::from_be_bytes)
    }

    /// A component index: one byte, two when there are more than 256 components.
    pub(crate) fn component(&mut self, component_count: u16) -> Result<u16, ParseError> {
        if component_count > 256 { self.u16() } else { self.u8().map(u16::from) }
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Where the next field lies.
    pub(crate) const fn offset(&self) -> u64 {
        self.offset
    }

    /// The error for a value at the current position that breaks the standard.
    pub(crate) const fn malformed(&self, what: &'static str) -> ParseError {
        ParseError::Malformed { what, offset: self.offset }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], ParseError> {
        let Some((head, rest)) = self.bytes.split_first_chunk::<N>() else {
            return Err(ParseError::Truncated { what: self.what, offset: self.offset });
        };
        self.bytes = rest;
        self.offset += N as u64;
        Ok(*head)
    }
}
