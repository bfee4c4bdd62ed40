//! Ellipses, grain and cloudy texture, from integer arithmetic and exact float operations only: the
//! samples must be the same on every machine.

/// An ellipse on a plane that runs from -1 to 1 in both directions.
pub(crate) struct Ellipse {
    pub(crate) x: f32,
    pub(crate) y: f32,
    /// Half axes.
    pub(crate) a: f32,
    pub(crate) b: f32,
}

impl Ellipse {
    /// 0 in the middle, 1 on the edge: the square of the distance in half axes.
    pub(crate) fn distance(&self, x: f32, y: f32) -> f32 {
        let (dx, dy) = ((x - self.x) / self.a, (y - self.y) / self.b);
        dx * dx + dy * dy
    }

    pub(crate) fn holds(&self, x: f32, y: f32) -> bool {
        self.distance(x, y) < 1.0
    }
}

/// Numbers without visible order, a sequence for each seed (xorshift).
pub(crate) struct Grain(u32);

impl Grain {
    pub(crate) fn new(seed: u32) -> Self {
        Self(hash(seed, 0, 0) | 1)
    }

    /// Between -128 and 127, those in the middle more often: two dice.
    pub(crate) fn next(&mut self) -> i32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        let [a, b, ..] = self.0.to_be_bytes();
        (i32::from(a) + i32::from(b)) / 2 - 128
    }
}

/// Clouds between 0 and 1: lattice noise in `octaves` sizes, the largest `size` samples wide.
pub(crate) fn clouds(x: u32, y: u32, size: u32, octaves: u32, seed: u32) -> f32 {
    let mut sum = 0.0;
    let mut weight = 0.5;
    let mut size = size;
    for octave in 0..octaves {
        sum += weight * lattice(x, y, size.max(1), seed.wrapping_add(octave));
        weight /= 2.0;
        size /= 2;
    }
    sum
}

/// Values at the corners of a lattice, joined smoothly in between.
fn lattice(x: u32, y: u32, size: u32, seed: u32) -> f32 {
    let (column, row) = (x / size, y / size);
    let smooth = |at: u32| {
        let t = (at % size) as f32 / size as f32;
        t * t * (3.0 - 2.0 * t)
    };
    let corner = |dx, dy| (hash(seed, column + dx, row + dy) >> 8) as f32 / (1 << 24) as f32;
    let (tx, ty) = (smooth(x), smooth(y));
    let upper = corner(0, 0) + tx * (corner(1, 0) - corner(0, 0));
    let lower = corner(0, 1) + tx * (corner(1, 1) - corner(0, 1));
    upper + ty * (lower - upper)
}

pub(crate) fn hash(seed: u32, x: u32, y: u32) -> u32 {
    let mut bits = seed.wrapping_mul(0x9e37_79b1) ^ x.wrapping_mul(0x85eb_ca77) ^ y.wrapping_mul(0xc2b2_ae3d);
    for _ in 0..2 {
        bits ^= bits >> 15;
        bits = bits.wrapping_mul(0x2c1b_3c6d);
        bits ^= bits >> 12;
        bits = bits.wrapping_mul(0x297a_2d39);
    }
    bits ^ bits >> 15
}

/// Where the middle of sample `at` of `count` lies between -1 and 1.
pub(crate) fn position(at: u32, count: u32) -> f32 {
    (2 * at + 1) as f32 / count as f32 - 1.0
}
