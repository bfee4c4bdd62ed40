//! Where objects are sent by DICOM: the title of an application entity, and the address that it is called at.

use std::str::FromStr;

use serde::Deserialize;

use super::dicom_peer::ae_title_of;

/// An application entity that we may call, as `SINK=10.0.0.1:104` on the command line.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Entry")]
pub struct DicomDestination {
    /// By which title it is called, and known as the destination of a C-MOVE.
    pub ae_title: String,
    /// Host and port.
    pub address: String,
    /// Whether the connection is secured by TLS: `tls://` stood before the host.
    pub is_secured: bool,
}

/// As it stands in the configuration file, under `[[dicom_destination]]`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    ae_title: String,
    address: String,
}

impl DicomDestination {
    fn new(ae_title: &str, address: &str) -> Result<Self, String> {
        let ae_title = ae_title_of(ae_title)?;
        let address = address.trim();
        let (address, is_secured) = address.strip_prefix("tls://").map_or((address, false), |rest| (rest, true));
        let is_host_and_port = address
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0));
        let is_plain = address.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/' && byte != b'@');
        if !is_host_and_port || !is_plain {
            return Err(format!("`{address}` is not a host and a port, as 10.0.0.1:104"));
        }
        Ok(Self { ae_title, address: address.to_owned(), is_secured })
    }
}

impl FromStr for DicomDestination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (title, address) = text.rsplit_once('=').ok_or("a destination is written as TITLE=HOST:PORT")?;
        Self::new(title, address)
    }
}

impl TryFrom<Entry> for DicomDestination {
    type Error = String;

    fn try_from(entry: Entry) -> Result<Self, String> {
        Self::new(&entry.ae_title, &entry.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_destination_is_a_title_and_an_address() {
        let destination = |text: &str| text.parse::<DicomDestination>();
        let found = destination("A=B=pacs.example:104").unwrap();
        assert_eq!((found.ae_title.as_str(), found.address.as_str()), ("A=B", "pacs.example:104"));
        assert_eq!(destination("SINK=[::1]:104").unwrap().address, "[::1]:104");
        let secured = destination("SINK=tls://pacs.example:2762").unwrap();
        assert_eq!((secured.address.as_str(), secured.is_secured), ("pacs.example:2762", true));
        for wrong in ["SINK", "=h:1", "SINK=h", "SINK=h:0", "SINK=h:70000", "SINK=:104", "SINK=http://h:1", "S\\=h:1"] {
            assert!(destination(wrong).is_err(), "{wrong}");
        }
    }
}
