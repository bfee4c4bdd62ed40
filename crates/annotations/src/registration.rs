//! Registrations: `<irt refimg="…" m1="…" … m9="…"/>`, how an image lies on another.

use crate::error::AnnotationError;
use crate::limits::Limits;
use crate::xml::Element;

/// A transform from this image to a reference image.
#[derive(Debug, Clone, PartialEq)]
pub struct Registration {
    /// Name of the reference image, verbatim.
    pub reference: String,
    /// A 3×3 matrix, row by row, as written: x' = m1 x + m2 y + m3, y' = m4 x + m5 y + m6. The third row is not always
    /// 0 0 1 in the wild.
    pub matrix: [f64; 9],
}

impl Registration {
    /// The registration that the element tells of; `None` if a number or the name is missing.
    pub(crate) fn of(element: &Element<'_>, limits: &Limits) -> Result<Option<Self>, AnnotationError> {
        let (mut reference, mut matrix) = (None, [None; 9]);
        element.for_each_attribute(limits, |key, value| {
            if key == b"refimg" {
                reference.get_or_insert(value.into_owned());
                return;
            }
            let [b'm', digit @ b'1'..=b'9'] = key else { return };
            if let Some(slot) = matrix.get_mut(usize::from(digit - b'1'))
                && slot.is_none()
            {
                *slot = value.trim().parse::<f64>().ok().filter(|number| number.is_finite());
            }
        })?;
        let reference = reference.filter(|name| !name.is_empty() && name.len() <= limits.max_name);
        let mut numbers = [0.0; 9];
        for (number, read) in numbers.iter_mut().zip(matrix) {
            let Some(read) = read else { return Ok(None) };
            *number = read;
        }
        Ok(reference.map(|reference| Self { reference, matrix: numbers }))
    }
}
