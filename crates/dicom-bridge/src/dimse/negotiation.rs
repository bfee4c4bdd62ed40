//! Which presentation contexts are accepted, and how [PS3.8 7.1, 9.3.2, D.3].

use std::collections::BTreeMap;

use dicom_ul::pdu::{
    AssociationAC, AssociationRJ, AssociationRJResult, AssociationRJServiceProviderASCEReason,
    AssociationRJServiceUserReason, AssociationRJSource, AssociationRQ, PresentationContextProposed,
    PresentationContextResult, PresentationContextResultReason, RequestorRoles, UserIdentityType, UserVariableItem,
};

use super::preference::{IMPLICIT_LITTLE, Preference};
use super::service::Service;
use super::{Acceptor, MAX_PDU};
use crate::write::{IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME};

/// A presentation context that was accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentationContext {
    /// Its identifier, odd.
    pub id: u8,
    /// UID of the SOP class.
    pub abstract_syntax: String,
    /// UID of the transfer syntax.
    pub transfer_syntax: String,
    /// Whether we may send requests in it: we are the SCU of its SOP class.
    pub is_ours: bool,
}

/// The answer to an A-ASSOCIATE-RQ that is accepted.
pub(super) struct Accepted {
    pub(super) answer: AssociationAC,
    pub(super) contexts: Vec<PresentationContext>,
    pub(super) calling_ae_title: String,
    /// The kind of user identity that came along [PS3.7 D.3.3.7].
    pub(super) user_identity: Option<u8>,
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
    let mut roles = accepted_roles(&request.user_variables);
    let (mut results, mut contexts) = (Vec::new(), Vec::new());
    for proposed in &request.presentation_contexts {
        let result = judge(proposed, &acceptor.preference);
        // An identifier is odd and stands once; whoever breaks that gets no context of it.
        let is_fresh =
            proposed.id & 1 == 1 && contexts.iter().all(|known: &PresentationContext| known.id != proposed.id);
        if let Ok(transfer_syntax) = &result
            && is_fresh
        {
            let abstract_syntax = trimmed(&proposed.abstract_syntax).to_owned();
            contexts.push(PresentationContext {
                id: proposed.id,
                is_ours: roles.get(&abstract_syntax).is_some_and(|roles| roles.scp),
                abstract_syntax,
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
    // No more is answered than concerns a context that stands [PS3.7 D.3.3.4].
    roles.retain(|class, _| contexts.iter().any(|known| known.abstract_syntax == *class));
    let mut user_variables = own_variables();
    let roles = roles.into_iter().map(|(class, roles)| UserVariableItem::ScuScpRoleSelectionSubItem(class, roles));
    user_variables.extend(roles);
    let (user_identity, response) = answer_identity(&request.user_variables);
    user_variables.extend(response);
    Ok(Accepted {
        answer: AssociationAC {
            protocol_version: 1,
            application_context_name: APPLICATION_CONTEXT.to_owned(),
            called_ae_title: request.called_ae_title,
            calling_ae_title: request.calling_ae_title.clone(),
            presentation_contexts: results,
            user_variables,
        },
        user_identity,
        contexts,
        calling_ae_title: request.calling_ae_title,
        peer_max_pdu: max_pdu_of(&request.user_variables),
    })
}

/// The transfer syntax that is taken of a context, or why none is.
fn judge(
    proposed: &PresentationContextProposed,
    preference: &Preference,
) -> Result<String, PresentationContextResultReason> {
    let abstract_syntax = trimmed(&proposed.abstract_syntax);
    if Service::of(abstract_syntax).is_none() {
        return Err(PresentationContextResultReason::AbstractSyntaxNotSupported);
    }
    let offered: Vec<&str> = proposed.transfer_syntaxes.iter().map(|uid| trimmed(uid)).collect();
    let chosen = preference.choose(abstract_syntax, &offered);
    chosen.map(str::to_owned).ok_or(PresentationContextResultReason::TransferSyntaxesNotSupported)
}

/// The roles that the requestor may have, by SOP class [PS3.7 D.3.3.4]: SCU of everything, SCP of what is stored, as
/// for a C-GET. The first word about a class counts.
fn accepted_roles(variables: &[UserVariableItem]) -> BTreeMap<String, RequestorRoles> {
    let mut roles = BTreeMap::new();
    for item in variables {
        if let UserVariableItem::ScuScpRoleSelectionSubItem(class, proposed) = item {
            let class = trimmed(class).to_owned();
            let is_stored = Service::of(&class) == Some(Service::Storage);
            let accepted = RequestorRoles { scu: proposed.scu, scp: proposed.scp && is_stored };
            roles.entry(class).or_insert(accepted);
        }
    }
    roles
}

/// The kind of user identity that came along, and the answer to it if one is asked for [PS3.7 D.3.3.7]. There are no
/// users here: a name is taken as it comes, with or without a passcode, and a ticket that nobody can check is not
/// confirmed.
fn answer_identity(variables: &[UserVariableItem]) -> (Option<u8>, Option<UserVariableItem>) {
    let identity = variables.iter().find_map(|item| match item {
        UserVariableItem::UserIdentityItem(identity) => Some(identity),
        _ => None,
    });
    let Some(identity) = identity else { return (None, None) };
    let kind = match identity.identity_type() {
        UserIdentityType::Username => 1,
        UserIdentityType::UsernamePassword => 2,
        UserIdentityType::KerberosServiceTicket => 3,
        UserIdentityType::SamlAssertion => 4,
        _ => 5,
    };
    let is_confirmed = kind <= 2 && identity.positive_response_requested();
    // A response for a name says nothing more than that it is one: its length is 0.
    (Some(kind), is_confirmed.then(|| UserVariableItem::Unknown(USER_IDENTITY_RESPONSE, vec![0, 0])))
}

/// What we say about ourselves in either role.
pub(super) fn own_variables() -> Vec<UserVariableItem> {
    vec![
        UserVariableItem::MaxLength(MAX_PDU),
        UserVariableItem::ImplementationClassUID(IMPLEMENTATION_CLASS_UID.to_owned()),
        UserVariableItem::ImplementationVersionName(IMPLEMENTATION_VERSION_NAME.to_owned()),
    ]
}

/// Longest PDU that a peer takes; 0 is no limit, and our own is one for what we send.
pub(super) fn max_pdu_of(variables: &[UserVariableItem]) -> u32 {
    let max_length = variables.iter().find_map(|item| match item {
        UserVariableItem::MaxLength(len) => Some(*len),
        _ => None,
    });
    max_length.filter(|&len| len > 0).map_or(MAX_PDU, |len| len.min(MAX_PDU))
}

const fn rejection(source: AssociationRJSource) -> AssociationRJ {
    AssociationRJ { result: AssociationRJResult::Permanent, source }
}

pub(super) fn trimmed(uid: &str) -> &str {
    uid.trim_matches(['\0', ' '])
}

/// The DICOM application context [PS3.7 A.2.1].
pub(super) const APPLICATION_CONTEXT: &str = "1.2.840.10008.3.1.1.1";

/// Item type of a server's response to a user identity [PS3.7 D.3.3.7.2].
const USER_IDENTITY_RESPONSE: u8 = 0x59;

#[cfg(test)]
mod tests {
    use dicom_ul::pdu::UserIdentity;

    use super::*;

    const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
    const FIND: &str = "1.2.840.10008.5.1.4.1.2.2.1";

    fn accepted(contexts: &[(&str, &str)], user_variables: Vec<UserVariableItem>) -> Accepted {
        let proposed = |(n, (abstract_syntax, last)): (usize, &(&str, &str))| PresentationContextProposed {
            id: n as u8 * 2 + 1,
            abstract_syntax: (*abstract_syntax).to_owned(),
            transfer_syntaxes: vec![format!("1.2.840.10008.1.2{last}")],
        };
        let request = AssociationRQ {
            protocol_version: 1,
            calling_ae_title: "X".into(),
            called_ae_title: "PRECINCT".into(),
            application_context_name: APPLICATION_CONTEXT.into(),
            presentation_contexts: contexts.iter().enumerate().map(proposed).collect(),
            user_variables,
        };
        negotiate(request, &Acceptor::new("PRECINCT")).unwrap_or_else(|_| panic!("rejected"))
    }

    #[test]
    fn padding_of_uids_means_nothing_and_other_services_are_not_accepted() {
        let accepted = accepted(&[("1.2.840.10008.5.1.4.1.1.2\0", ".1\0"), ("1.2.840.10008.5.1.4.31", "")], Vec::new());
        let reasons: Vec<_> =
            accepted.answer.presentation_contexts.iter().map(|result| result.reason.clone()).collect();
        use PresentationContextResultReason::{AbstractSyntaxNotSupported, Acceptance};
        assert_eq!(reasons, [Acceptance, AbstractSyntaxNotSupported]);
        assert_eq!(accepted.contexts.first().map(|context| context.abstract_syntax.as_str()), Some(CT));
    }

    #[test]
    fn d_3_3_4_the_requestor_may_be_provider_of_what_is_stored_and_of_nothing_else() {
        let role = |class: &str, scu, scp| {
            UserVariableItem::ScuScpRoleSelectionSubItem(class.to_owned(), RequestorRoles { scu, scp })
        };
        let variables =
            vec![role(CT, false, true), role(FIND, true, true), role(CT, true, false), role("1.2.3", true, true)];
        let accepted = accepted(&[(CT, ".1"), (FIND, ".1"), ("1.2.840.10008.5.1.4.1.1.4", ".1")], variables);
        let ours: Vec<_> = accepted.contexts.iter().map(|context| context.is_ours).collect();
        assert_eq!(ours, [true, false, false]);
        let answered: Vec<_> = accepted.answer.user_variables.iter().skip(3).cloned().collect();
        assert_eq!(answered, [role(CT, false, true), role(FIND, true, false)]);
    }

    #[test]
    fn d_3_3_7_a_name_is_confirmed_if_that_is_asked_for_and_a_ticket_never() {
        let identity = |asked, kind| {
            let fields = (b"name".to_vec(), b"secret".to_vec());
            let item = UserVariableItem::UserIdentityItem(UserIdentity::new(asked, kind, fields.0, fields.1));
            let accepted = accepted(&[(CT, ".1")], vec![item]);
            let confirmed = accepted.answer.user_variables.contains(&UserVariableItem::Unknown(0x59, vec![0, 0]));
            (accepted.user_identity, confirmed)
        };
        assert_eq!(identity(true, UserIdentityType::Username), (Some(1), true));
        assert_eq!(identity(true, UserIdentityType::UsernamePassword), (Some(2), true));
        assert_eq!(identity(false, UserIdentityType::UsernamePassword), (Some(2), false));
        assert_eq!(identity(true, UserIdentityType::SamlAssertion), (Some(4), false));
        assert_eq!(identity(true, UserIdentityType::Jwt), (Some(5), false));
    }

    #[test]
    fn what_a_peer_takes_is_bounded_by_what_we_make() {
        for (said, expect) in [(Some(0), MAX_PDU), (None, MAX_PDU), (Some(u32::MAX), MAX_PDU), (Some(16_384), 16_384)] {
            let variables: Vec<_> = said.map(UserVariableItem::MaxLength).into_iter().collect();
            assert_eq!(max_pdu_of(&variables), expect);
        }
    }
}
