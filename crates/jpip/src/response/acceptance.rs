//! Whether a request can be answered, and what of the metadata it is answered with.

use std::collections::BTreeSet;

use codestream::boxes::tree::is_superbox;

use crate::request::Request;
use crate::request::error::RequestError;
use crate::request::metareq::MetadataRequest;
use crate::target::LogicalTarget;

/// Refuses the fields that are recognised and not served.
pub(super) fn check_supported(request: &Request) -> Result<(), RequestError> {
    for (is_there, field) in [
        (request.subtarget.is_some(), "subtarget"),
        (request.upload.is_some(), "upload"),
        (request.sendto.is_some(), "sendto"),
        (!request.abandon.is_empty(), "abandon"),
        (request.barrier.is_some(), "barrier"),
    ] {
        if is_there {
            return Err(RequestError::Unsupported { field });
        }
    }
    match request.pref.iter().find(|set| set.required && !set.is_met()) {
        Some(set) => Err(RequestError::RequiredPreference { set: format!("{}/r", set.text) }),
        None => Ok(()),
    }
}

/// The metadata-bins wanted, before the image and after it. Bin 0 always comes first; the order is that of
/// the target, in which the XML boxes are last.
pub(super) fn wanted_metadata(request: &Request, target: &LogicalTarget, by_need: bool) -> (Vec<usize>, Vec<usize>) {
    let (mut early, mut late) = (Vec::new(), Vec::new());
    let wanted = request.metareq.as_ref().map(WantedMetadata::new);
    for (n, bin) in target.metadata.bins.iter().enumerate() {
        if bin.id == 0 || (by_need && wanted.is_none()) {
            early.push(n);
            continue;
        }
        let (Some(wanted), Some(box_type)) = (&wanted, bin.box_type) else { continue };
        if wanted.matches(bin.id, box_type) {
            if wanted.before_image { early.push(n) } else { late.push(n) }
        }
    }
    (early, late)
}

/// What a `metareq` says about the boxes that have a metadata-bin of their own, which all lie at the top level.
/// Gathered once, for there may be thousands of bins as of box types.
struct WantedMetadata {
    /// Box types wanted below bin 0; all if absent.
    types: Option<BTreeSet<[u8; 4]>>,
    /// The bins below which something is wanted.
    roots: BTreeSet<u64>,
    before_image: bool,
}

impl WantedMetadata {
    fn new(request: &MetadataRequest) -> Self {
        let at_top = request.groups.iter().filter(|group| group.root == 0).flat_map(|group| &group.boxes);
        let has_priority = request.groups.iter().flat_map(|group| &group.boxes).any(|boxes| boxes.priority);
        Self {
            types: at_top.map(|boxes| boxes.box_type).collect(),
            roots: request.groups.iter().map(|group| group.root).collect(),
            before_image: request.metadata_only || has_priority,
        }
    }

    fn matches(&self, bin: u64, box_type: [u8; 4]) -> bool {
        // A superbox may hold boxes of any type, and its contents are not looked into here.
        self.types.as_ref().is_none_or(|types| types.contains(&box_type))
            || self.roots.contains(&bin)
            || (self.roots.contains(&0) && is_superbox(box_type))
    }
}
