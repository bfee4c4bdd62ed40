//! The HTTP client of the commands that talk to a server.

use anyhow::bail;
use reqwest::{Client, ClientBuilder};

/// A client for the server at `url`. Over plain HTTP it does without certificate authorities, which a small machine may
/// not have: a client that looks for them in vain could not even be made.
pub(super) fn client_for(url: &str) -> ClientBuilder {
    if url.starts_with("https://") { Client::builder() } else { Client::builder().tls_certs_only([]) }
}

/// The base URL that `--to` gives, without a slash at the end.
///
/// # Errors
///
/// If it is not one.
pub(super) fn base_url(to: &str) -> anyhow::Result<&str> {
    if !to.starts_with("http://") && !to.starts_with("https://") {
        bail!("--to takes the base URL of a server, as http://127.0.0.1:8080, and not {to}");
    }
    Ok(to.trim_end_matches('/'))
}
