//! Which presentation contexts are accepted, and how [PS3.8 7.1, 9.3.2, D.3].

use dicom_ul::pdu::{
    AssociationAC, AssociationRJ, AssociationRJResult, AssociationRJServiceProviderASCEReason,
    AssociationRJServiceUserReason, AssociationRJSource, AssociationRQ, PresentationContextProposed,
    PresentationContextResult, PresentationContextResultReason, UserVariableItem,
};

use super::storage_class::is_storage_class;
use super::{Acceptor, MAX_PDU};
use crate::transfer_syntax::TransferSyntax;
use crate::write::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME};

/// A presentation context that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PresentationContext {
    pub(super) id: u8,
    pub(super) abstract_syntax: String,
    pub(super) transfer_syntax: String,
}

/// The answer to an A-ASSOCIATE-RQ that is accepted.
pub(super) struct Accepted {
    pub(super) answer: AssociationAC,
    pub(super) contexts: Vec<PresentationContext>,
    pub(super) calling_ae_title: String,
    /// Longest PDU that the requestor takes.
    pub(super) peer_max_pdu: u32,
}

/// Accepts or rejects an association.
pub(super) fn negotiate(request: AssociationRQ, acceptor: &Acceptor) -> Result<Accepted, AssociationRJ> {
    // One bit a version [PS3.8 9.3.2]; this is version 1.
    if request.protocol_version & 1 == 0 {
        return Err(rejection(AssociationRJSource::ServiceProviderASCE(
            AssociationRJServiceProviderASCEReason::ProtocolVersionNotSupported,
        )));
    }
    let by_user = |reason| rejection(AssociationRJSource::ServiceUser(reason));
    if trimmed(&request.application_context_name) != APPLICATION_CONTEXT {
        return Err(by_user(AssociationRJServiceUserReason::ApplicationContextNameNotSupported));
    }
    if request.called_ae_title != acceptor.ae_title {
        return Err(by_user(AssociationRJServiceUserReason::CalledAETitleNotRecognized));
    }
    if !acceptor.admits(&request.calling_ae_title) {
        return Err(by_user(AssociationRJServiceUserReason::CallingAETitleNotRecognized));
    }
    let (mut results, mut contexts) = (Vec::new(), Vec::new());
    for proposed in &request.presentation_contexts {
        let result = judge(proposed);
        // An identifier is odd and stands once; whoever breaks that gets no context of it.
        let is_fresh =
            proposed.id & 1 == 1 && contexts.iter().all(|known: &PresentationContext| known.id != proposed.id);
        if let Ok(transfer_syntax) = &result
            && is_fresh
        {
            contexts.push(PresentationContext {
                id: proposed.id,
                abstract_syntax: trimmed(&proposed.abstract_syntax).to_owned(),
                transfer_syntax: transfer_syntax.clone(),
            });
        }
        let (reason, transfer_syntax) = match result {
            Ok(transfer_syntax) if is_fresh => (PresentationContextResultReason::Acceptance, transfer_syntax),
            Ok(_) => (PresentationContextResultReason::NoReason, IMPLICIT_LITTLE.to_owned()),
            Err(reason) => (reason, IMPLICIT_LITTLE.to_owned()),
        };
        results.push(PresentationContextResult { id: proposed.id, reason, transfer_syntax });
    }
    let max_length = request.user_variables.iter().find_map(|item| match item {
        UserVariableItem::MaxLength(len) => Some(*len),
        _ => None,
    });
    Ok(Accepted {
        answer: AssociationAC {
            protocol_version: 1,
            application_context_name: APPLICATION_CONTEXT.to_owned(),
            called_ae_title: request.called_ae_title,
            calling_ae_title: request.calling_ae_title.clone(),
            presentation_contexts: results,
            user_variables: vec![
                UserVariableItem::MaxLength(MAX_PDU),
                UserVariableItem::ImplementationClassUID(IMPLEMENTATION_CLASS_UID.to_owned()),
                UserVariableItem::ImplementationVersionName(IMPLEMENTATION_VERSION_NAME.to_owned()),
            ],
        },
        contexts,
        calling_ae_title: request.calling_ae_title,
        // 0 is no limit; what we send is never long.
        peer_max_pdu: max_length.filter(|&len| len > 0).unwrap_or(MAX_PDU),
    })
}

