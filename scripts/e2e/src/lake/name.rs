//! Pure. Where an object of a lake stands: table, topic, partition and first offset, by its path.

const FOLDER: &str = "partition=";
const SUFFIX: &str = ".parquet";
const OFFSET_DIGITS: usize = 20;
const ID_DIGITS: usize = 8;

/// `<table>/partition=<p>/<topic>+<p>+<from, 20 digits>[+<topic id, 8 digits>].parquet`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectName {
    pub table: String,
    pub topic: String,
    /// First digits of the topic's id; absent where the table's first topic of that name is meant.
    pub id_digits: Option<String>,
    pub partition: u32,
    /// First offset that the object covers.
    pub from: u64,
}

/// What a path below a lake's root is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    Object(ObjectName),
    /// Kept for the lake itself: something in the path begins with `_` or `.`.
    Private,
    /// Readers of the table would read it, and nobody says where its rows come from.
    Foreign {
        table: String,
    },
    /// No Parquet file.
    Other,
}

/// Classifies a path relative to the lake's root.
pub fn classify(path: &str) -> Entry {
    let parts: Vec<&str> = path.split('/').collect();
    if parts.iter().any(|part| part.starts_with(['_', '.'])) {
        return Entry::Private;
    }
    if !path.ends_with(SUFFIX) {
        return Entry::Other;
    }
    let table = parts[0].to_owned();
    match parts.as_slice() {
        [table, folder, file] => match object(table, folder, file) {
            Some(name) => Entry::Object(name),
            None => Entry::Foreign { table: (*table).into() },
        },
        _ => Entry::Foreign { table },
    }
}

fn object(table: &str, folder: &str, file: &str) -> Option<ObjectName> {
    let of_folder = number(folder.strip_prefix(FOLDER)?)?;
    let mut parts = file.strip_suffix(SUFFIX)?.split('+');
    let (topic, partition, from) = (parts.next()?, number(parts.next()?)?, parts.next()?);
    let id_digits = parts.next();
    let is_whole = parts.next().is_none()
        && partition == of_folder
        && !topic.is_empty()
        && from.len() == OFFSET_DIGITS
        && from.bytes().all(|byte| byte.is_ascii_digit())
        && id_digits.is_none_or(is_id);
    is_whole.then_some(ObjectName {
        table: table.into(),
        topic: topic.into(),
        id_digits: id_digits.map(str::to_owned),
        partition,
        from: from.parse().ok()?,
    })
}

/// A number as it is printed: without signs or leading zeros.
fn number(text: &str) -> Option<u32> {
    let number: u32 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn is_id(digits: &str) -> bool {
    digits.len() == ID_DIGITS && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_says_where_it_stands() {
        let path = "sales/partition=3/eu.orders+3+00000000000000000017.parquet";
        let name = ObjectName {
            table: "sales".into(),
            topic: "eu.orders".into(),
            id_digits: None,
            partition: 3,
            from: 17,
        };
        assert_eq!(classify(path), Entry::Object(name.clone()));
        let again = path.replace(".parquet", "+00ff12ab.parquet");
        let name = ObjectName { id_digits: Some("00ff12ab".into()), ..name };
        assert_eq!(classify(&again), Entry::Object(name));
    }

    #[test]
    fn what_readers_would_read_but_nobody_vouches_for_is_foreign() {
        for path in [
            "sales/partition=3/orders+4+00000000000000000017.parquet",
            "sales/partition=3/orders+3+17.parquet",
            "sales/partition=03/orders+3+00000000000000000017.parquet",
            "sales/partition=3/orders+3+00000000000000000017+xyz.parquet",
            "sales/orders+3+00000000000000000017.parquet",
            "sales/partition=3/more/orders+3+00000000000000000017.parquet",
            "sales/extra.parquet",
        ] {
            assert_eq!(classify(path), Entry::Foreign { table: "sales".into() }, "{path}");
        }
    }

    #[test]
    fn what_the_lake_keeps_for_itself_is_passed_over() {
        for path in ["_staging/x.parquet", "sales/_schema/1.json", "sales/.tmp/x.parquet"] {
            assert_eq!(classify(path), Entry::Private, "{path}");
        }
        assert_eq!(classify("sales/README.md"), Entry::Other);
    }
}
