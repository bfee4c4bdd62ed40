//! Which transfer syntax an acceptor takes of those that are offered.

use super::service::{Service, VERIFICATION};
use crate::transfer_syntax::TransferSyntax;

/// The order in which an acceptor prefers transfer syntaxes, for all abstract syntaxes and for single ones.
///
/// What is listed comes first, in its order; then what JPIP can serve, without loss before with it; then the native
/// ones; then the rest in the order of the offer; and last those that only refer to pixel data, because an object that
/// holds its own is worth more than one that names a URL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preference {
    /// UIDs of transfer syntaxes, the most wanted first.
    pub general: Vec<String>,
    /// The same for one abstract syntax, whose UID stands first; these come before the general ones.
    pub of_class: Vec<(String, String)>,
}

impl Preference {
    /// The transfer syntax that is taken of `offered` for the abstract syntax, if any can be.
    pub(super) fn choose<'o>(&self, abstract_syntax: &str, offered: &[&'o str]) -> Option<&'o str> {
        let is_storage = Service::of(abstract_syntax) == Some(Service::Storage);
        let can_be = |uid: &&&str| match is_storage {
            true => TransferSyntax::from_uid(uid).is_known(),
            // Every message of the other services is short; nobody needs to compress it.
            false => UNCOMPRESSED.contains(*uid) && (abstract_syntax == VERIFICATION || **uid != BIG_ENDIAN),
        };
        let offered = offered.iter().filter(can_be);
        // Of equals the first is taken: the requestor's own order.
        offered.min_by_key(|uid| self.rank(abstract_syntax, uid)).copied()
    }

    /// Lower is better.
    fn rank(&self, abstract_syntax: &str, uid: &str) -> (u8, usize) {
        let of_class = self.of_class.iter().filter(|(class, _)| class == abstract_syntax);
        if let Some(at) = of_class.map(|(_, wanted)| wanted).position(|wanted| wanted == uid) {
            return (0, at);
        }
        if let Some(at) = self.general.iter().position(|wanted| wanted == uid) {
            return (1, at);
        }
        if let Some(at) = PREFERRED.iter().position(|wanted| *wanted == uid) {
            return (2, at);
        }
        (if TransferSyntax::from_uid(uid).is_jpip_referenced() { 4 } else { 3 }, 0)
    }
}

pub(super) const IMPLICIT_LITTLE: &str = "1.2.840.10008.1.2";
pub(super) const EXPLICIT_LITTLE: &str = "1.2.840.10008.1.2.1";
const BIG_ENDIAN: &str = "1.2.840.10008.1.2.2";
const UNCOMPRESSED: [&str; 3] = [IMPLICIT_LITTLE, EXPLICIT_LITTLE, BIG_ENDIAN];

const PREFERRED: [&str; 11] = [
    "1.2.840.10008.1.2.4.202",
    "1.2.840.10008.1.2.4.201",
    "1.2.840.10008.1.2.4.90",
    "1.2.840.10008.1.2.4.92",
    "1.2.840.10008.1.2.4.91",
    "1.2.840.10008.1.2.4.93",
    "1.2.840.10008.1.2.4.203",
    EXPLICIT_LITTLE,
    IMPLICIT_LITTLE,
    "1.2.840.10008.1.2.1.99",
    BIG_ENDIAN,
];

#[cfg(test)]
mod tests {
    use super::*;

    const CT: &str = "1.2.840.10008.5.1.4.1.1.2";
    const MR: &str = "1.2.840.10008.5.1.4.1.1.4";

    fn chosen(preference: &Preference, class: &str, offered: &[&str]) -> Option<String> {
        let offered: Vec<_> = offered.iter().map(|last| format!("1.2.840.10008.1.2{last}")).collect();
        let offered: Vec<_> = offered.iter().map(String::as_str).collect();
        preference.choose(class, &offered).map(|uid| uid.replacen("1.2.840.10008.1.2", "", 1))
    }

    #[test]
    fn what_jpip_can_serve_is_preferred_and_a_reference_comes_last() {
        for (offered, expect) in [
            (&["", ".1", ".4.90"][..], Some(".4.90")),
            (&[".1", ".4.90", ".4.201", ".4.202"], Some(".4.202")),
            (&[".4.91", ".4.90"], Some(".4.90")),
            (&[".1", ".4.91", ".4.203"], Some(".4.91")),
            (&["", ".1"], Some(".1")),
            (&[".5", ".4.70"], Some(".5")),
            (&[".4.70", ".5", ".1"], Some(".1")),
            (&[".4.94", ".4.70"], Some(".4.70")),
            (&[".4.205", ".4.95"], Some(".4.205")),
            (&[".4.9999"], None),
            (&[], None),
        ] {
            assert_eq!(chosen(&Preference::default(), CT, offered).as_deref(), expect, "{offered:?}");
        }
    }

    #[test]
    fn an_order_can_be_given_for_all_classes_and_for_one() {
        let uid = |last: &str| format!("1.2.840.10008.1.2{last}");
        let preference = Preference {
            general: vec![uid(".1"), uid(".4.90")],
            of_class: vec![(CT.into(), uid(".4.70")), (MR.into(), uid("")), (CT.into(), uid(".5"))],
        };
        assert_eq!(chosen(&preference, CT, &[".4.202", ".1", ".5", ".4.70"]).as_deref(), Some(".4.70"));
        assert_eq!(chosen(&preference, CT, &[".4.202", ".1", ".5"]).as_deref(), Some(".5"));
        assert_eq!(chosen(&preference, CT, &[".4.202", ".4.90", ".1"]).as_deref(), Some(".1"));
        assert_eq!(chosen(&preference, MR, &[".4.202", ".5", ""]).as_deref(), Some(""));
        assert_eq!(chosen(&preference, MR, &[".4.202", ".5"]).as_deref(), Some(".4.202"));
    }

    #[test]
    fn short_messages_are_not_compressed() {
        let chosen = |class, offered| chosen(&Preference::default(), class, offered);
        assert_eq!(chosen(VERIFICATION, &[".4.90", ""]).as_deref(), Some(""));
        let find = "1.2.840.10008.5.1.4.1.2.2.1";
        assert_eq!(chosen(find, &[".1.99", "", ".1"]).as_deref(), Some(".1"));
        assert_eq!(chosen(find, &[".2"]), None);
    }
}
