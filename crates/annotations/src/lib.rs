//! Annotations of images: named regions and registrations, as the XML boxes of the OpenJPIP family write them.
//!
//! Does: reads such a document out of bytes that somebody else found, within limits, and says what regions and
//! registrations are in it.
//!
//! Never: reads a file or a clock, follows a reference, expands an entity beyond the five of XML, takes a document
//! type declaration, or judges what a region means: a document that it cannot read is an opaque box to its caller.

pub mod error;
pub mod limits;
pub mod registration;
pub mod roi;

mod xml;

pub use error::AnnotationError;
pub use limits::Limits;
pub use registration::Registration;
pub use roi::Region;

/// What a document says.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Annotations {
    /// The regions, in the order of the document; names may repeat.
    pub regions: Vec<Region>,
    /// The registrations, in the order of the document.
    pub registrations: Vec<Registration>,
    /// Elements `roi` and `irt` that make no sense and were left out.
    pub left_out: usize,
}

impl Annotations {
    /// Reads a document: elements `roi` and `irt` at any depth, whatever encloses them, also without one element that
    /// encloses them all, as the sample of OpenJPEG has it.
    ///
    /// # Errors
    ///
    /// - [`AnnotationError::Malformed`] if this is not XML, or not UTF-8.
    /// - [`AnnotationError::Unsupported`] for a document type declaration and for other encodings.
    /// - [`AnnotationError::LimitExceeded`] if there is more of something than the limits allow.
    ///
    /// # Example
    ///
    /// ```
    /// let text = br#"<?xml version="1.0"?><roi name="island" x="18" y="19" w="7" h="3"/>"#;
    /// let found = annotations::Annotations::parse(text, &annotations::Limits::default())?;
    /// assert_eq!(found.regions[0].name, "island");
    /// # Ok::<(), annotations::AnnotationError>(())
    /// ```
    pub fn parse(document: &[u8], limits: &Limits) -> Result<Self, AnnotationError> {
        let mut found = Self::default();
        xml::for_each_element(document, limits, |element| found.take(element, limits))?;
        Ok(found)
    }

    fn take(&mut self, element: &xml::Element<'_>, limits: &Limits) -> Result<(), AnnotationError> {
        let understood = match element.name() {
            b"roi" => Region::of(element, limits)?.map(|region| self.regions.push(region)),
            b"irt" => Registration::of(element, limits)?.map(|registration| self.registrations.push(registration)),
            _ => return Ok(()),
        };
        if understood.is_none() {
            self.left_out += 1;
        }
        if self.regions.len() + self.registrations.len() + self.left_out > limits.max_annotations {
            let limit = limits.max_annotations;
            return Err(AnnotationError::LimitExceeded { what: "regions and registrations", limit });
        }
        Ok(())
    }
}
