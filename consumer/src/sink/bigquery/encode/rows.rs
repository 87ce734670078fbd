//! Pure. Encoded rows, one behind the other, and how they are shared out among requests.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::wire::varint_bytes;

/// What the service takes as one request: 10 MiB.
const SERVICE_REQUEST_BYTES_MAX: usize = 10 * 1024 * 1024;
/// Room for the stream's name, the trace and what stands around the rows.
const REQUEST_OVERHEAD_BYTES: usize = 64 * 1024;
/// Longest descriptor of a table's rows.
pub const SCHEMA_BYTES_MAX: usize = 896 * 1024;
/// Longest row: it fits into a request with any descriptor.
pub const ROW_BYTES_MAX: usize = 9 * 1024 * 1024;

/// What one request holds at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestLimits {
    /// Of rows, with what stands before each of them.
    pub bytes: usize,
    pub rows: u64,
}

/// Bytes of rows, with what stands before each of them, that fit into a request with a descriptor of
/// `schema_bytes`.
pub fn request_rows_bytes_max(schema_bytes: usize) -> usize {
    let taken = REQUEST_OVERHEAD_BYTES + schema_bytes.min(SCHEMA_BYTES_MAX);
    SERVICE_REQUEST_BYTES_MAX - taken
}

/// Encoded rows in the order of their offsets. Clones and parts share their memory.
#[derive(Clone, Debug)]
pub struct EncodedRows {
    index: Arc<Index>,
    bytes: Bytes,
    part: Range<usize>,
}

#[derive(Debug, PartialEq, Eq)]
struct Index {
    /// In Kafka, of each row.
    offsets: Vec<u64>,
    /// Where each row ends in the bytes.
    ends: Vec<usize>,
}

impl EncodedRows {
    pub fn rows(&self) -> u64 {
        self.part.len() as u64
    }

    /// Bytes held in memory, by all parts together.
    pub fn bytes(&self) -> usize {
        let row = size_of::<u64>() + size_of::<usize>();
        self.bytes.len() + self.index.offsets.len() * row
    }

    /// Each row's offset in Kafka and its message.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (u64, &[u8])> {
        self.part.clone().map(|row| (self.index.offsets[row], &self.bytes[self.span(row)]))
    }

    /// The offsets of the first and the last row.
    pub fn offsets(&self) -> Option<(u64, u64)> {
        let offsets = &self.index.offsets[self.part.clone()];
        Some((*offsets.first()?, *offsets.last()?))
    }

    /// The rows from that offset on.
    pub fn skip_to(&self, offset: u64) -> Self {
        let offsets = &self.index.offsets[self.part.clone()];
        let before = offsets.partition_point(|other| *other < offset);
        self.slice(before..self.part.len())
    }

    /// Some of the rows, counted from the first.
    pub fn slice(&self, rows: Range<usize>) -> Self {
        assert!(rows.end <= self.part.len(), "there are so many rows");
        let part = self.part.start + rows.start..self.part.start + rows.end;
        Self { index: Arc::clone(&self.index), bytes: self.bytes.clone(), part }
    }

    fn span(&self, row: usize) -> Range<usize> {
        let begin = row.checked_sub(1).map_or(0, |before| self.index.ends[before]);
        begin..self.index.ends[row]
    }

    /// What a row takes in a request.
    fn request_bytes(&self, row: usize) -> usize {
        let length = self.span(self.part.start + row).len();
        1 + varint_bytes(length as u64) + length
    }
}

/// Shares rows out among requests within `limits`, all as large as can be: each is the rows of one, in
/// their order.
///
/// A row that is larger than that stands alone.
pub fn requests(chunks: &[EncodedRows], limits: RequestLimits) -> Vec<Vec<EncodedRows>> {
    let mut requests = Vec::new();
    let (mut parts, mut bytes, mut rows) = (Vec::new(), 0, 0);
    for chunk in chunks {
        let mut begin = 0;
        for row in 0..chunk.part.len() {
            let more = chunk.request_bytes(row);
            if rows > 0 && (bytes + more > limits.bytes || rows == limits.rows) {
                if begin < row {
                    parts.push(chunk.slice(begin..row));
                }
                requests.push(std::mem::take(&mut parts));
                (begin, bytes, rows) = (row, 0, 0);
            }
            bytes += more;
            rows += 1;
        }
        if begin < chunk.part.len() {
            parts.push(chunk.slice(begin..chunk.part.len()));
        }
    }
    if !parts.is_empty() {
        requests.push(parts);
    }
    requests
}

/// Rows while they are encoded.
#[derive(Debug)]
pub(super) struct RowsBuilder {
    index: Index,
    bytes: Vec<u8>,
}

