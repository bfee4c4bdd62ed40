//! View-windows on a composed picture: which window of a layer shows there [15444-9 C.4.7, Amd.5].
//!
//! All positions are fractions of whole numbers until the end, so that nothing is lost on the way.

use codestream::jp2::{Area, Composition, Instruction};

use crate::request::window::{FrameSize, SamplePair};

/// A window as a request has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AskedWindow {
    /// The frame.
    pub fsiz: FrameSize,
    /// Upper left corner of the region in the frame.
    pub roff: Option<SamplePair>,
    /// Size of the region.
    pub rsiz: Option<SamplePair>,
}

/// Where a layer goes on a composed picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Placement {
    /// Width and height of the picture.
    pub picture: (u32, u32),
    /// How the layer is put there.
    pub instruction: Instruction,
}

/// An interval whose ends are `first` and `end` parts of `whole`.
#[derive(Debug, Clone, Copy)]
struct Fraction {
    first: u128,
    end: u128,
    whole: u128,
}

impl Placement {
    /// The placement by an instruction of a composition; `None` if there is no such instruction, or no picture.
    #[must_use]
    pub fn of(composition: &Composition, set: u64, number: u64) -> Option<Self> {
        let picture = (composition.width, composition.height);
        let instruction = *composition.instruction(set, number)?;
        (picture.0 > 0 && picture.1 > 0).then_some(Self { picture, instruction })
    }

    /// The window on a layer of this size that shows in `asked`, a window on the picture: at the scale that the layer
    /// has there. Empty if nothing of the layer shows.
    #[must_use]
    pub fn on_layer(&self, asked: &AskedWindow, layer: (u32, u32)) -> AskedWindow {
        let whole_layer = Area { x: 0, y: 0, width: layer.0, height: layer.1 };
        let crop = self.instruction.crop.unwrap_or(whole_layer);
        let turned = self.instruction.orientation.quarter_turns % 2 == 1;
        let natural = if turned { (crop.height, crop.width) } else { (crop.width, crop.height) };
        let size = self.instruction.size.unwrap_or(natural);
        let (roff, rsiz) = (asked.roff.unwrap_or(SamplePair { x: 0, y: 0 }), asked.rsiz);
        let fsiz = (asked.fsiz.width, asked.fsiz.height);
        let across = shown((roff.x, rsiz.map(|s| s.x)), fsiz.0, self.picture.0, (self.instruction.offset.0, size.0));
        let down = shown((roff.y, rsiz.map(|s| s.y)), fsiz.1, self.picture.1, (self.instruction.offset.1, size.1));
        let (horizontal, vertical) = self.unturned(across, down);
        // Samples of the requested frame for each of the layer: the scale of the frame times that of the instruction.
        let scaled = |frame: u32, picture: u32, size: u32, crop: u32, layer: u32| {
            let numerator = u128::from(frame) * u128::from(size) * u128::from(layer);
            let denominator = (u128::from(picture) * u128::from(crop)).max(1);
            u32::try_from((numerator + denominator / 2) / denominator).unwrap_or(u32::MAX).max(1)
        };
        let by_width = |crop: u32, layer: u32| scaled(fsiz.0, self.picture.0, size.0, crop, layer);
        let by_height = |crop: u32, layer: u32| scaled(fsiz.1, self.picture.1, size.1, crop, layer);
        let frame = if turned {
            (by_height(crop.width, layer.0), by_width(crop.height, layer.1))
        } else {
            (by_width(crop.width, layer.0), by_height(crop.height, layer.1))
        };
        let (x, width) = in_frame(horizontal, (crop.x, crop.width), layer.0, frame.0);
        let (y, height) = in_frame(vertical, (crop.y, crop.height), layer.1, frame.1);
        AskedWindow {
            fsiz: FrameSize { width: frame.0, height: frame.1, rounding: asked.fsiz.rounding },
            roff: Some(SamplePair { x, y }),
            rsiz: Some(SamplePair { x: width, y: height }),
        }
    }

    /// Columns and rows of the layer from columns and rows of what is shown, turned back.
    fn unturned(&self, across: Fraction, down: Fraction) -> (Fraction, Fraction) {
        let orientation = self.instruction.orientation;
        let (horizontal, vertical) = match orientation.quarter_turns {
            1 => (down, across.reversed()),
            2 => (across.reversed(), down.reversed()),
            3 => (down.reversed(), across),
            _ => (across, down),
        };
        (if orientation.mirrored { horizontal.reversed() } else { horizontal }, vertical)
    }
}

impl Fraction {
    const fn reversed(self) -> Self {
        Self { first: self.whole.saturating_sub(self.end), end: self.whole.saturating_sub(self.first), ..self }
    }
}

/// One direction: the part of a layer, at `place.0` and `place.1` long on the picture, that the region shows.
fn shown(region: (u32, Option<u32>), frame: u32, picture: u32, place: (u32, u32)) -> Fraction {
    let frame = u128::from(frame.max(1));
    let (first, picture) = (u128::from(region.0), u128::from(picture));
    let end = region.1.map_or(frame, |size| first + u128::from(size)).min(frame);
    // Positions on the picture, times the frame.
    let (start, length) = (u128::from(place.0) * frame, u128::from(place.1) * frame);
    let inside = |position: u128| (position * picture).saturating_sub(start).min(length);
    let (first, end) = (inside(first), inside(end));
    Fraction { first: first.min(end), end, whole: length }
}

