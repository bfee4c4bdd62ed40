//! What a scan learns as it goes: contexts, and the parameters that do not change [14495-1 A.2, A.6, A.7].

use super::markers::{FrameHeader, Presets};
use crate::Error;

/// The parameters of a scan [14495-1 A.2.1, C.2.4.1.1].
pub(super) struct Parameters {
    pub(super) most: i32,
    pub(super) near: i32,
    pub(super) range: i32,
    /// Bits of a number that is not Golomb-coded.
    pub(super) plain: u32,
    /// Longest Golomb code.
    pub(super) limit: u32,
    thresholds: [i32; 3],
    reset: i32,
}

/// One of the contexts of single samples.
#[derive(Clone, Copy)]
pub(super) struct Context {
    a: i32,
    b: i32,
    pub(super) c: i32,
    n: i32,
}

/// One of the two contexts of the samples that end a run.
#[derive(Clone, Copy)]
pub(super) struct RunContext {
    a: i32,
    n: i32,
    negative: i32,
}

impl Parameters {
    pub(super) fn new(frame: &FrameHeader, presets: &Presets, near: i32) -> Result<Self, Error> {
        const WRONG: Error = Error::Malformed("JPEG-LS parameters that contradict each other");
        let deepest = (1 << frame.precision) - 1;
        let most = if presets.most == 0 { deepest } else { presets.most };
        if most > deepest || near > 255.min(most / 2) {
            return Err(WRONG);
        }
        let range = if near == 0 { most + 1 } else { (most + 2 * near) / (2 * near + 1) + 1 };
        let depth = bits_for(most).max(2);
        let thresholds = presets.thresholds;
        let defaults = defaults(most, near);
        let mut settled = [0; 3];
        for ((to, given), default) in settled.iter_mut().zip(thresholds).zip(defaults) {
            *to = if given == 0 { default } else { given };
        }
        if !settled.is_sorted() || settled[0] <= near || settled[2] > most {
            return Err(WRONG);
        }
        let reset = if presets.reset == 0 { 64 } else { presets.reset };
        if reset < 3 {
            return Err(WRONG);
        }
        let limit = 2 * (depth + depth.max(8));
        Ok(Self { most, near, range, plain: bits_for(range - 1), limit, thresholds: settled, reset })
    }

    /// The region of a gradient, -4 to 4 [14495-1 A.3.3].
    pub(super) fn quantize(&self, gradient: i32) -> i32 {
        let [t1, t2, t3] = self.thresholds;
        let size = gradient.abs();
        let region = match size {
            _ if size <= self.near => 0,
            _ if size < t1 => 1,
            _ if size < t2 => 2,
            _ if size < t3 => 3,
            _ => 4,
        };
        region * gradient.signum()
    }

    /// A prediction and its error, put together [14495-1 A.4.5, A.5.2].
    pub(super) fn reconstruct(&self, prediction: i32, error: i32) -> i32 {
        let step = 2 * self.near + 1;
        let mut sample = prediction + error * step;
        if sample < -self.near {
            sample += self.range * step;
        } else if sample > self.most + self.near {
            sample -= self.range * step;
        }
        sample.clamp(0, self.most)
    }

    pub(super) fn context(&self) -> Context {
        Context { a: self.first_a(), b: 0, c: 0, n: 1 }
    }

    pub(super) fn run_context(&self) -> RunContext {
        RunContext { a: self.first_a(), n: 1, negative: 0 }
    }

    fn first_a(&self) -> i32 {
        ((self.range + 32) / 64).max(2)
    }
}

impl Context {
    /// The Golomb parameter [14495-1 A.5.1].
    pub(super) fn k(&self) -> u32 {
        golomb_k(self.a, self.n)
    }

    /// The error that a code stands for [14495-1 A.5.2].
    pub(super) fn error(&self, code: i32, k: u32, near: i32) -> i32 {
        let is_odd = code & 1 == 1;
        if near == 0 && k == 0 && 2 * self.b <= -self.n {
            return if is_odd { (code - 1) / 2 } else { -(code / 2) - 1 };
        }
        if is_odd { -(code / 2) - 1 } else { code / 2 }
    }

    /// Learns from an error [14495-1 A.6].
    pub(super) fn learn(&mut self, error: i32, parameters: &Parameters) {
        self.b = self.b.saturating_add(error * (2 * parameters.near + 1));
        self.a = self.a.saturating_add(error.abs());
        if self.n == parameters.reset {
            self.a >>= 1;
            self.b >>= 1;
            self.n >>= 1;
        }
        self.n += 1;
        if self.b <= -self.n {
            self.b = (self.b + self.n).max(1 - self.n);
            self.c = (self.c - 1).max(-128);
        } else if self.b > 0 {
            self.b = (self.b - self.n).min(0);
            self.c = (self.c + 1).min(127);
        }
    }
}

impl RunContext {
    /// The Golomb parameter; `alike` is 1 where left and upper neighbour are alike [14495-1 A.7.2].
    pub(super) fn k(&self, alike: i32) -> u32 {
        golomb_k(self.a + (self.n >> 1) * alike, self.n)
    }

    /// The error that a code stands for, learnt from.
    pub(super) fn error(&mut self, code: i32, k: u32, alike: i32, parameters: &Parameters) -> i32 {
        let doubled = code.saturating_add(alike);
        let is_mapped = doubled & 1 == 1;
        let size = doubled / 2 + i32::from(is_mapped);
        let is_negative = (k != 0 || 2 * self.negative >= self.n) == is_mapped;
        let error = if is_negative { -size } else { size };
        if error < 0 {
            self.negative += 1;
        }
        self.a = self.a.saturating_add((code.saturating_add(1) - alike) >> 1);
        if self.n == parameters.reset {
            self.a >>= 1;
            self.n >>= 1;
            self.negative >>= 1;
        }
        self.n += 1;
        error
    }
}

fn golomb_k(a: i32, n: i32) -> u32 {
    (0..30).find(|k| i64::from(n) << k >= i64::from(a)).unwrap_or(30)
}

fn bits_for(most: i32) -> u32 {
    i32::BITS - most.leading_zeros()
}

/// Thresholds where none are given [14495-1 C.2.4.1.1.1].
fn defaults(most: i32, near: i32) -> [i32; 3] {
    let within = |value: i32, least: i32| if value > most || value < least { least } else { value };
    let [first, second, third] = if most >= 128 {
        let factor = (most.min(4095) + 128) / 256;
        [factor + 2 + 3 * near, 4 * factor + 3 + 5 * near, 17 * factor + 4 + 7 * near]
    } else {
        let factor = 256 / (most + 1);
        [(3 / factor + 3 * near).max(2), (7 / factor + 5 * near).max(3), (21 / factor + 7 * near).max(4)]
    };
    let first = within(first, near + 1);
    let second = within(second, first);
    [first, second, within(third, second)]
}
