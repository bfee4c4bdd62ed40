use proptest::prelude::*;

use super::*;

/// Levels of one direction, lowest first, for samples `start..end` at full size.
fn axis(start: u32, end: u32, levels: u8, exponents: &[u8]) -> Vec<LevelAxis> {
    let up = |value: u32, offset: u32, shift: u8| (u64::from(value.saturating_sub(offset)).div_ceil(1 << shift)) as u32;
    (0..=levels)
        .map(|level| {
            let shift = levels - level;
            let samples = (up(start, 0, shift), up(end, 0, shift));
            let exponent = exponents[usize::from(level) % exponents.len()].max(1);
            let precincts = if samples.0 < samples.1 {
                ((u64::from(samples.1).div_ceil(1 << exponent)) - u64::from(samples.0 >> exponent)) as u32
            } else {
                0
            };
            let half = 1u32 << shift;
            let low = (level > 0).then(|| (up(start, 0, shift + 1), up(end, 0, shift + 1)));
            let high = (level > 0).then(|| (up(start, half, shift + 1), up(end, half, shift + 1)));
            LevelAxis { samples, low, high, exponent, precincts }
        })
        .collect()
}

/// One synthesis step on interleaved samples that begin at `start`, with whole-sample symmetric extension.
fn synthesize(start: i64, values: &mut [f64], wavelet: Wavelet) {
    let n = values.len() as i64;
    if n == 1 {
        return;
    }
    let steps: &[(i64, f64)] = match wavelet {
        Wavelet::Reversible53 => &[(0, -0.25), (1, 0.5)],
        Wavelet::Irreversible97 => {
            &[(0, -0.443_506_852), (1, -0.882_911_075_5), (0, 0.052_980_118_5), (1, 1.586_134_342)]
        }
    };
    let mirror = |i: i64| {
        let period = 2 * (n - 1);
        let i = i.rem_euclid(period);
        if i < n { i } else { period - i }
    };
    for &(parity, weight) in steps {
        let before = values.to_vec();
        for i in 0..n {
            if (start + i).rem_euclid(2) == parity {
                let sides = before[mirror(i - 1) as usize] + before[mirror(i + 1) as usize];
                values[i as usize] += weight * sides;
            }
        }
    }
}

/// Whether samples `wanted` of level `top` depend on the coefficient `index` of a sub-band of `level`.
fn depends(
    axis: &[LevelAxis],
    top: usize,
    level: usize,
    high: bool,
    index: u64,
    wanted: (u64, u64),
    w: Wavelet,
) -> bool {
    let mut lower: Vec<f64> = Vec::new();
    for (n, &here) in axis.iter().enumerate().take(top + 1) {
        let (start, end) = (u64::from(here.samples.0), u64::from(here.samples.1));
        let mut values = vec![0.0; (end - start) as usize];
        if n == 0 {
            if level == 0 {
                values[(index - start) as usize] = 1.0;
            }
        } else {
            let low_start = u64::from(here.low.unwrap().0);
            for (i, value) in values.iter_mut().enumerate() {
                let position = start + i as u64;
                if position.is_multiple_of(2) {
                    *value = lower[(position / 2 - low_start) as usize];
                } else if n == level && high && position / 2 == index {
                    *value = 1.0;
                }
            }
            synthesize(start as i64, &mut values, w);
        }
        lower = values;
    }
    let start = u64::from(axis[top].samples.0);
    (wanted.0..wanted.1).any(|sample| lower[(sample - start) as usize].abs() > 1e-9)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every coefficient that a sample of the region depends on lies in a precinct that is selected.
    #[test]
    fn no_coefficient_is_missing(
        start in 0u32..40, len in 1u32..50, levels in 0u8..5, discard in 0u8..3,
        exponents in prop::collection::vec(1u8..5, 1..4),
        from in 0.0f64..1.0, size in 0.0f64..1.0, reversible: bool,
    ) {
        let axis = axis(start, start + len, levels, &exponents);
        let top = usize::from(levels.saturating_sub(discard));
        let (s0, s1) = axis[top].samples;
        prop_assume!(s0 < s1);
        let u0 = u64::from(s0) + (from * f64::from(s1 - s0)) as u64;
        let u1 = (u0 + 1 + (size * 12.0) as u64).min(u64::from(s1));
        let wavelet = if reversible { Wavelet::Reversible53 } else { Wavelet::Irreversible97 };
        let found = intervals(&axis, top as u8, (u0, u1), wavelet);
        prop_assert_eq!(found.len(), top + 1);
        for level in 0..=top {
            let here = axis[level];
            let bands: Vec<((u32, u32), bool, u8)> = match (here.low, here.high) {
                (Some(_), Some(high)) => vec![(high, true, here.exponent - 1)],
                _ => vec![(here.samples, false, here.exponent)],
            };
            for (band, high, exponent) in bands {
                for index in u64::from(band.0)..u64::from(band.1) {
                    let cell = ((index >> exponent) - (u64::from(here.samples.0) >> here.exponent)) as u32;
                    let selected = found[level].0 <= cell && cell < found[level].1;
                    if !selected {
                        prop_assert!(!depends(&axis, top, level, high, index, (u0, u1), wavelet),
                            "level {} high {} index {} of {:?}", level, high, index, (u0, u1));
                    }
                }
            }
            // The region widened by four samples of the level's own grid, as clients compute it.
            let depth = top - level;
            let (g0, g1) = ((u0 >> depth).saturating_sub(4), u1.div_ceil(1 << depth) + 4);
            for sample in g0.max(u64::from(here.samples.0))..g1.min(u64::from(here.samples.1)) {
                let cell = ((sample >> here.exponent) - (u64::from(here.samples.0) >> here.exponent)) as u32;
                prop_assert!(found[level].0 <= cell && cell < found[level].1);
            }
        }
    }
}

#[test]
fn the_support_is_not_larger_than_the_table_says() {
    // Precincts of two samples make the support itself visible; level 0 is 64 samples wide, top is level 2.
    let axis = axis(0, 256, 2, &[1]);
    let found = intervals(&axis, 2, (128, 130), Wavelet::Reversible53);
    // Level 2: high 63..=65 and low 64..=65 against 124..134 of the grid.
    assert_eq!(found[2], (62, 67));
    assert_eq!(found[0], ((32 - 4) / 2, (33 + 4_u32).div_ceil(2)));
}
