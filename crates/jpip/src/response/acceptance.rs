//! Whether a request can be answered, and what of the metadata it is answered with.

use codestream::boxes::tree::is_superbox;

use crate::request::Request;
use crate::request::error::RequestError;
use crate::request::return_type::ReturnType;
use crate::target::LogicalTarget;

/// Refuses the fields that are recognised and not served.
pub(super) fn check_supported(request: &Request) -> Result<(), RequestError> {
    for (is_there, field) in [
        (request.subtarget.is_some(), "subtarget"),
        (request.upload.is_some(), "upload"),
        (request.sendto.is_some(), "sendto"),
        (!request.abandon.is_empty(), "abandon"),
        (request.barrier.is_some(), "barrier"),
        (!request.tpneed.is_empty(), "tpneed"),
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

/// Whether precinct messages carry Aux, from the first type that can be returned.
pub(super) fn negotiate(request: &Request) -> Result<bool, RequestError> {
    if request.types.is_empty() {
        return Ok(false);
    }
    let offered = request.types.iter().find_map(|wanted| match wanted {
        ReturnType::JppStream { extended } => Some(*extended),
        _ => None,
    });
    offered.ok_or(RequestError::UnsupportedMediaType)
}

/// The metadata-bins wanted, before the image and after it. Bin 0 always comes first; the order is that of
/// the target, in which the XML boxes are last.
pub(super) fn wanted_metadata(request: &Request, target: &LogicalTarget, by_need: bool) -> (Vec<usize>, Vec<usize>) {
    let (mut early, mut late) = (Vec::new(), Vec::new());
    for (n, bin) in target.metadata.bins.iter().enumerate() {
        if bin.id == 0 || (by_need && request.metareq.is_none()) {
            early.push(n);
            continue;
        }
        let (Some(wanted), Some(box_type)) = (&request.metareq, bin.box_type) else { continue };
        // A superbox may hold boxes of any type, and its contents are not looked into here.
        let matches = wanted.wants(box_type, 0, 0)
            || wanted.groups.iter().any(|group| group.root == bin.id || (group.root == 0 && is_superbox(box_type)));
        if !matches {
            continue;
        }
        let has_priority = wanted.groups.iter().flat_map(|group| &group.boxes).any(|boxes| boxes.priority);
        if wanted.metadata_only || has_priority { early.push(n) } else { late.push(n) }
    }
    (early, late)
}
