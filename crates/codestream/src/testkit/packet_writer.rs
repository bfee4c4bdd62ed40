//! Packet headers and bodies of made-up code-blocks [15444-1 B.10].

/// Small deterministic generator (xorshift); quality does not matter here.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn below(&mut self, end: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 20) as u32) % end.max(1)
    }
}

/// Everything that the packets of one precinct share.
pub(super) struct PrecinctWriter {
    bands: Vec<Band>,
    style: u8,
    bit_planes: u32,
}

struct Band {
    blocks: Vec<Block>,
    inclusion: TagTree,
    bit_planes: TagTree,
}

struct Block {
    first_layer: u32,
    missing_bit_planes: u32,
    passes: u32,
    lblock: u32,
}

impl PrecinctWriter {
    /// `bands` are code-block counts; `bit_planes` is `M_b`, the same for all bands [15444-1 E.1].
    pub(super) fn new(bands: &[(u64, u64)], layers: u16, style: u8, bit_planes: u32, dice: &mut Dice) -> Self {
        let bands = bands.iter().map(|&(across, down)| {
            let block = |dice: &mut Dice| Block {
                // One more than the layers: never included.
                first_layer: dice.below(u32::from(layers) + 1).min(dice.below(u32::from(layers) + 1)),
                missing_bit_planes: dice.below(6),
                passes: 0,
                lblock: 3,
            };
            let blocks: Vec<Block> = (0..across * down).map(|_| block(dice)).collect();
            let leaves = |value: fn(&Block) -> u32| blocks.iter().map(value).collect::<Vec<_>>();
            Band {
                inclusion: TagTree::new(across as usize, down as usize, leaves(|b| b.first_layer)),
                bit_planes: TagTree::new(across as usize, down as usize, leaves(|b| b.missing_bit_planes)),
                blocks,
            }
        });
        Self { bands: bands.collect(), style, bit_planes }
    }

    /// Header and body of the packet of one layer; layers must be asked for in order.
    pub(super) fn packet(&mut self, layer: u16, empty: bool, dice: &mut Dice) -> (Vec<u8>, Vec<u8>) {
        let mut bits = BitWriter::default();
        let mut body = Vec::new();
        // A block whose first layer has come must be included in it: the inclusion tree says so.
        let due = self.bands.iter().flat_map(|b| &b.blocks).any(|b| b.first_layer == u32::from(layer));
        if empty && !due {
            bits.put(0);
            return (bits.finish(), body);
        }
        bits.put(1);
        for band in &mut self.bands {
            for (leaf, block) in band.blocks.iter_mut().enumerate() {
                let first = block.passes == 0;
                let included = if first {
                    band.inclusion.write(leaf, u32::from(layer) + 1, &mut bits);
                    block.first_layer <= u32::from(layer)
                } else {
                    let included = dice.below(3) > 0 && room(self.style, self.bit_planes, block) > 0;
                    bits.put(u32::from(included));
                    included
                };
                if !included {
                    continue;
                }
                if first {
                    band.bit_planes.write(leaf, block.missing_bit_planes + 1, &mut bits);
                }
                let most = room(self.style, self.bit_planes, block);
                let passes = match dice.below(12) {
                    0 => 1 + dice.below(most),
                    1..4 => 1 + dice.below(most.min(20)),
                    _ => 1 + dice.below(most.min(4)),
                };
                write_passes(passes, &mut bits);
                let segments = segments(self.style, block.passes, passes);
                let lengths: Vec<u32> = segments.iter().map(|_| 2 + dice.below(30)).collect();
                let need = segments
                    .iter()
                    .zip(&lengths)
                    .map(|(&n, &len)| (32 - len.leading_zeros()).saturating_sub(n.ilog2()));
                let raise = need.max().unwrap_or(0).saturating_sub(block.lblock);
                (0..raise).for_each(|_| bits.put(1));
                bits.put(0);
                block.lblock += raise;
                for (&n, &len) in segments.iter().zip(&lengths) {
                    bits.put_bits(len, block.lblock + n.ilog2());
                    // Below 0x90, so that no marker can be seen in a body.
                    body.extend((0..len).map(|_| dice.below(0x90) as u8));
                }
                if self.style & 0x40 != 0 && block.passes == 0 {
                    // The two last bytes of an HT cleanup segment tell its suffix length: 2 here.
                    let end = body.len() - lengths.iter().skip(1).sum::<u32>() as usize;
                    body[end - 2..end].copy_from_slice(&[2, 0]);
                }
                block.passes += passes;
            }
        }
        (bits.finish(), body)
    }
}

