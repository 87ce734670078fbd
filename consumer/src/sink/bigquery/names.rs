//! Pure. Which column holds which field of a record: by what its description says, or else by its name.

use std::collections::{BTreeMap, BTreeSet};

use twox_hash::XxHash3_128;

use super::service_field::ServiceField;

/// Longest name of a column.
const NAME_LENGTH_MAX: usize = 300;
/// Longest description of a column, in characters.
const DESCRIPTION_LENGTH_MAX: usize = 1_024;
/// What the service lets no column's name begin with, in any case; the last one is for change data.
const RESERVED_PREFIXES: [&str; 7] =
    ["_TABLE_", "_FILE_", "_PARTITION", "_ROW_TIMESTAMP", "__ROOT__", "_COLIDENTIFIER", "_CHANGE_"];
/// What is ours at the top.
const OURS: &str = "KAFKA_";
/// The column of a value that has no fields.
const WHOLE_NAME: &str = "value";

const BEGIN: &str = "Field \"";
const BEGIN_DIGEST: &str = "Field 0x";
const END: &str = " of the record";
const WHOLE: &str = "The whole value of the record";
/// What a column says that holds nothing.
pub(super) const NOTHING: &str = "No field of the record: a RECORD has at least one";

/// The columns beside each other at one place, by the field that they hold.
#[derive(Debug)]
pub(super) struct Siblings<'a> {
    by_sentence: BTreeMap<&'a str, &'a ServiceField>,
    by_name: BTreeMap<&'a str, &'a ServiceField>,
    /// In lower case: the service does not tell cases apart.
    taken: BTreeSet<String>,
    is_top: bool,
}

impl<'a> Siblings<'a> {
    /// The columns of a table; those called as one of `ours` hold no field.
    pub(super) fn at_top(fields: &'a [ServiceField], ours: &[ServiceField]) -> Self {
        Self::new(fields, ours, true)
    }

    pub(super) fn nested(fields: &'a [ServiceField]) -> Self {
        Self::new(fields, &[], false)
    }

    fn new(fields: &'a [ServiceField], ours: &[ServiceField], is_top: bool) -> Self {
        let mut siblings = Self {
            by_sentence: BTreeMap::new(),
            by_name: BTreeMap::new(),
            taken: ours.iter().map(|field| field.name.to_lowercase()).collect(),
            is_top,
        };
        for field in fields {
            let is_ours = ours.iter().any(|own| own.name.eq_ignore_ascii_case(&field.name));
            siblings.take(&field.name);
            if is_ours || !is_plain(&field.name) {
                continue;
            }
            match said(field) {
                Some(sentence) => siblings.by_sentence.entry(sentence).or_insert(field),
                None => siblings.by_name.entry(&field.name).or_insert(field),
            };
        }
        siblings
    }

    /// The column that holds the field; `None` is the record's whole value.
    pub(super) fn find(&self, field: Option<&str>) -> Option<&'a ServiceField> {
        let by_sentence = self.by_sentence.get(sentence(field).as_str());
        by_sentence.or_else(|| self.by_name.get(field.unwrap_or(WHOLE_NAME))).copied()
    }

    pub(super) fn take(&mut self, name: &str) {
        self.taken.insert(name.to_lowercase());
    }

    /// A name for a new column, which is taken from then on.
    pub(super) fn name(&mut self, field: Option<&str>) -> String {
        let wanted = plain_name(field.unwrap_or(WHOLE_NAME));
        let is_ours = self.is_top && starts_with(&wanted, OURS);
        let is_free = |name: &str| !self.taken.contains(&name.to_lowercase());
        let name = if !is_ours && is_free(&wanted) {
            wanted
        } else {
            let numbered = |number: u32| {
                let suffix = format!("_{number}");
                let length = wanted.len().min(NAME_LENGTH_MAX - suffix.len());
                format!("{}{suffix}", &wanted[..length])
            };
            let mut names = (2..).map(numbered);
            names.find(|name| is_free(name)).expect("siblings are fewer than numbers")
        };
        self.take(&name);
        name
    }
}

/// The description of a new column, if its name alone does not say what it holds.
///
/// A field called `value` is always described: the whole value of a record has that name, too.
pub(super) fn description(field: Option<&str>, name: &str) -> Option<String> {
    let is_plain = field == Some(name) && name != WHOLE_NAME;
    (!is_plain).then(|| sentence(field))
}

/// The field that a column holds, if that can be told: `Some(None)` is the record's whole value.
pub(super) fn field_of(field: &ServiceField) -> Option<Option<String>> {
    if !is_plain(&field.name) {
        return None;
    }
    let Some(sentence) = said(field) else { return Some(Some(field.name.clone())) };
    if sentence == WHOLE {
        return Some(None);
    }
    let text = sentence.strip_prefix("Field ")?.strip_suffix(END)?;
    serde_json::from_str(text).ok().map(Some)
}

/// What the description of a field's column says.
fn sentence(field: Option<&str>) -> String {
    let Some(field) = field else { return WHOLE.into() };
    let text = format!("Field {}{END}", serde_json::Value::from(field));
    if text.chars().count() <= DESCRIPTION_LENGTH_MAX {
        return text;
    }
    format!("{BEGIN_DIGEST}{:032x}{END}", XxHash3_128::oneshot(field.as_bytes()))
}

