//! The HTTP client of the commands that talk to a server.

use reqwest::{Client, ClientBuilder};

/// A client for the server at `url`. Over plain HTTP it does without certificate authorities, which a small machine may
/// not have: a client that looks for them in vain could not even be made.
pub(super) fn client_for(url: &str) -> ClientBuilder {
    if url.starts_with("https://") { Client::builder() } else { Client::builder().tls_certs_only([]) }
}
