//! Which samples the window stands for, on the image at the size that was served.

use codestream::MainHeader;
use codestream::markers::Siz;
use codestream::rect::ceil_shift;
use jpip::view_window::ViewWindow;

use super::exchange::AnswerHeaders;

/// A half-open rectangle of the reference grid divided by a power of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Region {
    /// Resolution levels left out: 0 is full size.
    pub(super) discard_levels: u8,
    pub(super) x0: u32,
    pub(super) y0: u32,
    pub(super) x1: u32,
    pub(super) y1: u32,
}

impl Region {
    /// The region that the server says it served; where it says nothing, the one that was asked for.
    ///
    /// # Errors
    ///
    /// When no sample of the image lies in it.
    pub(super) fn served(wanted: &jpip::Request, answer: &AnswerHeaders, header: &MainHeader) -> anyhow::Result<Self> {
        let siz = header.siz();
        let asked = match wanted.fsiz {
            Some(fsiz) => ViewWindow::map(fsiz, wanted.roff, wanted.rsiz, siz, header.max_decomposition_levels()),
            None => ViewWindow::whole(siz),
        };
        let frame = answer.fsiz.unwrap_or(asked.frame);
        // Of sizes that repeat (1×1 at several levels) the one that was expected is the one that is meant.
        let levels = std::iter::once(asked.discard_levels).chain(0..=MAX_LEVELS);
        let discard_levels = levels.into_iter().find(|&discard| siz.reduced_size(discard) == frame);
        let discard_levels = discard_levels.ok_or_else(|| {
            anyhow::anyhow!("the server speaks of a frame of {} by {}, which this image has not", frame.0, frame.1)
        })?;
        let (offset, size) = (answer.roff.unwrap_or(asked.offset), answer.rsiz.unwrap_or(asked.size));
        let region = Self::inside(siz, discard_levels, offset, size);
        anyhow::ensure!(region.x0 < region.x1 && region.y0 < region.y1, "the window holds no sample of the image");
        Ok(region)
    }

    fn inside(siz: &Siz, discard_levels: u8, offset: (u32, u32), size: (u32, u32)) -> Self {
        let frame = siz.reduced_size(discard_levels);
        let x0 = ceil_shift(siz.xosiz, u32::from(discard_levels));
        let y0 = ceil_shift(siz.yosiz, u32::from(discard_levels));
        let cut = |offset: u32, size: u32, frame: u32| (offset.min(frame), offset.saturating_add(size).min(frame));
        let (left, right) = cut(offset.0, size.0, frame.0);
        let (upper, lower) = cut(offset.1, size.1, frame.1);
        Self { discard_levels, x0: x0 + left, y0: y0 + upper, x1: x0 + right, y1: y0 + lower }
    }
}

/// Most decomposition levels that a codestream can have [15444-1 A.6.1].
const MAX_LEVELS: u8 = 32;
