//! The metadata-bins of targets: for frames from what was found when they were indexed, for files from their boxes.

use annotations::Annotations;
use codestream::{
    ByteSource, Limits, ParseError,
    boxes::read_contents,
    jp2::{Area, Jp2File, MetadataTree},
};
use jpip::{
    metadata::{self, ImagePresentation},
    target::{MetadataBins, NamedRegion},
};

use crate::worker::presentation::{Colour, Image};

/// XML boxes of a file that are read for regions, and their bytes together.
const XML_BOXES: usize = 1024;
const XML_BYTES: u64 = 16 << 20;

/// The bins of so many frames that look like `image`.
pub(super) fn for_frames(image: &Image, frames: u32) -> MetadataBins {
    let mut bins = metadata::for_frames(&presentation_of(image, frames));
    bins.picture = Some((image.width, image.height));
    bins
}

/// What stands before a codestream of `len` bytes in a file of its own that shows `image`.
pub(super) fn before_codestream(image: &Image, len: u64) -> Vec<u8> {
    metadata::before_codestream(&presentation_of(image, 1), len)
}

fn presentation_of(image: &Image, frames: u32) -> ImagePresentation {
    ImagePresentation {
        width: image.width,
        height: image.height,
        components: image.components.clone(),
        colour: match image.colour {
            Colour::Grey => metadata::Colour::Grey,
            Colour::Srgb => metadata::Colour::Srgb,
            Colour::Sycc => metadata::Colour::Sycc,
        },
        frames,
        htj2k: image.htj2k,
    }
}

/// The bins of a file of the JP2 family, whose image has this size, and the regions that its XML boxes and labels name.
/// Blocking.
///
/// # Errors
///
/// If the file cannot be read; a box that cannot be understood is a box like others.
pub(super) fn of_file(file: &dyn ByteSource, (width, height): (u32, u32)) -> Result<MetadataBins, ParseError> {
    let limits = Limits::default();
    let parsed = Jp2File::parse(file, &limits)?;
    let tree = MetadataTree::read(file, &parsed, &limits)?;
    let mut bins = metadata::for_file(&parsed, &tree);
    bins.picture = Some((width, height));
    let labelled = std::mem::take(&mut bins.regions);
    let mut regions = regions_of_xml(file, &tree)?;
    regions.extend(labelled.into_iter().map(|NamedRegion { name, area: Area { x, y, width, height } }| {
        annotations::Region { name, x, y, width, height }
    }));
    let inside = regions.iter().filter_map(|region| region.inside(width, height));
    bins.regions = inside
        .map(|annotations::Region { name, x, y, width, height }| NamedRegion {
            name,
            area: Area { x, y, width, height },
        })
        .collect();
    Ok(bins)
}

/// The regions of all XML boxes, in file order; a document that is not understood has none.
fn regions_of_xml(file: &dyn ByteSource, tree: &MetadataTree) -> Result<Vec<annotations::Region>, ParseError> {
    let limits = annotations::Limits::default();
    let mut regions = Vec::new();
    let mut left = XML_BYTES;
    let documents = tree.boxes.iter().filter(|found| &found.header.box_type == b"xml ");
    for found in documents.take(XML_BOXES) {
        let contents = found.header.contents;
        let Some(rest) = left.checked_sub(contents.len).filter(|_| contents.len <= limits.max_bytes as u64) else {
            continue;
        };
        left = rest;
        let document = read_contents(file, contents, contents.len)?;
        match Annotations::parse(&document, &limits) {
            Ok(found) => regions.extend(found.regions),
            Err(error) => tracing::debug!(%error, "an XML box is not read for regions"),
        }
    }
    Ok(regions)
}
