//! The inverse DCT in whole numbers by the factorisation of Loeffler, Ligtenberg and Moschytz, rounded where the
//! Independent JPEG Group's accurate method rounds, so that samples are the same to the last bit.

/// Samples of a block from its coefficients in natural order, before the level shift.
pub(super) fn inverse(coefficients: &[i64; 64], precision: u8) -> [i64; 64] {
    // Bits that are kept between the passes: one fewer for samples of 12 bits.
    let kept = if precision == 8 { 2 } else { 1 };
    let columns = transpose(&pass(&transpose(coefficients), SCALE - kept));
    pass(&columns, SCALE + kept + 3)
}

/// Bits behind the point of the constants.
const SCALE: u32 = 13;

/// Transforms each row and takes bits off the results, rounding.
fn pass(block: &[i64; 64], descale: u32) -> [i64; 64] {
    let mut out = [0; 64];
    for (to, from) in out.chunks_exact_mut(8).zip(block.chunks_exact(8)) {
        let Ok(row) = <&[i64; 8]>::try_from(from) else { continue };
        for (to, value) in to.iter_mut().zip(line(row)) {
            *to = (value + (1 << (descale - 1))) >> descale;
        }
    }
    out
}

fn line(x: &[i64; 8]) -> [i64; 8] {
    let even = (x[2] + x[6]) * 4433;
    let (even2, even3) = (even - x[6] * 15_137, even + x[2] * 6270);
    let (sum, difference) = ((x[0] + x[4]) << SCALE, (x[0] - x[4]) << SCALE);
    let (e0, e3, e1, e2) = (sum + even3, sum - even3, difference + even2, difference - even2);

    let all = (x[7] + x[3] + x[5] + x[1]) * 9633;
    let (a, b) = ((x[7] + x[1]) * -7373, (x[5] + x[3]) * -20_995);
    let (c, d) = ((x[7] + x[3]) * -16_069 + all, (x[5] + x[1]) * -3196 + all);
    let (o0, o1) = (x[7] * 2446 + a + c, x[5] * 16_819 + b + d);
    let (o2, o3) = (x[3] * 25_172 + b + c, x[1] * 12_299 + a + d);
    [e0 + o3, e1 + o2, e2 + o1, e3 + o0, e3 - o0, e2 - o1, e1 - o2, e0 - o3]
}

fn transpose(block: &[i64; 64]) -> [i64; 64] {
    let mut out = [0; 64];
    for (column, to) in out.chunks_exact_mut(8).enumerate() {
        to.iter_mut().zip(block.iter().skip(column).step_by(8)).for_each(|(to, from)| *to = *from);
    }
    out
}
