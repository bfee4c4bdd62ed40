//! The query of our own routes: known fields, each once.

use std::collections::HashMap;

use percent_encoding::percent_decode_str;

use super::{error::Problem, routes::Field};

/// The fields of a query; `+` is a space, as HTML forms write it.
///
/// # Errors
///
/// 400 for a field that is not among `known`, is given twice, or is not UTF-8.
pub(super) fn fields(query: Option<&str>, known: &'static [Field]) -> Result<HashMap<&'static str, String>, Problem> {
    let mut fields = HashMap::new();
    for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = decode(name)?;
        let Some(name) = known.iter().map(|known| known.name).find(|known| *known == name) else {
            let known = known.iter().map(|known| known.name).collect::<Vec<_>>().join(", ");
            return Err(Problem::bad_request(format!("the query has an unknown parameter; known are: {known}")));
        };
        if fields.insert(name, decode(value)?).is_some() {
            return Err(Problem::bad_request(format!("{name} is given twice")));
        }
    }
    Ok(fields)
}

fn decode(text: &str) -> Result<String, Problem> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode_str(&spaced).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(|_error| Problem::bad_request("the query is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_fields_are_read_and_others_refused() {
        const KNOWN: &[Field] = &[Field::new("name", ""), Field::new("limit", "")];
        let known = KNOWN;
        let read = fields(Some("name=a%20b+c%2B&&limit="), known).unwrap();
        assert_eq!(read["name"], "a b c+");
        assert_eq!(read["limit"], "");
        assert!(fields(None, known).unwrap().is_empty());
        for wrong in ["names=a", "name=a&name=b", "name=%FF", "Name=a"] {
            assert!(fields(Some(wrong), known).is_err(), "{wrong}");
        }
    }
}