/// The sentence of ours within a column's description. People may write around it.
fn said(field: &ServiceField) -> Option<&str> {
    let text = field.description.as_deref()?;
    let fixed = |fixed: &str| text.find(fixed).map(|at| &text[at..at + fixed.len()]);
    let found = quoted(text).or_else(|| digest(text));
    found.or_else(|| fixed(WHOLE)).or_else(|| fixed(NOTHING))
}

fn quoted(text: &str) -> Option<&str> {
    text.match_indices(BEGIN).find_map(|(at, _)| {
        let mut is_escaped = false;
        let inner = &text[at + BEGIN.len()..];
        let quote = inner.bytes().position(|byte| {
            let is_end = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            is_end
        })?;
        let end = at + BEGIN.len() + quote + 1;
        text[end..].starts_with(END).then(|| &text[at..end + END.len()])
    })
}

fn digest(text: &str) -> Option<&str> {
    text.match_indices(BEGIN_DIGEST).find_map(|(at, _)| {
        let end = at + text[at..].find(END)? + END.len();
        Some(&text[at..end])
    })
}

/// The field's name as far as the service takes it: other characters become underscores.
fn plain_name(field: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    let mut name: String = field.chars().map(plain).collect();
    let first = name.chars().next();
    if first.is_none_or(|first| first.is_ascii_digit()) {
        name.insert(0, '_');
    }
    if RESERVED_PREFIXES.iter().any(|prefix| starts_with(&name, prefix)) {
        name.insert_str(0, "field");
    }
    name.truncate(NAME_LENGTH_MAX);
    name
}

/// Names of other letters would have to be annotated in each row's message.
fn is_plain(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn starts_with(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(prefix))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::service_field::ServiceType;
    use super::*;

    fn described(name: &str, description: &str) -> ServiceField {
        let mut field = ServiceField::new(name, ServiceType::String);
        field.description = (!description.is_empty()).then(|| description.into());
        field
    }

    fn new_name(field: &str) -> String {
        Siblings::at_top(&[], &[]).name(Some(field))
    }

    #[test]
    fn names_follow_the_rule() {
        for (field, name) in [
            ("a", "a"),
            ("A-b.c", "A_b_c"),
            ("1a", "_1a"),
            ("", "_"),
            ("é", "_"),
            ("_Partitiontime", "field_Partitiontime"),
            ("_change_type", "field_change_type"),
            ("kafka_offset", "kafka_offset_2"),
            ("Kafka_x", "Kafka_x_2"),
            (&"x".repeat(400), &"x".repeat(300)),
        ] {
            assert_eq!(new_name(field), name, "{field}");
        }
        let mut siblings = Siblings::nested(&[]);
        let long = "x".repeat(400);
        for (field, name) in [
            ("a", "a"),
            ("A", "A_2"),
            ("a_2", "a_2_2"),
            ("kafka_offset", "kafka_offset"),
            (long.as_str(), &long[..300]),
            (&long[..350], &format!("{}_2", &long[..298])),
        ] {
            assert_eq!(siblings.name(Some(field)), name, "{field}");
        }
    }

    #[test]
    fn descriptions_come_before_names_and_people_may_write_around_them() {
        let fields = [
            described("a", "Field \"b\" of the record"),
            described("b", "Of orders. Field \"a\" of the record. Never empty"),
            described("c", "Field \"a\" is better"),
            described("d", "Field \"x\\\" of the record\" of the record"),
            described("e", NOTHING),
            described("f", "The whole value of the record"),
            described("ü", ""),
        ];
        let siblings = Siblings::at_top(&fields, &[]);
        let name = |field| siblings.find(field).map(|field| field.name.as_str());
        for (field, found) in [
            (Some("a"), Some("b")),
            (Some("b"), Some("a")),
            (Some("c"), Some("c")),
            (Some("C"), None),
            (Some("d"), None),
            (Some("x\" of the record"), Some("d")),
            (Some("x"), None),
            (Some("e"), None),
            (Some("ü"), None),
            (None, Some("f")),
        ] {
            assert_eq!(name(field), found, "{field:?}");
        }
    }

    #[test]
    fn a_column_of_the_whole_value_may_be_found_by_name() {
        let fields = [described("value", "")];
        assert!(Siblings::at_top(&fields, &[]).find(None).is_some());
        let fields = [described("value", &description(Some("value"), "value").unwrap())];
        assert!(Siblings::at_top(&fields, &[]).find(None).is_none());
    }

    proptest! {
        /// Any field's column is found again by its description, and says no other field's name.
        #[test]
        fn fields_are_found_by_their_sentence(field in ".{0,40}|\\PC{250,300}|\u{1}{100,300}", other in ".{0,40}") {
            let text = sentence(Some(&field));
            prop_assert!(text.chars().count() <= DESCRIPTION_LENGTH_MAX);
            let fields = [described("c", &format!("Here: {text}!"))];
            let siblings = Siblings::at_top(&fields, &[]);
            prop_assert!(siblings.find(Some(&field)).is_some());
            prop_assert_eq!(siblings.find(Some(&other)).is_some(), other == field);
            let said = field_of(&fields[0]);
            prop_assert!(said == Some(Some(field)) || text.starts_with(BEGIN_DIGEST));
        }
    }
}
