//! What packet headers say of code-blocks, for those who want more than the length of the body.

use super::Stop;

/// Takes what the headers of one precinct's packets say of its code-blocks, in the order of the packet bodies.
///
/// `()` takes it and forgets it, at no cost.
pub(crate) trait Contributions {
    /// The code-block in column `x`, row `y` of the precinct in sub-band `band` contributes; `zero_planes` is its
    /// number of zero bit-planes when it is included for the first time [15444-1 B.10.5].
    fn code_block(&mut self, band: usize, x: u32, y: u32, zero_planes: Option<u8>) -> Result<(), Stop>;

    /// It does so with so many coding passes [15444-1 B.10.6].
    fn passes(&mut self, passes: u16);

    /// One of its codeword segments, whose length takes Lblock + `extra_bits` bits [15444-1 B.10.7].
    fn segment(&mut self, extra_bits: u32, len: u64) -> Result<(), Stop>;
}

impl Contributions for () {
    fn code_block(&mut self, _band: usize, _x: u32, _y: u32, _zero_planes: Option<u8>) -> Result<(), Stop> {
        Ok(())
    }

    fn passes(&mut self, _passes: u16) {}

    fn segment(&mut self, _extra_bits: u32, _len: u64) -> Result<(), Stop> {
        Ok(())
    }
}
