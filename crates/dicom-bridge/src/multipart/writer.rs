//! What stands between the parts of a body that is sent.

/// Writes what stands before, between and behind the parts of one body; the bytes of the parts are the caller's.
#[derive(Debug, Clone)]
pub struct MultipartWriter {
    boundary: String,
    is_first: bool,
}

impl MultipartWriter {
    /// A writer with a boundary made of `random`: that it stands in no part is a matter of chance, and a small one.
    #[must_use]
    pub fn new(random: [u8; 16]) -> Self {
        let boundary = format!("precinct{:032x}", u128::from_be_bytes(random));
        Self { boundary, is_first: true }
    }

    /// The Content-Type of the whole body, whose parts are of the media type `part`.
    #[must_use]
    pub fn content_type(&self, part: &str) -> String {
        format!("multipart/related; type=\"{part}\"; boundary={}", self.boundary)
    }

    /// What stands before the bytes of the next part. Header values must be without line ends, which are left out.
    pub fn part(&mut self, headers: &[(&str, &str)]) -> String {
        let mut head = if self.is_first { String::new() } else { "\r\n".to_owned() };
        self.is_first = false;
        head.push_str("--");
        head.push_str(&self.boundary);
        head.push_str("\r\n");
        for (name, value) in headers {
            let value: String = value.chars().filter(|character| !character.is_control()).collect();
            head.push_str(name);
            head.push_str(": ");
            head.push_str(&value);
            head.push_str("\r\n");
        }
        head.push_str("\r\n");
        head
    }

    /// What stands behind the last part. A body without any part is only this.
    #[must_use]
    pub fn end(&self) -> String {
        let line_end = if self.is_first { "" } else { "\r\n" };
        format!("{line_end}--{}--\r\n", self.boundary)
    }
}