/// One direction: offset and length in a frame of the layer.
fn in_frame(part: Fraction, crop: (u32, u32), layer: u32, frame: u32) -> (u32, u32) {
    if part.first >= part.end || part.whole == 0 {
        return (0, 0);
    }
    let narrow = |n: u128| u32::try_from(n).unwrap_or(u32::MAX).min(frame);
    let scale = part.whole.checked_mul(u128::from(layer.max(1)));
    let position = |at: u128| {
        let along = u128::from(crop.0).checked_mul(part.whole)?.checked_add(at.checked_mul(u128::from(crop.1))?)?;
        along.checked_mul(u128::from(frame))
    };
    // Beyond 128 bits, which no picture needs, all of the layer is meant.
    let Some(((scale, first), end)) = scale.zip(position(part.first)).zip(position(part.end)) else {
        return (0, frame);
    };
    let (first, end) = (narrow(first / scale), narrow(end.div_ceil(scale)));
    (first, end.saturating_sub(first))
}

#[cfg(test)]
mod tests {
    use codestream::jp2::Orientation;

    use super::*;
    use crate::request::window::Rounding;

    type Window = ((u32, u32), (u32, u32), (u32, u32));

    /// The window on a layer of 40 by 20 that shows in a window on a picture of 200 by 100.
    fn on_layer(instruction: Instruction, (fsiz, roff, rsiz): Window) -> Window {
        let pair = |(x, y)| Some(SamplePair { x, y });
        let fsiz = FrameSize { width: fsiz.0, height: fsiz.1, rounding: Rounding::Down };
        let placement = Placement { picture: (200, 100), instruction };
        let found = placement.on_layer(&AskedWindow { fsiz, roff: pair(roff), rsiz: pair(rsiz) }, (40, 20));
        let (roff, rsiz) = (found.roff.unwrap(), found.rsiz.unwrap());
        ((found.fsiz.width, found.fsiz.height), (roff.x, roff.y), (rsiz.x, rsiz.y))
    }

    fn turned(quarter_turns: u8, mirrored: bool) -> Instruction {
        Instruction { offset: (50, 10), orientation: Orientation { mirrored, quarter_turns }, ..Instruction::default() }
    }

    #[test]
    fn c_4_7_a_layer_shows_where_its_instruction_puts_it() {
        let plain = turned(0, false);
        assert_eq!(on_layer(plain, ((200, 100), (0, 0), (200, 100))), ((40, 20), (0, 0), (40, 20)));
        assert_eq!(on_layer(plain, ((200, 100), (55, 12), (10, 3))), ((40, 20), (5, 2), (10, 3)));
        assert_eq!(on_layer(plain, ((100, 50), (0, 0), (30, 50))), ((20, 10), (0, 0), (5, 10)), "half the size");
        assert_eq!(on_layer(plain, ((200, 100), (0, 0), (50, 100))).2.0, 0, "beside it");
        let scaled = Instruction { size: Some((80, 80)), ..plain };
        assert_eq!(on_layer(scaled, ((200, 100), (90, 10), (40, 40))), ((80, 80), (40, 0), (40, 40)));
        let crop = Area { x: 10, y: 5, width: 20, height: 10 };
        let cropped = Instruction { crop: Some(crop), ..plain };
        assert_eq!(on_layer(cropped, ((200, 100), (50, 10), (5, 99))), ((40, 20), (10, 5), (5, 10)));
    }

    #[test]
    fn amd_5_a_turned_layer_shows_the_part_that_lies_there() {
        // What is asked for is the left quarter and the upper half of what is shown.
        assert_eq!(on_layer(turned(0, false), ((200, 100), (50, 10), (10, 10))).1, (0, 0));
        assert_eq!(on_layer(turned(0, true), ((200, 100), (50, 10), (10, 10))), ((40, 20), (30, 0), (10, 10)));
        assert_eq!(on_layer(turned(2, false), ((200, 100), (50, 10), (10, 10))), ((40, 20), (30, 10), (10, 10)));
        // Turned by 90 degrees it is 20 wide and 40 high; its left edge was its lower one, its upper edge the left one.
        assert_eq!(on_layer(turned(1, false), ((200, 100), (50, 10), (5, 8))), ((40, 20), (0, 15), (8, 5)));
        assert_eq!(on_layer(turned(3, false), ((200, 100), (50, 10), (5, 8))), ((40, 20), (32, 0), (8, 5)));
        assert_eq!(on_layer(turned(1, true), ((200, 100), (50, 10), (5, 8))), ((40, 20), (32, 15), (8, 5)));
    }

    #[test]
    fn the_largest_numbers_are_numbers_like_others() {
        let most = u32::MAX;
        let crop = Area { x: most, y: most, width: most, height: most };
        let instruction =
            Instruction { offset: (most, 0), size: Some((most, most)), crop: Some(crop), ..turned(1, true) };
        let placement = Placement { picture: (most, most), instruction };
        let fsiz = FrameSize { width: most, height: most, rounding: Rounding::Up };
        for (roff, rsiz) in [(0, most), (most, most), (1, 1)] {
            let pair = |n| Some(SamplePair { x: n, y: n });
            let found = placement.on_layer(&AskedWindow { fsiz, roff: pair(roff), rsiz: pair(rsiz) }, (most, most));
            assert!(found.fsiz.width > 0 && found.fsiz.height > 0);
        }
        let nothing = Placement { picture: (1, 1), instruction: Instruction { size: Some((0, 0)), ..instruction } };
        let found = nothing.on_layer(&AskedWindow { fsiz, roff: None, rsiz: None }, (0, 0));
        assert_eq!(found.rsiz, Some(SamplePair { x: 0, y: 0 }));
    }
}
