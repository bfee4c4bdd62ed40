//! In which form a stored instance goes out to a peer.

use std::io;

use catalog::InstanceRow;
use dicom_bridge::TransferSyntax;
use dicom_bridge::dimse::PresentationContext;
use dicom_bridge::outgoing::{Outgoing, offerable};

use crate::app::App;
use crate::outgoing::{data_set, referable};
use crate::written::Bytestream;

/// An instance that can go out: in which presentation context, and its data set.
pub(super) struct OutgoingForm {
    pub(super) context: u8,
    pub(super) data_set: Bytestream,
}

/// Why an instance cannot go out to a peer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsendable {
    #[error("the peer takes no transfer syntax that it can be sent in")]
    NotTaken,
    #[error(transparent)]
    Unreadable(#[from] io::Error),
}

/// Transfer syntaxes in which an instance that is stored in `stored` may go out, the best first. A peer is offered each
/// in a presentation context of its own, so that it can take several.
pub(super) fn offered(stored: &str) -> Vec<String> {
    let offerable = offerable(&TransferSyntax::from_uid(stored));
    offerable.iter().map(|transfer_syntax| transfer_syntax.uid().to_owned()).collect()
}

/// The outgoing form of an instance for the presentation contexts that the peer accepts: as stored where it takes that,
/// else in the best form that it takes.
///
/// # Errors
///
/// - [`Unsendable`] if it takes none, or the stored object cannot be read.
pub(super) async fn outgoing_form(
    app: &App,
    instance: &InstanceRow,
    contexts: &[PresentationContext],
) -> Result<OutgoingForm, Unsendable> {
    let usable: Vec<_> = usable(&instance.sop_class_uid, contexts).collect();
    let accepted: Vec<_> = usable.iter().map(|context| context.transfer_syntax.as_str()).collect();
    let stored = &TransferSyntax::from_uid(&instance.transfer_syntax_uid);
    let mut outgoing = Outgoing { stored, referable: None, prefers_referenced: false };
    let mut chosen = outgoing.choose(&accepted);
    // The object is looked into only for a peer that may be sent a reference.
    if chosen.is_err() && accepted.iter().any(|uid| TransferSyntax::from_uid(uid).is_jpip_referenced()) {
        outgoing.referable = referable(app, instance).await;
        chosen = outgoing.choose(&accepted);
    }
    let form = chosen.map_err(|_reason| Unsendable::NotTaken)?;
    let context = usable.iter().find(|context| context.transfer_syntax == form.transfer_syntax().uid());
    let context = context.ok_or(Unsendable::NotTaken)?.id;
    Ok(OutgoingForm { context, data_set: data_set(app, instance, form).await? })
}

/// The presentation contexts in which the peer can be sent instances of the class.
fn usable<'c>(
    sop_class_uid: &str,
    contexts: &'c [PresentationContext],
) -> impl Iterator<Item = &'c PresentationContext> {
    contexts.iter().filter(move |context| context.is_ours && context.abstract_syntax == sop_class_uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(id: u8, class: &str, last: &str, is_ours: bool) -> PresentationContext {
        let transfer_syntax = format!("1.2.840.10008.1.2{last}");
        PresentationContext { id, abstract_syntax: class.to_owned(), transfer_syntax, is_ours }
    }

    #[test]
    fn only_contexts_of_the_class_in_which_the_peer_takes_instances_count() {
        let contexts = [context(1, "1.2", "", true), context(3, "1.2", ".4.90", false), context(5, "1.3", ".1", true)];
        assert_eq!(usable("1.2", &contexts).map(|context| context.id).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_peer_is_offered_what_may_be_made_of_an_instance() {
        let offered = |last: &str| {
            let offered = offered(&format!("1.2.840.10008.1.2{last}"));
            offered.iter().map(|uid| uid.replacen("1.2.840.10008.1.2", "", 1)).collect::<Vec<_>>()
        };
        assert_eq!(offered(""), ["", ".1", ".1.99"]);
        assert_eq!(offered(".2"), [".2", ".1", "", ".1.99"]);
        assert_eq!(offered(".4.90"), [".4.90", ".4.94", ".4.95"]);
        assert_eq!(offered(".4.202"), [".4.202", ".4.204", ".4.205"]);
        assert_eq!(offered(".4.50"), [".4.50"]);
        assert_eq!(offered(".4.94"), [".4.94"]);
    }
}
