//! In which form a stored instance goes out to a peer: the one place that knows what can be made of what is stored.

use std::sync::Arc;

use catalog::InstanceRow;
use dicom_bridge::dimse::PresentationContext;
use dicom_bridge::outgoing::{OutgoingError, Part, data_set_parts, is_convertible};
use dicom_bridge::{ScanLimits, TransferSyntax};

use crate::app::App;
use crate::storage::{StorageError, StoredFile};

/// An instance that can go out: in which presentation context, and out of which parts its data set is made.
pub(super) struct OutgoingForm {
    pub(super) context: u8,
    pub(super) file: Arc<StoredFile>,
    pub(super) parts: Vec<Part>,
}

/// Why an instance cannot go out to a peer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unsendable {
    #[error("the peer takes no transfer syntax that it can be sent in")]
    NotTaken,
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Outgoing(#[from] OutgoingError),
    #[error("reading it was broken off")]
    BrokenOff,
}

/// Transfer syntaxes in which an instance that is stored in `stored` may go out, the best first. A peer is offered each
/// in a presentation context of its own, so that it can take several.
pub(super) fn offered(stored: &str) -> Vec<String> {
    let stored = TransferSyntax::from_uid(stored);
    let others = NATIVE.iter().map(|uid| TransferSyntax::from_uid(uid)).filter(|other| *other != stored);
    let others: Vec<_> = others.filter(|other| is_convertible(&stored, other)).collect();
    [stored].into_iter().chain(others).map(|transfer_syntax| transfer_syntax.uid().to_owned()).collect()
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
    let chosen = context_for(&instance.sop_class_uid, &instance.transfer_syntax_uid, contexts);
    let chosen = chosen.ok_or(Unsendable::NotTaken)?;
    let (context, wanted) = (chosen.id, TransferSyntax::from_uid(&chosen.transfer_syntax));
    let (storage, key) = (app.storage().clone(), instance.object_key);
    let work = tokio::task::spawn_blocking(move || {
        let file = storage.open_object(&key)?;
        let parts = data_set_parts(&*file, &wanted, &ScanLimits::default())?;
        Ok(OutgoingForm { context, file, parts })
    });
    work.await.unwrap_or(Err(Unsendable::BrokenOff))
}

fn context_for<'c>(
    sop_class_uid: &str,
    stored: &str,
    contexts: &'c [PresentationContext],
) -> Option<&'c PresentationContext> {
    let usable: Vec<_> =
        contexts.iter().filter(|context| context.is_ours && context.abstract_syntax == sop_class_uid).collect();
    offered(stored).iter().find_map(|wanted| usable.iter().find(|context| context.transfer_syntax == *wanted).copied())
}

/// Explicit and Implicit VR Little Endian.
const NATIVE: [&str; 2] = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"];

#[cfg(test)]
mod tests {
    use super::*;

    fn context(id: u8, class: &str, last: &str, is_ours: bool) -> PresentationContext {
        let transfer_syntax = format!("1.2.840.10008.1.2{last}");
        PresentationContext { id, abstract_syntax: class.to_owned(), transfer_syntax, is_ours }
    }

    #[test]
    fn what_is_stored_goes_out_as_it_is_or_in_the_other_native_encoding() {
        let contexts = [
            context(1, "1.2", "", true),
            context(3, "1.2", ".4.90", false),
            context(5, "1.3", ".4.90", true),
            context(7, "1.2", ".1", true),
            context(9, "1.2", ".4.91", true),
        ];
        let chosen = |class: &str, stored: &str| {
            context_for(class, &format!("1.2.840.10008.1.2{stored}"), &contexts).map(|context| context.id)
        };
        assert_eq!(chosen("1.2", ".1"), Some(7));
        assert_eq!(chosen("1.2", ""), Some(1));
        assert_eq!(chosen("1.2", ".4.91"), Some(9));
        assert_eq!(chosen("1.2", ".4.90"), None, "the peer does not want to be sent anything there");
        assert_eq!(chosen("1.3", ".4.90"), Some(5));
        assert_eq!(chosen("1.3", ".1"), None);
        let only_implicit = &contexts[..1];
        assert_eq!(context_for("1.2", "1.2.840.10008.1.2.1", only_implicit).map(|context| context.id), Some(1));
    }
}
