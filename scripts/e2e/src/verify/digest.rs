//! Pure. 128-bit digests of records and rows: equal exactly when a row holds what its record held.

use twox_hash::XxHash3_128;

use super::json::Json;
use super::record::Record;

/// Which part of a row holds the record's value, and with it how the two are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The columns of a JSON record: equal as values.
    Parsed,
    /// `kafka_unparsed`: equal to the byte.
    Unparsed,
    /// The column `value` of a table of bytes: equal to the byte.
    Bytes,
    /// `kafka_tombstone`: a record without value.
    Tombstone,
}

/// Where a record belongs; part of its digest, so that a row in the wrong place differs.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    pub topic: &'a str,
    pub topic_id: &'a str,
    pub partition: u32,
}

/// What a digest is made of, from either side.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    pub place: Place<'a>,
    pub timestamp_ms: Option<i64>,
    pub key: Option<&'a [u8]>,
    pub kind: Kind,
    /// The canonical form of a parsed value, or the exact bytes of another.
    pub body: &'a [u8],
}

impl Content<'_> {
    pub fn digest(&self) -> u128 {
        let mut hasher = XxHash3_128::new();
        part(&mut hasher, Some(self.place.topic.as_bytes()));
        part(&mut hasher, Some(self.place.topic_id.as_bytes()));
        hasher.write(&self.place.partition.to_be_bytes());
        part(
            &mut hasher,
            self.timestamp_ms.map(i64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice),
        );
        part(&mut hasher, self.key);
        hasher.write(&[self.kind as u8]);
        part(&mut hasher, Some(self.body));
        hasher.finish_128()
    }
}

/// The digest that a row of `kind` must have to hold `record`; `None` if no such row can hold it.
pub fn of_record(record: &Record<'_>, place: Place<'_>, kind: Kind) -> Option<u128> {
    let Record { timestamp_ms, key, .. } = *record;
    let parsed;
    let body = match (kind, record.value) {
        (Kind::Tombstone, None) => &[],
        (Kind::Unparsed | Kind::Bytes, Some(value)) => value,
        (Kind::Parsed, Some(value)) => {
            parsed = object_form(value)?;
            parsed.as_slice()
        }
        (Kind::Tombstone, Some(_)) | (_, None) => return None,
    };
    Some(Content { place, timestamp_ms, key, kind, body }.digest())
}

/// The digest of headers, in their order.
pub fn of_headers<'a>(headers: impl Iterator<Item = (&'a str, Option<&'a [u8]>)>) -> u128 {
    let mut hasher = XxHash3_128::new();
    for (name, value) in headers {
        part(&mut hasher, Some(name.as_bytes()));
        part(&mut hasher, value);
    }
    hasher.finish_128()
}

/// The canonical form of an object's fields, empty if it has none.
pub fn form(fields: Json) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(pruned) = fields.pruned() {
        pruned.write(&mut out);
    }
    out
}

/// What a row holds besides its value, which differs from every record if it should not hold that.
pub fn kind_of_row(
    is_tombstone: bool,
    unparsed: Option<&str>,
    (kind, mut body): (Kind, Vec<u8>),
) -> (Kind, Vec<u8>) {
    match (is_tombstone, unparsed) {
        (false, None) => (kind, body),
        (true, None) => (Kind::Tombstone, body),
        (false, Some(text)) => {
            body.splice(..0, text.bytes());
            (Kind::Unparsed, body)
        }
        (true, Some(_)) => (Kind::Tombstone, b"tombstone and unparsed at once".to_vec()),
    }
}

fn object_form(value: &[u8]) -> Option<Vec<u8>> {
    match Json::parse(value).ok()? {
        object @ Json::Object(_) => Some(form(object)),
        _ => None,
    }
}

fn part(hasher: &mut XxHash3_128, bytes: Option<&[u8]>) {
    match bytes {
        None => hasher.write(&u64::MAX.to_be_bytes()),
        Some(bytes) => {
            let length = u64::try_from(bytes.len()).expect("64 bits fit");
            hasher.write(&length.to_be_bytes());
            hasher.write(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const PLACE: Place<'_> = Place { topic: "orders", topic_id: "id", partition: 3 };

    fn record<'a>(key: Option<&'a [u8]>, value: Option<&'a [u8]>) -> Record<'a> {
        Record { offset: 1, timestamp_ms: Some(5), key, value, headers: Vec::new() }
    }

    #[test]
    fn every_part_of_a_record_counts() {
        let value: &[u8] = b"{\"a\":1}";
        let plain = record(Some(b"k"), Some(value));
        let other_time = Record { timestamp_ms: None, ..plain.clone() };
        let digests = [
            of_record(&plain, PLACE, Kind::Parsed),
            of_record(&plain, PLACE, Kind::Bytes),
            of_record(&plain, PLACE, Kind::Unparsed),
            of_record(&plain, Place { partition: 4, ..PLACE }, Kind::Parsed),
            of_record(&plain, Place { topic_id: "other", ..PLACE }, Kind::Parsed),
            of_record(&plain, Place { topic: "order", ..PLACE }, Kind::Parsed),
            of_record(&other_time, PLACE, Kind::Parsed),
            of_record(&record(None, Some(value)), PLACE, Kind::Parsed),
            of_record(&record(Some(b""), Some(value)), PLACE, Kind::Parsed),
            of_record(&record(Some(b"k"), None), PLACE, Kind::Tombstone),
        ];
        let distinct: BTreeSet<_> = digests.iter().collect();
        assert_eq!(distinct.len(), digests.len());
        assert!(digests.iter().all(Option::is_some));
    }

    #[test]
    fn a_value_has_no_digest_as_what_it_is_not() {
        assert_eq!(of_record(&record(None, Some(b"[1]")), PLACE, Kind::Parsed), None);
        assert_eq!(of_record(&record(None, Some(b"{")), PLACE, Kind::Parsed), None);
        assert_eq!(of_record(&record(None, Some(b"")), PLACE, Kind::Tombstone), None);
        assert_eq!(of_record(&record(None, None), PLACE, Kind::Bytes), None);
    }
}
