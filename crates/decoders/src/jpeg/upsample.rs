//! Colour differences of half the resolution brought to that of the frame: between two samples a triangle filter, as
//! the Independent JPEG Group's decoder does and its users expect; by other factors each sample is repeated.

/// A component at its own resolution.
pub(super) struct Plane {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) samples: Vec<i32>,
}

/// The component grown by a factor across and down, cut to the size of the frame.
pub(super) fn grow(plane: &Plane, factors: (u8, u8), (width, height): (usize, usize)) -> Vec<i32> {
    let rows: Vec<&[i32]> = plane.samples.chunks_exact(plane.width.max(1)).collect();
    let row = |at: usize| rows.get(at.min(plane.height.saturating_sub(1))).copied().unwrap_or_default();
    let is_filtered = plane.width > 2;
    let mut grown = Vec::with_capacity(width * height);
    for y in 0..height {
        let at = y / usize::from(factors.1);
        // The row that lies nearest but one, above for the upper of two.
        let near = if y % 2 == 0 { at.saturating_sub(1) } else { at + 1 };
        match factors {
            (1, 1) => grown.extend(row(at).iter().take(width)),
            (2, 1) if is_filtered => grown.extend(doubled(row(at)).take(width)),
            (1, 2) => {
                let bias = if y % 2 == 0 { 1 } else { 2 };
                let between = row(at).iter().zip(row(near)).map(|(this, near)| (3 * this + near + bias) >> 2);
                grown.extend(between.take(width));
            }
            (2, 2) if is_filtered => {
                let sums: Vec<i32> = row(at).iter().zip(row(near)).map(|(this, near)| 3 * this + near).collect();
                grown.extend(doubled_sums(&sums).take(width));
            }
            (h, _) => {
                let repeated = row(at).iter().flat_map(|&sample| std::iter::repeat_n(sample, usize::from(h)));
                grown.extend(repeated.take(width));
            }
        }
    }
    grown
}

/// A row with twice as many samples.
fn doubled(row: &[i32]) -> impl Iterator<Item = i32> + '_ {
    neighbours(row).flat_map(|(before, this, after)| {
        let left = before.map_or(this, |before| (3 * this + before + 1) >> 2);
        let right = after.map_or(this, |after| (3 * this + after + 2) >> 2);
        [left, right]
    })
}

/// As above, of sums that are four times as large.
fn doubled_sums(row: &[i32]) -> impl Iterator<Item = i32> + '_ {
    neighbours(row).flat_map(|(before, this, after)| {
        let left = (3 * this + before.unwrap_or(this) + 8) >> 4;
        let right = (3 * this + after.unwrap_or(this) + 7) >> 4;
        [left, right]
    })
}

fn neighbours(row: &[i32]) -> impl Iterator<Item = (Option<i32>, i32, Option<i32>)> + '_ {
    row.iter().enumerate().map(|(at, &this)| {
        let before = at.checked_sub(1).and_then(|at| row.get(at)).copied();
        (before, this, row.get(at + 1).copied())
    })
}
