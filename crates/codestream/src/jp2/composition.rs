//! Composition of layers into one picture [15444-2 M.11.10]: the size of the picture, and where on it layers go.

use crate::boxes::{BoxBudget, BoxReader, read_contents};
use crate::error::ParseError;
use crate::extent::Extent;
use crate::jp2::metadata_tree::Area;
use crate::reader::ByteSource;

/// What a composition box says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Composition {
    /// Width of the picture.
    pub width: u32,
    /// Height of the picture.
    pub height: u32,
    /// Instruction sets, each with its instructions in order.
    pub sets: Vec<Vec<Instruction>>,
}

/// Where on the picture a layer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Instruction {
    /// Column and row of its upper left corner.
    pub offset: (u32, u32),
    /// Width and height that it is scaled to, turned as it is; that of what is cropped, where it is not said.
    pub size: Option<(u32, u32)>,
    /// The part of the layer that is shown; all of it where it is not said.
    pub crop: Option<Area>,
    /// How it is turned.
    pub orientation: Orientation,
}

/// How a layer is turned: first mirrored, then rotated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Orientation {
    /// Whether left and right change places.
    pub mirrored: bool,
    /// Clockwise turns by 90 degrees, 0 to 3.
    pub quarter_turns: u8,
}

impl Composition {
    /// An instruction by the numbers of its set and of itself.
    #[must_use]
    pub fn instruction(&self, set: u64, number: u64) -> Option<&Instruction> {
        self.sets.get(usize::try_from(set).ok()?)?.get(usize::try_from(number).ok()?)
    }
}

/// Reads a composition box whose contents are given.
pub(super) fn read(source: &dyn ByteSource, budget: &BoxBudget, contents: Extent) -> Result<Composition, ParseError> {
    let mut found = Composition::default();
    for child in BoxReader::children(source, budget, contents, 1)? {
        let child = child?;
        match &child.box_type {
            b"copt" => {
                let options = read_contents(source, child.contents, MAX_OPTIONS)?;
                let [height, width, ..] = *options.as_chunks::<4>().0 else { continue };
                (found.height, found.width) = (u32::from_be_bytes(height), u32::from_be_bytes(width));
            }
            b"inst" if found.sets.len() < MAX_SETS => {
                found.sets.push(instructions(&read_contents(source, child.contents, MAX_INSTRUCTIONS)?));
            }
            _ => {}
        }
    }
    Ok(found)
}

/// The instructions of one set: Ityp says which fields each has.
fn instructions(contents: &[u8]) -> Vec<Instruction> {
    // Ityp, REPT, TICK.
    let Some((&[high, low, ..], mut rest)) = contents.split_first_chunk::<8>() else { return Vec::new() };
    let fields = u16::from_be_bytes([high, low]);
    let mut found = Vec::new();
    // A set without fields has no instruction that could be counted.
    while fields & KNOWN_FIELDS != 0
        && let Some(instruction) = instruction(fields, &mut rest)
    {
        found.push(instruction);
    }
    found
}

fn instruction(fields: u16, rest: &mut &[u8]) -> Option<Instruction> {
    let mut number = || {
        let (first, after) = rest.split_first_chunk::<4>()?;
        *rest = after;
        Some(u32::from_be_bytes(*first))
    };
    let mut found = Instruction::default();
    if fields & OFFSET != 0 {
        found.offset = (number()?, number()?);
    }
    if fields & SIZE != 0 {
        found.size = Some((number()?, number()?));
    }
    if fields & LIFE != 0 {
        // LIFE with its flag, and NEXT-USE.
        let _time = (number()?, number()?);
    }
    if fields & CROP != 0 {
        found.crop = Some(Area { x: number()?, y: number()?, width: number()?, height: number()? });
    }
    if fields & ROTATION != 0 {
        let rotation = number()?;
        // 1 to 4: by 0, 90, 180, 270 degrees; 16 more: mirrored.
        let turns = (rotation & 0xF).saturating_sub(1) & 3;
        found.orientation =
            Orientation { mirrored: rotation & 16 != 0, quarter_turns: u8::try_from(turns).unwrap_or_default() };
    }
    Some(found)
}

const OFFSET: u16 = 1;
const SIZE: u16 = 2;
const LIFE: u16 = 4;
const CROP: u16 = 32;
/// The place of the rotation among the fields is that of the later edition, as far as it is known here.
const ROTATION: u16 = 64;
const KNOWN_FIELDS: u16 = OFFSET | SIZE | LIFE | CROP | ROTATION;

/// Bytes of a composition options box and of an instruction set box, and number of sets.
const MAX_OPTIONS: u64 = 64;
const MAX_INSTRUCTIONS: u64 = 256 << 10;
const MAX_SETS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::testkit::files::boxed;

    fn parse(boxes: &[u8]) -> Composition {
        let budget = BoxBudget::new(&Limits::default());
        read(&boxes, &budget, Extent::new(0, boxes.len() as u64)).unwrap()
    }

    fn numbers(head: [u16; 2], numbers: &[u32]) -> Vec<u8> {
        let mut contents: Vec<u8> = head.iter().flat_map(|number| number.to_be_bytes()).collect();
        contents.extend([0; 4]);
        contents.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
        boxed(*b"inst", &contents)
    }

    #[test]
    fn m_11_10_instructions_have_the_fields_that_ityp_names() {
        let options = boxed(*b"copt", &[0, 0, 0, 50, 0, 0, 0, 100, 0]);
        let places = numbers([1 | 2, 0], &[10, 20, 30, 40, 11, 21, 31, 41, 9]);
        let all = numbers([1 | 2 | 4 | 32 | 64, 0], &[1, 2, 3, 4, 0x8000_0000, 1, 5, 6, 7, 8, 16 + 2]);
        let found = parse(&[options, places, numbers([0, 0], &[7; 8]), all].concat());
        assert_eq!((found.width, found.height), (100, 50));
        let sizes: Vec<_> = found.sets.iter().map(Vec::len).collect();
        assert_eq!(sizes, [2, 0, 1], "what is left over is no instruction");
        let second = found.instruction(0, 1).unwrap();
        assert_eq!((second.offset, second.size, second.crop), ((11, 21), Some((31, 41)), None));
        let turned = found.instruction(2, 0).unwrap();
        assert_eq!(turned.crop, Some(Area { x: 5, y: 6, width: 7, height: 8 }));
        assert_eq!(turned.orientation, Orientation { mirrored: true, quarter_turns: 1 });
        assert!(found.instruction(0, 2).is_none() && found.instruction(9, 0).is_none());
    }
}
