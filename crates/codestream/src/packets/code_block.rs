//! The contribution of one code-block to a packet: coding passes and codeword segment lengths
//! [15444-1 B.10.6, B.10.7; 15444-15 B.1-B.3].

use super::tag_tree::Node;
use super::{Bits, Contributions, HeaderBytes, Stop};
use crate::markers::CodeBlockStyle;

/// Reads what the packet says of an included code-block; gives its bytes in the body.
pub(super) fn contribution_len<B: HeaderBytes, C: Contributions>(
    style: CodeBlockStyle,
    block: &mut Node,
    bits: &mut Bits<'_, B>,
    sink: &mut C,
) -> Result<u64, Stop> {
    let passes = read_passes(bits)?;
    sink.passes(passes);
    let longer = bits.ones(MAX_LENGTH_BITS)?;
    let lblock = u32::from(block.lblock()) + longer;
    if lblock > MAX_LENGTH_BITS {
        return Err(Stop::Malformed("codeword segment length of more than 32 bits"));
    }
    block.set_lblock(u8::try_from(lblock).unwrap_or(u8::MAX));
    if !style.is_ht() || block.is_part_1() {
        return part_1_len(style, block, passes, bits, sink);
    }
    if block.cleanup_seen() {
        return ht_refinement_len(block, passes, bits, sink);
    }
    ht_first_len(style, block, passes, bits, sink)
}

/// Number of new coding passes, 1 to 164 [15444-1 Table B.4].
fn read_passes<B: HeaderBytes>(bits: &mut Bits<'_, B>) -> Result<u16, Stop> {
    let number = if !bits.bit()? {
        1
    } else if !bits.bit()? {
        2
    } else {
        match bits.bits(2)? {
            3 => match bits.bits(5)? {
                31 => 37 + bits.bits(7)?,
                more => 6 + more,
            },
            more => 3 + more,
        }
    };
    u16::try_from(number).map_err(|_wide| Stop::INCONSISTENT)
}

/// A length of `lblock + floor(log2(passes))` bits.
fn read_len<B: HeaderBytes>(block: &Node, passes: u16, bits: &mut Bits<'_, B>) -> Result<u64, Stop> {
    let width = length_bits(block, passes);
    if width > MAX_LENGTH_BITS {
        return Err(Stop::Malformed("codeword segment length of more than 32 bits"));
    }
    bits.bits(width)
}

/// The length of a whole codeword segment with so many passes.
fn read_segment<B: HeaderBytes, C: Contributions>(
    block: &Node,
    passes: u16,
    bits: &mut Bits<'_, B>,
    sink: &mut C,
) -> Result<u64, Stop> {
    let len = read_len(block, passes, bits)?;
    sink.segment(passes.max(1).ilog2(), len)?;
    Ok(len)
}

fn length_bits(block: &Node, passes: u16) -> u32 {
    u32::from(block.lblock()) + passes.max(1).ilog2()
}

/// Codeword segments of the arithmetic coder [15444-1 Table D.9]: all passes in one, each pass in its own,
/// or, with bypass, 10 passes and then alternately two raw ones and one cleanup.
fn part_1_len<B: HeaderBytes, C: Contributions>(
    style: CodeBlockStyle,
    block: &mut Node,
    passes: u16,
    bits: &mut Bits<'_, B>,
    sink: &mut C,
) -> Result<u64, Stop> {
    let mut left = passes;
    let mut sum = 0u64;
    while left > 0 {
        let done = block.passes();
        let room = if style.terminate_all() {
            1
        } else if !style.bypass() {
            u16::MAX
        } else if done < BYPASS_START {
            BYPASS_START - done
        } else if done == BYPASS_START {
            2
        } else {
            1
        };
        let taken = left.min(room);
        sum = sum.saturating_add(read_segment(block, taken, bits, sink)?);
        let mut after = done.saturating_add(taken);
        if after >= BYPASS_START {
            after = BYPASS_START + (after - BYPASS_START) % 3;
        }
        block.set_passes(after);
        left -= taken;
    }
    Ok(sum)
}

/// The contributions of an HT code-block up to the one that brings its first cleanup pass.
///
/// Placeholder passes, in threes and without bytes, may come before it. `passes` of the node counts modulo 3:
/// 0 is a cleanup pass, 1 a `SigProp` one, 2 a `MagRef` one.
fn ht_first_len<B: HeaderBytes, C: Contributions>(
    style: CodeBlockStyle,
    block: &mut Node,
    passes: u16,
    bits: &mut Bits<'_, B>,
    sink: &mut C,
) -> Result<u64, Stop> {
    let mixed = style.is_ht_mixed();
    let done = block.passes();
    let refinement = (done + passes - 1) % 3;
    block.set_passes((done + passes) % 3);
    let Some(up_to_cleanup) = passes.checked_sub(refinement).filter(|&n| n > 0) else {
        let len = read_segment(block, passes, bits, sink)?;
        if len > 0 {
            if !mixed {
                return Err(Stop::Malformed("HT placeholder passes with bytes"));
            }
            block.set_part_1();
            block.set_passes(part_1_passes(passes));
        }
        return Ok(len);
    };
    let width = length_bits(block, up_to_cleanup);
    let mut len = read_len(block, up_to_cleanup, bits)?;
    let further = length_bits(block, passes) - width;
    let is_part_1 = mixed && (len == 1 || block.lblock() == 3 || (len >> (width - 1)) & 1 != 0);
    if len == 0 || is_part_1 {
        // The field is then as wide as Part 1 has it for all passes together.
        if width + further > MAX_LENGTH_BITS {
            return Err(Stop::Malformed("codeword segment length of more than 32 bits"));
        }
        len = (len << further) | bits.bits(further)?;
        sink.segment(passes.max(1).ilog2(), len)?;
        if len > 0 {
            if !mixed {
                return Err(Stop::Malformed("HT placeholder passes with bytes"));
            }
            block.set_part_1();
            block.set_passes(part_1_passes(passes));
        }
        return Ok(len);
    }
    block.see_cleanup();
    sink.segment(up_to_cleanup.ilog2(), len)?;
    if refinement > 0 {
        len = len.saturating_add(read_segment(block, refinement, bits, sink)?);
    }
    Ok(len)
}

/// Later contributions of an HT code-block: refinement segments of up to two passes, then cleanup passes.
fn ht_refinement_len<B: HeaderBytes, C: Contributions>(
    block: &mut Node,
    passes: u16,
    bits: &mut Bits<'_, B>,
    sink: &mut C,
) -> Result<u64, Stop> {
    let mut left = passes;
    let mut sum = 0u64;
    while left > 0 {
        let done = block.passes();
        let taken = if done == 0 { 1 } else { left.min(3 - done) };
        sum = sum.saturating_add(read_segment(block, taken, bits, sink)?);
        block.set_passes((done + taken) % 3);
        left -= taken;
    }
    Ok(sum)
}

const fn part_1_passes(passes: u16) -> u16 {
    if passes < BYPASS_START { passes } else { BYPASS_START + (passes - BYPASS_START) % 3 }
}

/// Passes before the first raw one: the first cleanup and three bit-planes of three.
const BYPASS_START: u16 = 10;
/// Longest length field that decoders take.
const MAX_LENGTH_BITS: u32 = 32;