/// How many more passes a block may have: one HT set, or three a bit-plane but for the first.
fn room(style: u8, bit_planes: u32, block: &Block) -> u32 {
    let most = if style & 0x40 != 0 { 3 } else { 3 * (bit_planes - block.missing_bit_planes) - 2 };
    most - block.passes
}

/// Passes of each codeword segment of a contribution [15444-1 B.10.7, D.4.2, 15444-15 B.2].
fn segments(style: u8, done: u32, passes: u32) -> Vec<u32> {
    let ends_after = |pass: u32| {
        if style & 0x40 != 0 {
            return pass == 0 || pass == 2;
        }
        if style & 4 != 0 {
            return true;
        }
        // Selective bypass: the first ten passes, then raw pairs and single cleanup passes.
        style & 1 != 0 && pass >= 9 && pass % 3 != 1
    };
    let mut found = vec![0];
    for pass in done..done + passes {
        *found.last_mut().expect("never empty") += 1;
        if ends_after(pass) && pass + 1 < done + passes {
            found.push(0);
        }
    }
    found
}

fn write_passes(passes: u32, bits: &mut BitWriter) {
    match passes {
        1 => bits.put(0),
        2 => bits.put_bits(0b10, 2),
        3..=5 => bits.put_bits(0b1100 + passes - 3, 4),
        6..=36 => bits.put_bits((0b1111 << 5) + passes - 6, 9),
        _ => bits.put_bits((0b1_1111_1111 << 7) + passes - 37, 16),
    }
}

/// Bits with a stuffed zero after every byte 0xFF [15444-1 B.10.1].
#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    partial: u8,
    filled: u32,
}

impl BitWriter {
    fn put(&mut self, bit: u32) {
        let room = if self.bytes.last() == Some(&0xFF) { 7 } else { 8 };
        self.partial = self.partial << 1 | (bit & 1) as u8;
        self.filled += 1;
        if self.filled == room {
            self.bytes.push(self.partial);
            (self.partial, self.filled) = (0, 0);
        }
    }

    fn put_bits(&mut self, value: u32, count: u32) {
        for bit in (0..count).rev() {
            self.put(value >> bit);
        }
    }

    fn finish(mut self) -> Vec<u8> {
        while self.filled > 0 {
            self.put(0);
        }
        if self.bytes.last() == Some(&0xFF) {
            self.bytes.push(0);
        }
        self.bytes
    }
}

/// A tag tree, written leaf by leaf [15444-1 B.10.2].
struct TagTree {
    /// Leaves first; each level: width, height, nodes.
    levels: Vec<(usize, usize, Vec<Node>)>,
}

#[derive(Clone, Copy)]
struct Node {
    value: u32,
    low: u32,
    known: bool,
}

impl TagTree {
    fn new(width: usize, height: usize, leaves: Vec<u32>) -> Self {
        let node = |value| Node { value, low: 0, known: false };
        let mut levels = vec![(width, height, leaves.into_iter().map(node).collect::<Vec<_>>())];
        while let Some((w, h, below)) = levels.last().filter(|(w, h, _)| w * h > 1) {
            let (up_w, up_h) = (w.div_ceil(2), h.div_ceil(2));
            let mut up = vec![node(u32::MAX); up_w * up_h];
            for (at, child) in below.iter().enumerate() {
                let parent = &mut up[(at / w / 2) * up_w + (at % w) / 2];
                parent.value = parent.value.min(child.value);
            }
            let _ = h;
            levels.push((up_w, up_h, up));
        }
        Self { levels }
    }

    /// Tells the reader whether the leaf's value is below `threshold`, as far as it does not know.
    fn write(&mut self, leaf: usize, threshold: u32, bits: &mut BitWriter) {
        let width = self.levels[0].0;
        let (x, y) = (leaf % width, leaf / width);
        let mut low = 0;
        for (level, (width, _, nodes)) in self.levels.iter_mut().enumerate().rev() {
            let node = &mut nodes[(y >> level) * *width + (x >> level)];
            low = low.max(node.low);
            while low < threshold {
                if low >= node.value {
                    if !node.known {
                        bits.put(1);
                        node.known = true;
                    }
                    break;
                }
                bits.put(0);
                low += 1;
            }
            node.low = low;
        }
    }
}
