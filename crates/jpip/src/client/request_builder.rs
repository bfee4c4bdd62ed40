//! Request fields as query text [15444-9 C.1].

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

/// The fields of one request, each at most once, in the order in which they were first set.
///
/// ```
/// use jpip::client::RequestBuilder;
///
/// let mut request = RequestBuilder::from_query("target=a%20b.j2k&layers=2");
/// request.set("fsiz", "640,480,closest").set("layers", "1");
/// assert_eq!(request.to_query(), "target=a%20b.j2k&layers=1&fsiz=640,480,closest");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestBuilder {
    /// Name and value as they stand in the query.
    fields: Vec<(String, Option<String>)>,
}

impl RequestBuilder {
    /// A request without fields.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The fields of a query that somebody else wrote, kept as they are; of a repeated field the last one.
    #[must_use]
    pub fn from_query(query: &str) -> Self {
        let mut request = Self::new();
        for field in query.split('&').filter(|field| !field.is_empty()) {
            match field.split_once('=') {
                Some((name, value)) => request.put(name, Some(value.to_owned())),
                None => request.put(field, None),
            }
        }
        request
    }

    /// Sets a field, in place of the value that it had; the value is percent-encoded where needed.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        self.put(name, Some(utf8_percent_encode(value, ESCAPED).to_string()));
        self
    }

    /// Sets a field to a pair of numbers, as `fsiz`, `roff` and `rsiz` have it.
    pub fn set_pair(&mut self, name: &str, (first, second): (u32, u32)) -> &mut Self {
        self.set(name, &format!("{first},{second}"))
    }

    /// Takes a field out.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.fields.retain(|(known, _)| known != name);
        self
    }

    /// The value of a field, percent-decoded; `None` when it is absent or no UTF-8.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<String> {
        let (_, value) = self.fields.iter().find(|(known, _)| known == name)?;
        let value = value.as_deref().unwrap_or_default();
        percent_decode_str(value).decode_utf8().ok().map(std::borrow::Cow::into_owned)
    }

    /// A field's value as a pair of numbers; what follows a second comma (the rounding of `fsiz`) is passed over.
    #[must_use]
    pub fn pair(&self, name: &str) -> Option<(u32, u32)> {
        let value = self.value(name)?;
        let mut numbers = value.split(',').map(|number| number.trim().parse().ok());
        Some((numbers.next()??, numbers.next()??))
    }

    /// Whether the field is present.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.fields.iter().any(|(known, _)| known == name)
    }

    /// The request as query text, without a question mark.
    #[must_use]
    pub fn to_query(&self) -> String {
        let fields = self.fields.iter().map(|(name, value)| match value {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        });
        fields.collect::<Vec<_>>().join("&")
    }

    fn put(&mut self, name: &str, value: Option<String>) {
        match self.fields.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.fields.push((name.to_owned(), value)),
        }
    }
}

/// What has a meaning in a query or may not stand in a request line; JPIP's own separators stay as they are.
const ESCAPED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'&')
    .add(b'+')
    .add(b'<')
    .add(b'>')
    .add(b'`')
    .add(b'?')
    .add(b'\\');

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c_1_fields_are_kept_replaced_and_encoded() {
        let mut request = RequestBuilder::from_query("target=x&handled&fsiz=1,2,closest&&layers=1&layers=2");
        assert_eq!(request.to_query(), "target=x&handled&fsiz=1,2,closest&layers=2");
        assert_eq!(request.pair("fsiz"), Some((1, 2)));
        request.set("target", "a b&c#d+e/f%").set_pair("roff", (3, 4)).remove("handled");
        assert_eq!(request.to_query(), "target=a%20b%26c%23d%2Be/f%25&fsiz=1,2,closest&layers=2&roff=3,4");
        assert_eq!(request.value("target").as_deref(), Some("a b&c#d+e/f%"));
        assert!(request.has("roff") && !request.has("handled"));
        assert_eq!(request.set("rsiz", "1").pair("rsiz"), None);
        assert_eq!(request.set("model", "[0-2],Hm,H*,P0:20").value("model").as_deref(), Some("[0-2],Hm,H*,P0:20"));
    }
}
