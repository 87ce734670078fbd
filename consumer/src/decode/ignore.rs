//! Pure. Records that are skipped by rule, told by a header.

use common::messages::format::{Ignore, Place, RecordFormat};

use crate::record::RawRecord;

/// Whether a header says that the record is to be skipped.
pub(super) fn by_header(format: &RecordFormat, record: &RawRecord) -> bool {
    let Some(Ignore { place: Place::Header(name), values }) = &format.ignore else { return false };
    record.headers.iter().any(|(key, value)| {
        let text = value.as_deref().and_then(|value| std::str::from_utf8(value).ok());
        key == name && text.is_some_and(|text| values.contains(text))
    })
}
