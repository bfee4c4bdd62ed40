//! `cnew` and `cclose` [15444-9 C.3].

use super::error::RequestError;
use crate::limits::Limits;

/// A transport that `cnew` offers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Transport {
    /// Responses travel in the body of the HTTP reply.
    Http,
    /// Responses travel on an auxiliary TCP connection [15444-9 G].
    HttpTcp,
    /// Responses travel in datagrams [15444-9 K].
    HttpUdp,
    /// A name that the standard does not define.
    Other(String),
}

/// The channels that `cclose` names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseList {
    /// Every channel of the session that the request's `cid` belongs to.
    All,
    /// These channels.
    Channels(Vec<String>),
}

impl Transport {
    /// The name that requests and `JPIP-cnew` use.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Http => "http",
            Self::HttpTcp => "http-tcp",
            Self::HttpUdp => "http-udp",
            Self::Other(name) => name,
        }
    }

    pub(crate) fn parse_list(field: &'static str, value: &[u8], limits: &Limits) -> Result<Vec<Self>, RequestError> {
        let names = tokens(field, value, limits)?;
        Ok(names
            .into_iter()
            .map(|name| match name.as_str() {
                "http" => Self::Http,
                "http-tcp" => Self::HttpTcp,
                "http-udp" => Self::HttpUdp,
                _ => Self::Other(name),
            })
            .collect())
    }
}

impl CloseList {
    pub(crate) fn parse(field: &'static str, value: &[u8], limits: &Limits) -> Result<Self, RequestError> {
        if value == b"*" {
            return Ok(Self::All);
        }
        Ok(Self::Channels(tokens(field, value, limits)?))
    }
}

fn tokens(field: &'static str, value: &[u8], limits: &Limits) -> Result<Vec<String>, RequestError> {
    let mut found = Vec::new();
    for token in value.split(|&byte| byte == b',') {
        if found.len() >= limits.max_list_items {
            return Err(RequestError::LimitExceeded { field, limit: limits.max_list_items });
        }
        let printable = !token.is_empty() && token.iter().all(|byte| byte.is_ascii_graphic());
        if !printable {
            return Err(RequestError::malformed(field, "not a list of tokens"));
        }
        found.push(String::from_utf8_lossy(token).into_owned());
    }
    Ok(found)
}
