//! The reversible multiple component transform, forward [15444-1 G.2.1].

use openjpeg::{Component, Image};

/// Whether the first three components are alike, as the transform needs.
pub(crate) fn applies(image: &Image) -> bool {
    let [first, second, third, ..] = image.components.as_slice() else { return false };
    let shape = |c: &Component| (c.width, c.height, c.dx, c.dy, c.precision, c.signed);
    shape(first) == shape(second) && shape(first) == shape(third)
}

/// Y, U and V of three components, as the samples that an encoder takes which still shifts levels.
///
/// The level shift of unsigned samples goes through Y unchanged, and cancels in U and V, where it is therefore added.
/// Samples have at most 28 bits, so that no sum leaves 32.
pub(crate) fn forward(components: [&Component; 3]) -> [Vec<i32>; 3] {
    let [red, green, blue] = components;
    let shift = if red.signed { 0 } else { 1i32 << (red.precision - 1) };
    let samples = || red.samples.iter().zip(&green.samples).zip(&blue.samples);
    [
        samples().map(|((r, g), b)| (r + 2 * g + b) >> 2).collect(),
        samples().map(|((_, g), b)| b - g + shift).collect(),
        samples().map(|((r, g), _)| r - g + shift).collect(),
    ]
}
