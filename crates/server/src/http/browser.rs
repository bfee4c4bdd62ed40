//! Which web pages may talk to this server: CORS, foreign origins, and names that only seem to be loopback.

use std::net::IpAddr;

use axum::body::Body;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};

use super::{delivery::Peer, header_case};

/// What viewers read besides: where a range of a frame lies, and what a search left out.
const EXPOSED: [&str; 4] = ["Accept-Ranges", "Content-Range", "ETag", "Warning"];

/// The rules of one server.
#[derive(Debug)]
pub(crate) struct BrowserRules {
    /// Origins besides loopback, lower case, without a slash at the end.
    origins: Vec<String>,
    /// Host of the public URL, with its port if it names one.
    public_host: Option<String>,
    expose: HeaderValue,
}

impl BrowserRules {
    pub(crate) fn new(origins: Vec<String>, public_url: Option<&str>) -> Self {
        let public_host = public_url
            .and_then(|url| url.split_once("://"))
            .map(|(_scheme, rest)| rest.split_once('/').map_or(rest, |(host, _path)| host).to_ascii_lowercase());
        let jpip = header_case::NAMES.iter().copied().filter(|name| name.starts_with("JPIP-"));
        let exposed: Vec<&str> = jpip.chain(EXPOSED).collect();
        let expose = HeaderValue::from_str(&exposed.join(",")).unwrap_or(HeaderValue::from_static("*"));
        Self { origins, public_host, expose }
    }

    /// Whether the Host of a request fits the address that it came to.
    ///
    /// A page whose name was made to resolve to 127.0.0.1 (DNS rebinding) is same-origin for its browser; its Host
    /// header gives it away.
    pub(crate) fn accepts_host(&self, peer: &Peer, headers: &HeaderMap) -> bool {
        let Some(host) = headers.get(header::HOST) else { return true };
        if !peer.is_on_loopback() {
            return true;
        }
        let Ok(host) = host.to_str() else { return false };
        is_loopback_name(host_without_port(host))
            || self.public_host.as_deref().is_some_and(|public| public.eq_ignore_ascii_case(host))
    }

    /// Whether a page of another site asks to change something here.
    pub(crate) fn is_foreign(&self, headers: &HeaderMap) -> bool {
        if let Some(origin) = headers.get(header::ORIGIN) {
            return !self.allows(origin) && !is_same_origin(origin, headers);
        }
        headers.get("sec-fetch-site").is_some_and(|site| site == "cross-site")
    }

    /// Whether pages of this origin may read answers.
    fn allows(&self, origin: &HeaderValue) -> bool {
        let Ok(origin) = origin.to_str() else { return false };
        let origin = origin.to_ascii_lowercase();
        if self.origins.contains(&origin) {
            return true;
        }
        let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        host.is_some_and(|host| {
            let name = host_without_port(host);
            (name == "localhost" || name == "127.0.0.1" || name == "[::1]") && is_port(host.get(name.len()..))
        })
    }

    /// Adds what lets a page of an allowed origin read `response`.
    pub(crate) fn apply<B>(&self, origin: Option<&HeaderValue>, response: &mut Response<B>) {
        let Some(origin) = origin else { return };
        let headers = response.headers_mut();
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        if self.allows(origin) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, self.expose.clone());
        }
    }

    /// The answer to OPTIONS, preflight or not; the origin is added by [`BrowserRules::apply`].
    pub(crate) fn options(&self, allowed: &'static str, headers: &HeaderMap) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let answer = response.headers_mut();
        answer.insert(header::ALLOW, HeaderValue::from_static(allowed));
        if headers.contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
            && headers.get(header::ORIGIN).is_some_and(|origin| self.allows(origin))
        {
            answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(allowed));
            if let Some(wanted) = headers.get(header::ACCESS_CONTROL_REQUEST_HEADERS).filter(|h| h.len() <= 1024) {
                answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
            }
            answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
            if headers.contains_key("access-control-request-private-network") {
                let name = HeaderName::from_static("access-control-allow-private-network");
                answer.insert(name, HeaderValue::from_static("true"));
            }
        }
        response
    }
}

/// Whether `method` changes nothing.
pub(crate) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn is_same_origin(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    matches!((origin, host), (Some((_scheme, origin)), Some(host)) if origin.eq_ignore_ascii_case(host))
}

fn host_without_port(host: &str) -> &str {
    match host.rfind(':') {
        Some(colon) if !host.get(colon..).unwrap_or_default().contains(']') => host.get(..colon).unwrap_or(host),
        _ => host,
    }
}

fn is_port(text: Option<&str>) -> bool {
    match text {
        None | Some("") => true,
        Some(text) => text.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok()),
    }
}

fn is_loopback_name(name: &str) -> bool {
    if name.eq_ignore_ascii_case("localhost") || name.eq_ignore_ascii_case("localhost.") {
        return true;
    }
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn loopback_origins_and_configured_ones_may_read() {
        let rules = BrowserRules::new(vec!["https://viewer.example:8443".into()], None);
        for (origin, allowed) in [
            ("http://localhost:5173", true),
            ("https://localhost", true),
            ("http://127.0.0.1:1", true),
            ("https://Viewer.example:8443", true),
            ("https://viewer.example", false),
            ("http://localhost.evil.example", false),
            ("http://127.0.0.1.evil.example", false),
            ("http://localhost:evil", false),
            ("http://localhost:80@evil.example", false),
            ("null", false),
        ] {
            assert_eq!(rules.allows(&HeaderValue::from_static(origin)), allowed, "{origin}");
        }
    }

    #[test]
    fn on_loopback_only_loopback_names_are_hosts() {
        let rules = BrowserRules::new(Vec::new(), Some("https://images.example/precinct"));
        let loopback = Peer::new("127.0.0.1:9".parse().unwrap(), "127.0.0.1:80".parse().unwrap());
        let outside = Peer::new("10.0.0.9:9".parse().unwrap(), "10.0.0.1:80".parse().unwrap());
        for (host, accepted) in [
            ("localhost:8080", true),
            ("127.0.0.1", true),
            ("127.0.0.2:80", true),
            ("[::1]:80", true),
            ("images.example", true),
            ("evil.example", false),
            ("localhost.evil.example:8080", false),
            ("", false),
        ] {
            assert_eq!(rules.accepts_host(&loopback, &headers(&[("host", host)])), accepted, "{host}");
            assert!(rules.accepts_host(&outside, &headers(&[("host", host)])));
        }
        assert!(rules.accepts_host(&loopback, &HeaderMap::new()));
    }

    #[test]
    fn a_page_of_another_site_is_foreign() {
        let rules = BrowserRules::new(Vec::new(), None);
        assert!(rules.is_foreign(&headers(&[("origin", "https://evil.example"), ("host", "pacs.example")])));
        assert!(rules.is_foreign(&headers(&[("origin", "null")])));
        assert!(rules.is_foreign(&headers(&[("sec-fetch-site", "cross-site")])));
        assert!(!rules.is_foreign(&headers(&[("origin", "https://pacs.example"), ("host", "pacs.example")])));
        assert!(!rules.is_foreign(&headers(&[("origin", "http://localhost:5173"), ("host", "localhost:8080")])));
        assert!(!rules.is_foreign(&HeaderMap::new()));
    }
}