impl RowsBuilder {
    pub(super) fn new(rows: usize, bytes: usize) -> Self {
        let index = Index { offsets: Vec::with_capacity(rows), ends: Vec::with_capacity(rows) };
        Self { index, bytes: Vec::with_capacity(bytes) }
    }

    /// Where the next row is to be written.
    pub(super) fn begin(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Keeps what was written as the row of that offset.
    pub(super) fn keep(&mut self, offset: u64) {
        self.index.offsets.push(offset);
        self.index.ends.push(self.bytes.len());
    }

    /// Forgets what was written since the last row that was kept.
    pub(super) fn drop_last(&mut self) {
        self.bytes.truncate(self.index.ends.last().copied().unwrap_or(0));
    }

    /// Forgets that, and the rows of the offset that were kept.
    pub(super) fn drop_all_of(&mut self, offset: u64) {
        while self.index.offsets.last() == Some(&offset) {
            self.index.offsets.pop();
            self.index.ends.pop();
        }
        self.drop_last();
    }

    pub(super) fn finish(mut self) -> EncodedRows {
        self.bytes.shrink_to_fit();
        self.index.offsets.shrink_to_fit();
        self.index.ends.shrink_to_fit();
        let part = 0..self.index.offsets.len();
        EncodedRows { index: Arc::new(self.index), bytes: self.bytes.into(), part }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Rows of the given lengths at every other offset from `first`.
    fn chunk(first: u64, lengths: &[usize]) -> EncodedRows {
        let mut rows = RowsBuilder::new(0, 0);
        for (offset, length) in (first..).step_by(2).zip(lengths) {
            let end = rows.bytes.len() + length;
            rows.begin().resize(end, 7);
            rows.keep(offset);
        }
        rows.finish()
    }

    fn lengths() -> impl Strategy<Value = Vec<Vec<usize>>> {
        let length = prop_oneof![0_usize..20, 100_usize..150];
        prop::collection::vec(prop::collection::vec(length, 0..8), 0..6)
    }

    proptest! {
        /// Each row is in one request, in its order; none is above a limit, but for a row that is
        /// so alone, and none could have taken the next row, too.
        #[test]
        fn requests_cover_every_row_once(lengths in lengths(), limit in 1_usize..400, rows_max in 1_usize..9) {
            let firsts = (0_u64..).step_by(1_000);
            let chunks: Vec<_> = firsts.zip(&lengths).map(|(first, it)| chunk(first, it)).collect();
            let rows = |parts: &[EncodedRows]| -> Vec<(u64, usize)> {
                parts.iter().flat_map(|part| part.iter().map(|(at, row)| (at, row.len()))).collect()
            };
            let all = rows(&chunks);
            let limits = RequestLimits { bytes: limit, rows: rows_max as u64 };
            let requests = requests(&chunks, limits);
            let sent: Vec<Vec<_>> = requests.iter().map(|parts| rows(parts)).collect();
            prop_assert_eq!(sent.concat(), all);
            let bytes = |rows: &[(u64, usize)]| -> usize {
                rows.iter().map(|(_, it)| 1 + prost::length_delimiter_len(*it) + it).sum()
            };
            for (at, rows) in sent.iter().enumerate() {
                prop_assert!(!rows.is_empty() && rows.len() <= rows_max);
                prop_assert!(bytes(rows) <= limit || rows.len() == 1);
                if let Some(next) = sent.get(at + 1) {
                    let is_full = bytes(rows) + bytes(&next[..1]) > limit;
                    prop_assert!(is_full || rows.len() == rows_max);
                }
            }
            prop_assert!(requests.iter().flatten().all(|part| part.rows() > 0));
        }

        /// Rows before an offset are left out, and no others.
        #[test]
        fn rows_are_skipped_to_an_offset(lengths in prop::collection::vec(0_usize..9, 0..9), to in 0_u64..30) {
            let all = chunk(5, &lengths);
            let rest: Vec<_> = all.iter().filter(|(offset, _)| *offset >= to).collect();
            let found = all.skip_to(to);
            prop_assert_eq!(found.iter().collect::<Vec<_>>(), rest);
            prop_assert_eq!(found.skip_to(to + 3).rows(), all.skip_to(to + 3).rows());
        }
    }

    /// A request of the largest row with the largest descriptor is one that the service takes.
    #[test]
    fn the_largest_row_fits_with_the_largest_descriptor() {
        let largest = chunk(0, &[ROW_BYTES_MAX]);
        let room = request_rows_bytes_max(SCHEMA_BYTES_MAX);
        assert!(largest.request_bytes(0) <= room);
        assert!(room + SCHEMA_BYTES_MAX < SERVICE_REQUEST_BYTES_MAX);
    }
}
