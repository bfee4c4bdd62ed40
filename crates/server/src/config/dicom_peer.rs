//! Who may send by DICOM: a network, and perhaps the AE title that a sender in it must call itself.

use std::str::FromStr;

use serde::Deserialize;

use super::Network;

/// A network whose addresses may send, as `10.0.0.0/8`, or one application entity in it, as `CT1@10.0.0.0/8`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct DicomPeer {
    /// The calling AE title that is taken; any if absent.
    pub ae_title: Option<String>,
    /// Where it calls from.
    pub network: Network,
}

impl FromStr for DicomPeer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.rsplit_once('@') {
            Some((title, network)) => Ok(Self { ae_title: Some(ae_title_of(title)?), network: network.parse()? }),
            None => Ok(Self { ae_title: None, network: text.parse()? }),
        }
    }
}

impl TryFrom<String> for DicomPeer {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// An AE title as it is compared: without the spaces around it, which mean nothing [PS3.5 6.2].
pub(super) fn ae_title_of(text: &str) -> Result<String, String> {
    let title = text.trim_matches(' ');
    let is_plain = title.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'\\');
    if title.is_empty() || title.len() > 16 || !is_plain {
        return Err(format!("`{text}` is not an AE title: 1 to 16 printable characters, no backslash"));
    }
    Ok(title.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_is_a_network_with_or_without_a_title() {
        let peer = |text: &str| text.parse::<DicomPeer>();
        assert_eq!(peer("10.0.0.0/8").unwrap().ae_title, None);
        assert_eq!(peer("CT@1@10.0.0.0/8").unwrap().ae_title.as_deref(), Some("CT@1"));
        for wrong in ["@10.0.0.0/8", "CT1", "CT1@", "A\\B@10.0.0.0/8", "SEVENTEEN_LETTERS@::1"] {
            assert!(peer(wrong).is_err(), "{wrong}");
        }
    }
}
