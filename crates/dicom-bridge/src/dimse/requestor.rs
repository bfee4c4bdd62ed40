//! What we propose when we ask for an association, and what is made of the answer [PS3.8 9.3.2, 9.3.3].

use dicom_ul::pdu::{
    AssociationAC, AssociationRQ, PresentationContextProposed, PresentationContextResultReason, RequestorRoles,
    UserVariableItem,
};

use super::negotiation::{APPLICATION_CONTEXT, PresentationContext, own_variables, trimmed};

/// An association that we ask for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Requestor {
    /// What we call ourselves.
    pub ae_title: String,
    /// What the peer is called.
    pub called_ae_title: String,
    /// What is proposed; no more than [`MAX_CONTEXTS`] are.
    pub proposals: Vec<Proposal>,
}

/// One presentation context that is proposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// UID of the SOP class.
    pub abstract_syntax: String,
    /// UIDs of the transfer syntaxes of which the peer may choose one.
    pub transfer_syntaxes: Vec<String>,
    /// Whether we are the provider of the service and not its user: who reports what became of a storage commitment.
    pub as_provider: bool,
}

/// Identifiers of presentation contexts are odd numbers of 8 bits.
pub const MAX_CONTEXTS: usize = 128;

impl Requestor {
    /// The identifier and the proposal of each context.
    fn contexts(&self) -> impl Iterator<Item = (u8, &Proposal)> {
        (1..=u8::MAX).step_by(2).zip(&self.proposals)
    }

    pub(super) fn request(&self) -> AssociationRQ {
        let mut user_variables = own_variables();
        let mut provided: Vec<&str> = Vec::new();
        for (_, proposal) in self.contexts().filter(|(_, proposal)| proposal.as_provider) {
            if !provided.contains(&proposal.abstract_syntax.as_str()) {
                provided.push(&proposal.abstract_syntax);
            }
        }
        user_variables.extend(provided.into_iter().map(|class| {
            let roles = RequestorRoles { scu: false, scp: true };
            UserVariableItem::ScuScpRoleSelectionSubItem(class.to_owned(), roles)
        }));
        AssociationRQ {
            protocol_version: 1,
            calling_ae_title: self.ae_title.clone(),
            called_ae_title: self.called_ae_title.clone(),
            application_context_name: APPLICATION_CONTEXT.to_owned(),
            presentation_contexts: self.contexts().map(|(id, proposal)| proposed(id, proposal)).collect(),
            user_variables,
        }
    }

    /// The contexts that the peer accepted. What it says of contexts that were not proposed, or of transfer syntaxes that
    /// were not offered, is passed over; of two words about one context the first counts.
    pub(super) fn accepted(&self, answer: &AssociationAC) -> Vec<PresentationContext> {
        let mut contexts = Vec::new();
        for (id, proposal) in self.contexts() {
            let Some(result) = answer.presentation_contexts.iter().find(|result| result.id == id) else { continue };
            let transfer_syntax = trimmed(&result.transfer_syntax);
            let was_offered = proposal.transfer_syntaxes.iter().any(|offered| offered == transfer_syntax);
            if result.reason == PresentationContextResultReason::Acceptance && was_offered {
                contexts.push(PresentationContext {
                    id,
                    abstract_syntax: proposal.abstract_syntax.clone(),
                    transfer_syntax: transfer_syntax.to_owned(),
                    is_ours: !proposal.as_provider,
                });
            }
        }
        contexts
    }
}

fn proposed(id: u8, proposal: &Proposal) -> PresentationContextProposed {
    PresentationContextProposed {
        id,
        abstract_syntax: proposal.abstract_syntax.clone(),
        transfer_syntaxes: proposal.transfer_syntaxes.clone(),
    }
}

#[cfg(test)]
mod tests {
    use dicom_ul::pdu::PresentationContextResult;

    use super::*;

    #[test]
    fn only_what_was_proposed_can_be_accepted() {
        let proposal = |class: &str| Proposal {
            abstract_syntax: class.to_owned(),
            transfer_syntaxes: vec!["1.2.840.10008.1.2".into(), "1.2.840.10008.1.2.1".into()],
            as_provider: false,
        };
        let requestor =
            Requestor { proposals: vec![proposal("1.1"), proposal("1.2"), proposal("1.3")], ..Requestor::default() };
        let result = |id, reason, last: &str| PresentationContextResult {
            id,
            reason,
            transfer_syntax: format!("1.2.840.10008.1.2{last}"),
        };
        use PresentationContextResultReason::{Acceptance, NoReason};
        let request = requestor.request();
        let answer = AssociationAC {
            protocol_version: 1,
            application_context_name: APPLICATION_CONTEXT.into(),
            called_ae_title: String::new(),
            calling_ae_title: String::new(),
            presentation_contexts: vec![
                result(1, Acceptance, ".1\0"),
                result(1, Acceptance, ""),
                result(3, Acceptance, ".4.90"),
                result(5, NoReason, ""),
                result(7, Acceptance, ""),
                result(2, Acceptance, ""),
            ],
            user_variables: Vec::new(),
        };
        assert_eq!(request.presentation_contexts.iter().map(|context| context.id).collect::<Vec<_>>(), [1, 3, 5]);
        let accepted = requestor.accepted(&answer);
        assert_eq!(accepted.len(), 1);
        assert_eq!((accepted[0].id, accepted[0].transfer_syntax.as_str()), (1, "1.2.840.10008.1.2.1"));
    }

    #[test]
    fn no_more_contexts_are_proposed_than_have_an_identifier() {
        let proposal = Proposal { abstract_syntax: "1.2".into(), transfer_syntaxes: Vec::new(), as_provider: true };
        let requestor = Requestor { proposals: vec![proposal; 200], ..Requestor::default() };
        let request = requestor.request();
        assert_eq!(request.presentation_contexts.len(), MAX_CONTEXTS);
        assert_eq!(request.presentation_contexts.last().map(|context| context.id), Some(255));
        assert_eq!(request.user_variables.len(), 4, "one role for each class");
    }
}
