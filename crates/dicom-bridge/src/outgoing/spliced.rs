//! A data set with other elements of the outermost level in the place of some, everything else byte for byte.

use std::io;

use codestream::ByteSource;

use super::copied::copy;
use super::edits::Edits;
use super::recoded::outermost;
use crate::elements::{Elements, Event};
use crate::error::ObjectError;
use crate::limits::ScanLimits;
use crate::object::with_elements;

/// Writes the data set, which must lie in the object as it is to be written.
pub(super) fn write(
    source: &dyn ByteSource,
    limits: &ScanLimits,
    edits: Edits,
    out: &mut dyn io::Write,
) -> Result<(), ObjectError> {
    with_elements(source, limits, |_meta, elements| {
        let start = elements.position();
        Splicer { source, out, edits, start, end: start }.walk(elements)
    })
}

struct Splicer<'s, 'o> {
    source: &'s dyn ByteSource,
    out: &'o mut dyn io::Write,
    edits: Edits,
    /// Stored bytes that go out and have not been written yet.
    start: u64,
    end: u64,
}

impl Splicer<'_, '_> {
    fn walk(mut self, elements: &mut Elements<'_>) -> Result<(), ObjectError> {
        let (mut is_left_out, mut tag) = (false, None);
        while let Some(event) = elements.next()? {
            if let Some(header) = outermost(&event, elements.depth()) {
                tag = Some(header.tag);
                is_left_out = self.edits.leaves_out(header.tag);
                while let Some(new) = self.edits.before(tag) {
                    self.flush()?;
                    new.write(elements.encoding(), self.out)?;
                }
            }
            let value_end = match event {
                Event::Fragments(_) => {
                    elements.fragments()?;
                    is_left_out |= tag.is_some_and(|tag| self.edits.leaves_out_encapsulated(tag));
                    elements.position()
                }
                Event::Value(_, len) => elements.position().saturating_add(len),
                _ => elements.position(),
            };
            if elements.depth() == 0 {
                self.take_element(value_end, is_left_out)?;
            }
        }
        while let Some(new) = self.edits.before(None) {
            self.flush()?;
            new.write(elements.encoding(), self.out)?;
        }
        self.flush()
    }

    /// The element at hand ends here.
    fn take_element(&mut self, end: u64, is_left_out: bool) -> Result<(), ObjectError> {
        if is_left_out {
            self.flush()?;
            self.start = end;
        }
        self.end = end;
        Ok(())
    }

    fn flush(&mut self) -> Result<(), ObjectError> {
        copy(self.source, self.start..self.end, self.out)?;
        self.start = self.end;
        Ok(())
    }
}
