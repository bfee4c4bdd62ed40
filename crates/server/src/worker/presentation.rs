//! How a stored object is presented as a logical target: settled when it is indexed, kept as JSON in the catalog.

use catalog::ObjectKey;
use codestream::MainHeader;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Version of the stored index form and of what is derived from it: a new one makes new indexes and new tids.
pub const INDEX_VERSION: u32 = 1;

/// Version of the metadata-bins that are made for a target: a new one makes new tids.
pub const METADATA_VERSION: u32 = 2;

/// How a stored object is presented.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Presentation {
    /// What the logical target is made of.
    pub form: Form,
    /// The image, for frames of a DICOM object; files say themselves what they show.
    pub image: Option<Image>,
}

/// What a logical target is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Form {
    /// The frames of a DICOM object, numbered from 1.
    Frames,
    /// A file of the JP2 family, its codestreams numbered from 0.
    Jp2Family,
    /// A codestream without a file around it.
    RawCodestream,
}

/// What the first frame that can be served looks like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Width in reference-grid samples.
    pub width: u32,
    /// Height in reference-grid samples.
    pub height: u32,
    /// Depth in bits and whether signed, of each component.
    pub components: Vec<(u8, bool)>,
    /// What the components mean once decoded.
    pub colour: Colour,
    /// Whether the codestream is HTJ2K.
    pub htj2k: bool,
}

/// What the components mean once decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Colour {
    /// One component of brightness or of indices.
    Grey,
    /// Red, green, blue.
    Srgb,
    /// Luminance and two colour differences, not undone by the codestream's own transform.
    Sycc,
}

impl Presentation {
    /// The target identifier of an object that is presented like this: 32 hex digits that differ whenever a byte of a
    /// data-bin may.
    #[must_use]
    pub fn tid(&self, object: &ObjectKey) -> String {
        let mut digest = Sha256::new();
        digest.update(b"precinct tid\0");
        digest.update(object.digest());
        digest.update(INDEX_VERSION.to_be_bytes());
        digest.update(METADATA_VERSION.to_be_bytes());
        digest.update(self.to_json());
        hex16(&digest.finalize().into())
    }

    /// The text for the catalog.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Neither maps nor floats nor foreign types: this cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The value of a text from the catalog.
    ///
    /// # Errors
    ///
    /// If the text is not one that [`Presentation::to_json`] made.
    pub fn from_json(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }
}

/// The target identifier of a series, from those of its instances in the order in which their frames count.
pub fn series_tid<'a>(instances: impl Iterator<Item = &'a str>) -> String {
    let mut digest = Sha256::new();
    digest.update(b"precinct series tid\0");
    digest.update(METADATA_VERSION.to_be_bytes());
    for tid in instances {
        digest.update(tid);
        digest.update([0]);
    }
    hex16(&digest.finalize().into())
}

/// The first 16 bytes as hexadecimal digits.
fn hex16(digest: &[u8; 32]) -> String {
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

impl Image {
    /// The image of a frame with this header; `photometric` is Photometric Interpretation (0028,0004).
    ///
    /// The codestream's multiple component transform is undone by every decoder, whatever the attribute says: `YBR_RCT`
    /// and `YBR_ICT` come out as RGB [PS3.5 8.2.4].
    pub(crate) fn of(header: &MainHeader, photometric: Option<&str>) -> Self {
        let (width, height) = header.siz().reduced_size(0);
        let components: Vec<_> =
            header.siz().components.iter().map(|component| (component.precision, component.signed)).collect();
        let colour = match photometric {
            _ if components.len() < 3 => Colour::Grey,
            Some(photometric) if photometric.starts_with("YBR") && !header.coding().mct => Colour::Sycc,
            _ => Colour::Srgb,
        };
        Self { width, height, components, colour, htj2k: header.is_htj2k() }
    }

    /// The image of a frame with this header in an object whose first frame has this colour; `None` for a codestream
    /// that nothing says more of.
    pub(crate) fn beside(header: &MainHeader, first: Option<Colour>) -> Self {
        Self::of(header, (first == Some(Colour::Sycc)).then_some("YBR_FULL"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn presentation(width: u32) -> Presentation {
        let image =
            Image { width, height: 6, components: vec![(12, false), (8, true)], colour: Colour::Grey, htj2k: false };
        Presentation { form: Form::Frames, image: Some(image) }
    }

    #[test]
    fn json_comes_back_and_tids_tell_presentations_and_objects_apart() {
        let (one, other) = (presentation(5), presentation(7));
        assert_eq!(Presentation::from_json(&one.to_json()).unwrap(), one);
        let (a, b) = (ObjectKey::new([1; 32]), ObjectKey::new([2; 32]));
        let tids = [one.tid(&a), one.tid(&b), other.tid(&a), other.tid(&b)];
        assert!(tids.iter().all(|tid| tid.len() == 32 && tid.bytes().all(|b| b.is_ascii_hexdigit())));
        assert_eq!(tids.iter().collect::<std::collections::HashSet<_>>().len(), 4);
        assert_eq!(one.tid(&a), presentation(5).tid(&a));
        let series: Vec<_> = [["x", "y"], ["y", "x"], ["xy", ""]].map(|tids| series_tid(tids.into_iter())).into();
        assert!(series.iter().all(|tid| tid.len() == 32) && series[0] != series[1] && series[0] != series[2]);
    }
}