/// The transfer syntax that is taken of a context, or why none is.
fn judge(proposed: &PresentationContextProposed) -> Result<String, PresentationContextResultReason> {
    let abstract_syntax = trimmed(&proposed.abstract_syntax);
    let is_known = |uid: &&str| {
        if abstract_syntax == VERIFICATION {
            return UNCOMPRESSED.contains(uid);
        }
        TransferSyntax::from_uid(uid).is_known()
    };
    if abstract_syntax != VERIFICATION && !is_storage_class(abstract_syntax) {
        return Err(PresentationContextResultReason::AbstractSyntaxNotSupported);
    }
    let offered: Vec<&str> = proposed.transfer_syntaxes.iter().map(|uid| trimmed(uid)).filter(is_known).collect();
    let preferred = PREFERRED.iter().find(|uid| offered.contains(uid)).or_else(|| offered.first());
    preferred.map(|&uid| uid.to_owned()).ok_or(PresentationContextResultReason::TransferSyntaxesNotSupported)
}

const fn rejection(source: AssociationRJSource) -> AssociationRJ {
    AssociationRJ { result: AssociationRJResult::Permanent, source }
}

fn trimmed(uid: &str) -> &str {
    uid.trim_matches(['\0', ' '])
}

/// The DICOM application context [PS3.7 A.2.1].
const APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";

const VERIFICATION: &str = "1.2.840.10008.1.1";
const IMPLICIT_LITTLE: &str = "1.2.840.10008.1.2";
const UNCOMPRESSED: [&str; 3] = [IMPLICIT_LITTLE, "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"];

/// Taken before what stands first in the offer, because frames in them can be asked for by JPIP and no sample is lost
/// by choosing them. The lossy ones are taken only in the requestor's own order: it might compress for our sake.
const PREFERRED: [&str; 4] =
    ["1.2.840.10008.1.2.4.202", "1.2.840.10008.1.2.4.201", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.92"];

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(abstract_syntax: &str, offered: &[&str]) -> Result<String, PresentationContextResultReason> {
        let transfer_syntaxes = offered.iter().map(|last| format!("1.2.840.10008.1.2{last}")).collect();
        judge(&PresentationContextProposed { id: 1, abstract_syntax: abstract_syntax.to_owned(), transfer_syntaxes })
    }

    #[test]
    fn what_jpip_can_serve_without_loss_is_preferred() {
        let ct = "1.2.840.10008.5.1.4.1.1.2\0";
        let chosen = |offered: &[&str]| judged(ct, offered).unwrap().replacen("1.2.840.10008.1.2", "", 1);
        assert_eq!(chosen(&["", ".1", ".4.90"]), ".4.90");
        assert_eq!(chosen(&[".1", ".4.90", ".4.202\0"]), ".4.202");
        assert_eq!(chosen(&[".1", ".4.91", ".4.203"]), ".1", "nobody is asked to lose samples");
        assert_eq!(chosen(&[".4.91", ".1"]), ".4.91");
        assert_eq!(chosen(&[".4.9999", ".5"]), ".5");
        assert_eq!(judged(ct, &[".4.9999"]), Err(PresentationContextResultReason::TransferSyntaxesNotSupported));
        assert_eq!(judged(ct, &[]), Err(PresentationContextResultReason::TransferSyntaxesNotSupported));
    }

    #[test]
    fn verification_takes_uncompressed_and_queries_are_not_taken() {
        assert!(judged(VERIFICATION, &[".4.90", ""]).is_ok_and(|uid| uid == IMPLICIT_LITTLE));
        assert_eq!(
            judged("1.2.840.10008.5.1.4.1.2.2.1", &[""]),
            Err(PresentationContextResultReason::AbstractSyntaxNotSupported)
        );
    }
}
