//! `type`: the media types that the client takes [15444-9 C.7.3].

use super::error::RequestError;
use crate::limits::Limits;

/// One element of `type`, in the client's order of preference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReturnType {
    /// `jpp-stream`; `extended` with `;ptype=ext`: precinct messages carry Aux.
    JppStream {
        /// Class 1 instead of class 0.
        extended: bool,
    },
    /// `jpt-stream`; `extended` with `;ttype=ext`: tile messages carry Aux.
    JptStream {
        /// Class 5 instead of class 4.
        extended: bool,
    },
    /// `raw`: the whole target as it is stored.
    Raw,
    /// Any other media type, lower case, without parameters.
    Media(String),
}

impl ReturnType {
    pub(crate) fn parse_list(field: &'static str, value: &[u8], limits: &Limits) -> Result<Vec<Self>, RequestError> {
        let text = String::from_utf8_lossy(value).to_ascii_lowercase();
        let mut found = Vec::new();
        for item in text.split(',') {
            if found.len() >= limits.max_list_items {
                return Err(RequestError::LimitExceeded { field, limit: limits.max_list_items });
            }
            let mut parts = item.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default();
            if name.is_empty() {
                return Err(RequestError::malformed(field, "an empty media type"));
            }
            let parameters: Vec<&str> = parts.take(8).collect();
            found.push(match name.strip_prefix("image/").unwrap_or(name) {
                "jpp-stream" => Self::JppStream { extended: parameters.contains(&"ptype=ext") },
                "jpt-stream" => Self::JptStream { extended: parameters.contains(&"ttype=ext") },
                "raw" => Self::Raw,
                _ => Self::Media(name.to_owned()),
            });
        }
        Ok(found)
    }

    /// The `Content-Type` of a reply of this type; `None` for `raw`, where it depends on the target.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        Some(match self {
            Self::JppStream { extended: false } => "image/jpp-stream",
            Self::JppStream { extended: true } => "image/jpp-stream;ptype=ext",
            Self::JptStream { extended: false } => "image/jpt-stream",
            Self::JptStream { extended: true } => "image/jpt-stream;ttype=ext",
            Self::Raw => return None,
            Self::Media(name) => name,
        })
    }
}
