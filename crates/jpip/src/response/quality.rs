//! How many quality layers a request wants: `layers` and `quality` [15444-9 C.4.9, C.6.2].
//!
//! The scale of `quality` is the server's own. Here `q` stands for the first `q` of a hundred parts of the quality
//! layers that there are, rounded up, and never for less than one layer: with five layers 40 is two, 41 three. What
//! a layer is worth is known to whoever encoded the image alone, so nothing finer would be honest; where there is one
//! layer, every quality is all of it. The answer names the quality that was served in the same terms.

use crate::request::Request;

/// The bounds that one request sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LayerLimits {
    layers: Option<u32>,
    quality: Option<u8>,
}

impl LayerLimits {
    pub(super) const fn of(request: &Request) -> Self {
        Self { layers: request.layers, quality: request.quality }
    }

    /// Layers wanted of so many.
    pub(super) fn wanted(self, available: u16) -> u16 {
        self.asked(available).min(self.of_quality(available))
    }

    /// Layers that would be wanted of so many if it were not for `quality`.
    pub(super) fn asked(self, available: u16) -> u16 {
        self.layers.and_then(|layers| u16::try_from(layers).ok()).map_or(available, |layers| layers.min(available))
    }

    /// Whether `quality` keeps layers back that would go out without it.
    pub(super) fn is_cut_by_quality(self, available: u16) -> bool {
        self.of_quality(available) < self.asked(available)
    }

    /// The quality that is served of so many layers; `None` if the request does not speak of it.
    pub(super) fn served_quality(self, available: u16) -> Option<u8> {
        self.quality?;
        let served = u32::from(self.wanted(available)) * 100 / u32::from(available.max(1));
        u8::try_from(served).ok()
    }

    fn of_quality(self, available: u16) -> u16 {
        let Some(quality) = self.quality else { return available };
        let layers = (u32::from(quality.min(100)) * u32::from(available)).div_ceil(100).max(1);
        u16::try_from(layers).unwrap_or(u16::MAX).min(available)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_6_2_quality_is_a_share_of_the_layers() {
        let of = |quality, available| LayerLimits { layers: None, quality: Some(quality) }.wanted(available);
        assert_eq!([0, 1, 20, 21, 40, 41, 99, 100].map(|quality| of(quality, 5)), [1, 1, 1, 2, 2, 3, 5, 5]);
        assert_eq!([0, 50, 100].map(|quality| of(quality, 1)), [1, 1, 1]);
        assert_eq!(of(50, u16::MAX), 32_768);
        assert_eq!(of(7, 0), 0);
        for available in [1, 2, 3, 7, 100, u16::MAX] {
            assert!((0..=100).map(|quality| of(quality, available)).is_sorted());
            assert_eq!(of(100, available), available, "100 is everything");
        }
    }

    #[test]
    fn the_lower_bound_counts_and_quality_is_named_only_where_it_is_that() {
        let limits = |layers, quality| LayerLimits { layers, quality };
        assert_eq!(limits(Some(2), Some(80)).wanted(5), 2);
        assert!(!limits(Some(2), Some(80)).is_cut_by_quality(5));
        assert_eq!(limits(Some(4), Some(40)).wanted(5), 2);
        assert!(limits(Some(4), Some(40)).is_cut_by_quality(5));
        assert_eq!(limits(Some(70_000), None).wanted(5), 5);
        assert_eq!(limits(Some(0), Some(1)).wanted(5), 0);
        assert!(!limits(None, Some(99)).is_cut_by_quality(5), "all five");
        assert_eq!(limits(None, Some(50)).served_quality(1), Some(100));
        assert_eq!(limits(None, Some(50)).served_quality(3), Some(66));
        assert_eq!(limits(Some(1), Some(80)).served_quality(5), Some(20));
        assert_eq!(limits(Some(1), None).served_quality(3), None);
    }
}
