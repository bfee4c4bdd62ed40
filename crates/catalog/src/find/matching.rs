//! Whether the attributes of a row match a key [PS3.4 C.2.2.2].

use serde_json::{Map, Value};

use super::{Match, Want};
use crate::levels::{fold, fold_words};

/// Whether one of the values that the path leads to is what is wanted.
pub(super) fn matches(attributes: &Map<String, Value>, key: &Match) -> bool {
    let Some((&tag, rest)) = key.path.split_first() else { return true };
    let attribute = attributes.get(&format!("{tag:08X}"));
    let values = attribute.and_then(|attribute| attribute.get("Value")).and_then(Value::as_array);
    let values = values.into_iter().flatten();
    if !rest.is_empty() {
        let inner = Match { path: rest.to_vec(), want: key.want.clone() };
        let mut items = values.filter_map(Value::as_object).peekable();
        return match (&key.want, items.peek()) {
            (Want::Empty, None) => true,
            _ => items.any(|item| matches(item, &inner)),
        };
    }
    let mut texts = values.filter_map(Value::as_str).filter(|text| !text.is_empty());
    match &key.want {
        Want::Empty => texts.next().is_none(),
        Want::OneOf(wanted) => texts.any(|text| wanted.iter().any(|value| is_same(text, value))),
        Want::Like(pattern) => texts.any(|text| is_like(text, pattern)),
        Want::Name(pattern) => texts.any(|text| is_name_like(text, pattern)),
        Want::NameWords(words) => texts.any(|text| begins_words(text, words)),
        Want::Range(from, to) => texts.any(|text| is_between(text, from.as_deref(), to.as_deref())),
    }
}

/// Equal as text, or as a number where both are one: `1` and `+01` are the same Instance Number.
fn is_same(text: &str, wanted: &str) -> bool {
    text == wanted
        || (text.len() <= 16
            && wanted.len() <= 16
            && matches!((text.parse::<f64>(), wanted.parse::<f64>()), (Ok(a), Ok(b)) if a == b)
            && !text.starts_with('0')
            && !wanted.starts_with('0'))
}

/// Wildcard matching; time in proportion to both lengths at worst.
fn is_like(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<char>) = (text.chars().collect(), pattern.chars().collect());
    let (mut at, mut next) = (0, 0);
    // Where the last `*` stands, and up to where it has taken the text.
    let mut star = None;
    while at < text.len() {
        match pattern.get(next) {
            Some('*') => {
                star = Some((next, at));
                next += 1;
            }
            Some('?') => (at, next) = (at + 1, next + 1),
            Some(c) if text.get(at) == Some(c) => (at, next) = (at + 1, next + 1),
            _ => match star {
                Some((place, taken)) => {
                    star = Some((place, taken + 1));
                    (at, next) = (taken + 1, place + 1);
                }
                None => return false,
            },
        }
    }
    pattern.get(next..).unwrap_or_default().iter().all(|c| *c == '*')
}

/// Any group of components of the pattern that is not empty matches any group of the name.
fn is_name_like(name: &str, pattern: &str) -> bool {
    let groups: Vec<_> = name.split('=').map(fold).collect();
    let mut wanted = pattern.split('=').map(fold).filter(|group| !group.is_empty());
    wanted.any(|wanted| groups.iter().any(|group| is_like(group, &wanted)))
}

/// Every word that is wanted begins a word of the name.
fn begins_words(name: &str, wanted: &str) -> bool {
    let (name, wanted) = (fold_words(&name.replace('=', " ")), fold_words(&wanted.replace('*', " ")));
    wanted.split(' ').filter(|word| !word.is_empty()).all(|word| name.split(' ').any(|have| have.starts_with(word)))
}

/// A date or time that is told less exactly stands for all that it may be [PS3.4 C.2.2.2.5].
fn is_between(text: &str, from: Option<&str>, to: Option<&str>) -> bool {
    let plain = |text: &str| text.replace(':', "");
    let text = plain(text);
    let beginning = |len: usize| text.get(..len.min(text.len())).unwrap_or(&text);
    from.is_none_or(|from| text.as_str() >= plain(from).as_str())
        && to.is_none_or(|to| {
            let to = plain(to);
            beginning(to.len()) <= to.as_str()
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn wildcards_stand_for_any_and_for_one() {
        for (text, pattern, like) in [
            ("CT HEAD", "CT*", true),
            ("CT HEAD", "*HEAD", true),
            ("CT HEAD", "*T*A*", true),
            ("CT HEAD", "CT?HEAD", true),
            ("CT HEAD", "CT HEA", false),
            ("CT", "CT?", false),
            ("", "*", true),
            ("aaaaaaaaaaaaaaaaaaaaaaab", "*a*a*a*a*a*a*a*c", false),
        ] {
            assert_eq!(is_like(text, pattern), like, "{text} {pattern}");
        }
    }

    #[test]
    fn names_match_by_any_group_without_case_and_accents() {
        let name = "Yamada^Tarou=山田^太郎=やまだ^たろう";
        assert!(is_name_like(name, "yamada*"));
        assert!(is_name_like(name, "=山田*"));
        assert!(is_name_like(name, "山田^太郎"));
        assert!(is_name_like("Müller^Jörg^^", "MULLER^JORG"));
        assert!(!is_name_like("Müller^Jörg", "Jörg*"));
        assert!(begins_words("Müller^Jörg Otto", "otto mull"));
        assert!(!begins_words("Müller^Jörg", "jorg x"));
    }

    #[test]
    fn ranges_include_both_ends_and_all_that_a_short_time_may_be() {
        assert!(is_between("20240131", Some("20240101"), Some("20240131")));
        assert!(!is_between("20240201", None, Some("20240131")));
        assert!(is_between("101530.25", Some("10"), Some("10")));
        assert!(is_between("235959", Some("22:30"), None));
        assert!(!is_between("110000", None, Some("1059")));
    }

    #[test]
    fn numbers_are_the_same_however_they_are_written() {
        assert!(is_same("1", "+1") && is_same("1.0", "1") && is_same("+7", "7"));
        assert!(!is_same("0012", "12"), "an identifier with leading zeros is another one");
        assert!(!is_same("12", "13"));
    }

    #[test]
    fn paths_lead_into_sequences() {
        let attributes = json!({"00400275": {"vr": "SQ", "Value": [
            {"00400009": {"vr": "SH", "Value": ["A"]}}, {"00400009": {"vr": "SH", "Value": ["B"]}}]}});
        let key =
            |value: &str| Match { path: vec![0x0040_0275, 0x0040_0009], want: Want::OneOf(vec![value.to_owned()]) };
        let attributes = attributes.as_object().cloned().unwrap_or_default();
        assert!(matches(&attributes, &key("B")));
        assert!(!matches(&attributes, &key("C")));
        assert!(matches(&attributes, &Match { path: vec![0x0040_0275, 0x0040_1001], want: Want::Empty }));
    }
}
