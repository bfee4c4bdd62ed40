//! Regions of interest: `<roi name="…" x="…" y="…" w="…" h="…"/>`.

use crate::error::AnnotationError;
use crate::limits::Limits;
use crate::xml::Element;

/// A named rectangle, in samples of the image at full size, from its upper left corner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Region {
    /// Its name, verbatim: a user interface escapes it.
    pub name: String,
    /// First column.
    pub x: u32,
    /// First row.
    pub y: u32,
    /// Columns, at least 1.
    pub width: u32,
    /// Rows, at least 1.
    pub height: u32,
}

impl Region {
    /// The region as far as it lies inside an image of this size; `None` if nothing of it does.
    #[must_use]
    pub fn inside(&self, width: u32, height: u32) -> Option<Self> {
        let columns = width.checked_sub(self.x)?.min(self.width);
        let rows = height.checked_sub(self.y)?.min(self.height);
        (columns > 0 && rows > 0).then(|| Self { width: columns, height: rows, ..self.clone() })
    }

    /// The region that the element tells of; `None` if it is not one: a number is missing, or no whole number that
    /// fits, or the name is.
    pub(crate) fn of(element: &Element<'_>, limits: &Limits) -> Result<Option<Self>, AnnotationError> {
        let (mut name, mut numbers) = (None, [None; 4]);
        element.for_each_attribute(limits, |key, value| {
            let place = match key {
                b"name" => {
                    name.get_or_insert(value.into_owned());
                    return;
                }
                b"x" => 0,
                b"y" => 1,
                b"w" => 2,
                b"h" => 3,
                _ => return,
            };
            if let Some(slot) = numbers.get_mut(place)
                && slot.is_none()
            {
                *slot = whole_number(&value);
            }
        })?;
        let name = name.filter(|name| !name.is_empty() && name.len() <= limits.max_name);
        let (Some(name), [Some(x), Some(y), Some(width), Some(height)]) = (name, numbers) else { return Ok(None) };
        Ok((width > 0 && height > 0).then_some(Self { name, x, y, width, height }))
    }
}

/// Digits and nothing else, as OpenJPIP's viewer reads them.
fn whole_number(text: &str) -> Option<u32> {
    let text = text.trim();
    // `parse` would take a plus sign.
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}
