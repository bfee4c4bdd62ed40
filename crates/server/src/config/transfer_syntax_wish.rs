//! Which transfer syntaxes the DICOM service takes before others.

use std::str::FromStr;

use dicom_bridge::TransferSyntax;
use dicom_bridge::dimse::Preference;
use serde::Deserialize;

/// A transfer syntax that is preferred, by its UID, for all SOP classes or for the one before the `=`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct TransferSyntaxWish {
    sop_class_uid: Option<String>,
    transfer_syntax_uid: String,
}

impl TransferSyntaxWish {
    /// The wishes in the order in which they were said.
    #[must_use]
    pub fn preference(wishes: &[Self]) -> Preference {
        let mut preference = Preference::default();
        for Self { sop_class_uid, transfer_syntax_uid } in wishes.iter().cloned() {
            match sop_class_uid {
                Some(class) => preference.of_class.push((class, transfer_syntax_uid)),
                None => preference.general.push(transfer_syntax_uid),
            }
        }
        preference
    }
}

impl FromStr for TransferSyntaxWish {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (class, uid) = text.rsplit_once('=').map_or((None, text), |(class, uid)| (Some(class), uid));
        let is_uid = |uid: &str| !uid.is_empty() && uid.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if !TransferSyntax::from_uid(uid).is_known() {
            return Err(format!("`{uid}` is not the UID of a transfer syntax, as 1.2.840.10008.1.2.4.90"));
        }
        if let Some(class) = class.filter(|class| !is_uid(class)) {
            return Err(format!("`{class}` is not the UID of a SOP class"));
        }
        Ok(Self { sop_class_uid: class.map(str::to_owned), transfer_syntax_uid: uid.to_owned() })
    }
}

impl TryFrom<String> for TransferSyntaxWish {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_for_all_classes_or_for_one() {
        let wishes: Vec<TransferSyntaxWish> =
            ["1.2.840.10008.1.2.1", "1.2.3=1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.90"]
                .iter()
                .map(|text| text.parse().unwrap())
                .collect();
        let preference = TransferSyntaxWish::preference(&wishes);
        assert_eq!(preference.general, ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.4.90"]);
        assert_eq!(preference.of_class, [("1.2.3".to_owned(), "1.2.840.10008.1.2.5".to_owned())]);
        for wrong in ["", "1.2.3", "JPEG2000", "=1.2.840.10008.1.2.1", "CT=1.2.840.10008.1.2.1"] {
            assert!(wrong.parse::<TransferSyntaxWish>().is_err(), "{wrong}");
        }
    }
}
