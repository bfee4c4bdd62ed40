//! The fields that describe a view-window [15444-9 C.4].

use super::error::RequestError;
use super::scan::Scanner;

/// `fsiz`: the frame size that the client wants the image scaled to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameSize {
    /// Width in samples, at least 1.
    pub width: u32,
    /// Height in samples, at least 1.
    pub height: u32,
    /// What to do when no resolution has exactly this size.
    pub rounding: Rounding,
}

/// Which available frame size stands for the requested one [15444-9 C.4.2].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rounding {
    /// The largest that exceeds the request in neither direction.
    #[default]
    Down,
    /// The smallest that falls short of the request in neither direction.
    Up,
    /// The one whose area is nearest.
    Closest,
}

/// `roff` or `rsiz`: a pair of sample counts in the requested frame. Numbers above 32 bits read as the largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SamplePair {
    /// Horizontally.
    pub x: u32,
    /// Vertically.
    pub y: u32,
}

impl FrameSize {
    pub(crate) fn parse(field: &'static str, value: &[u8]) -> Result<Self, RequestError> {
        let bad = RequestError::malformed(field, "not two sizes above 0, below 2^32, and perhaps a rounding");
        let mut scanner = Scanner::new(value);
        let (width, height) = pair(&mut scanner).ok_or(bad.clone())?;
        let rounding = match scanner.rest() {
            b"" | b",round-down" => Rounding::Down,
            b",round-up" => Rounding::Up,
            b",closest" => Rounding::Closest,
            _ => return Err(bad),
        };
        let size = |n: u64| u32::try_from(n).ok().filter(|&n| n > 0);
        match (size(width), size(height)) {
            (Some(width), Some(height)) => Ok(Self { width, height, rounding }),
            _ => Err(bad),
        }
    }
}

impl SamplePair {
    pub(crate) fn parse(field: &'static str, value: &[u8]) -> Result<Self, RequestError> {
        let mut scanner = Scanner::new(value);
        let read = pair(&mut scanner).filter(|_| scanner.is_empty());
        let (x, y) = read.ok_or(RequestError::malformed(field, "not two numbers"))?;
        let narrow = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        Ok(Self { x: narrow(x), y: narrow(y) })
    }
}

fn pair(scanner: &mut Scanner<'_>) -> Option<(u64, u64)> {
    let x = scanner.uint()?;
    if !scanner.eat(b',') {
        return None;
    }
    Some((x, scanner.uint()?))
}
