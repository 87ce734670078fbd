//! Pure. A record as Kafka gave it, before anybody looked into its value.

use bytes::Bytes;

/// One record of one partition, with everything that a dead letter must keep.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawRecord {
    pub offset: u64,
    /// Milliseconds since 1970 in UTC; `None` where the producer or broker set none.
    pub timestamp_ms: Option<i64>,
    /// The broker stamped it when it was appended, rather than its producer when it was made.
    pub is_append_time: bool,
    pub key: Option<Bytes>,
    /// `None` is a tombstone, which is not the same as an empty value.
    pub value: Option<Bytes>,
    pub headers: Vec<(String, Option<Bytes>)>,
    /// Epoch of the leader that the record was fetched from, where the client says it.
    pub leader_epoch: Option<i32>,
}

/// What a record costs besides its contents: the structure itself and the allocations behind it.
const OVERHEAD_BYTES: usize = std::mem::size_of::<RawRecord>();

impl RawRecord {
    /// Bytes that the record holds in memory, counted against the byte budget.
    pub fn size(&self) -> usize {
        OVERHEAD_BYTES + self.content_bytes()
    }

    /// Bytes of key, value and headers.
    pub fn content_bytes(&self) -> usize {
        let bytes = |part: &Option<Bytes>| part.as_ref().map_or(0, Bytes::len);
        let headers = self.headers.iter().map(|(name, value)| name.len() + bytes(value));
        bytes(&self.key) + bytes(&self.value) + headers.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_counts_key_value_and_headers() {
        let empty = RawRecord::default();
        let full = RawRecord {
            key: Some(Bytes::from_static(b"abc")),
            value: Some(Bytes::from_static(b"defgh")),
            headers: vec![("h".into(), Some(Bytes::from_static(b"ij"))), ("k".into(), None)],
            ..RawRecord::default()
        };
        assert_eq!(full.size() - empty.size(), 3 + 5 + 3 + 1);
    }
}
