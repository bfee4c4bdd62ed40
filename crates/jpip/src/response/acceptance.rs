//! Whether a request can be answered.

use crate::request::Request;
use crate::request::context::CodestreamContext;
use crate::request::error::RequestError;
use crate::target::LogicalTarget;

/// Refuses the fields that are recognised and not served.
///
/// # Errors
///
/// - [`RequestError::Unsupported`] for such a field.
/// - [`RequestError::RequiredPreference`] if a preference marked `/r` cannot be met.
pub fn check_supported(request: &Request) -> Result<(), RequestError> {
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

/// Refuses a `context` of which nothing is understood where that leaves open which of several codestreams are meant:
/// tracks of Motion JPEG 2000, pages, and whatever else is to come. Beside `stream`, or a context that is understood,
/// or with one codestream, it is passed over, and `JPIP-context` does not name it.
pub(super) fn check_context(request: &Request, target: &LogicalTarget) -> Result<(), RequestError> {
    let is_layers = |context: &CodestreamContext| matches!(context, CodestreamContext::CompositingLayers { .. });
    let is_open = !request.context.is_empty() && request.stream.is_empty() && !request.context.iter().any(is_layers);
    if is_open && target.codestreams.count() > 1 {
        return Err(RequestError::Unsupported { field: "context" });
    }
    Ok(())
}
