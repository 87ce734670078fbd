//! Pure. From records of our own topics to messages: chunks are put together, then the kind is read.

use common::identity::Nonce;
use common::kafka::reader::TopicRecord;
use common::messages::Message;
use common::messages::chunk::{Assembler, CHUNK, ChunkError, ChunkHeader};
use common::messages::codec::{DecodeError, EVENT_TYPE, decode};
use thiserror::Error;

/// Beginnings of unfinished messages that are kept.
const BEGUN_MAX: usize = 16;

/// A record that is no message, or no part of one. It changes nothing.
#[derive(Debug, Error)]
pub enum InboxError {
    #[error("the record at offset {offset} is no chunk of a message")]
    Chunk {
        offset: u64,
        #[source]
        source: ChunkError,
    },
    #[error("the record at offset {offset} is no message")]
    Decode {
        offset: u64,
        #[source]
        source: DecodeError,
    },
}

/// A whole message, with its place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// The offset of its first record.
    pub first: u64,
    /// The offset after its last record.
    pub next: u64,
    pub message: Message,
}

/// Reads the messages of one partition in order.
#[derive(Debug, Default)]
pub struct Inbox {
    assembler: Assembler,
    /// The offsets at which unfinished messages began, oldest first.
    begun: Vec<(Nonce, u64)>,
}

impl Inbox {
    /// Takes one record; returns the message that it completes, if it completes one.
    ///
    /// # Errors
    /// If the record, or the message that it completes, cannot be read.
    pub fn take(&mut self, record: TopicRecord) -> Result<Option<Received>, InboxError> {
        let offset = record.offset;
        let chunk_error = |source| InboxError::Chunk { offset, source };
        let header = record.header(CHUNK).map(ChunkHeader::parse).transpose();
        let header = header.map_err(chunk_error)?;
        let first = header.map_or(offset, |header| self.first_of(header.nonce, offset));
        let event_type = record.header(EVENT_TYPE).map(str::to_owned);
        let value = record.value.unwrap_or_default();
        let Some(whole) = self.assembler.take(header, value).map_err(chunk_error)? else {
            return Ok(None);
        };
        self.begun.retain(|(_, begin)| *begin != first);
        let message = decode(event_type.as_deref(), &whole)
            .map_err(|source| InboxError::Decode { offset, source })?;
        Ok(Some(Received { first, next: offset + 1, message }))
    }

    fn first_of(&mut self, nonce: Nonce, offset: u64) -> u64 {
        if let Some((_, first)) = self.begun.iter().find(|(begun, _)| *begun == nonce) {
            return *first;
        }
        if self.begun.len() == BEGUN_MAX {
            self.begun.remove(0);
        }
        self.begun.push((nonce, offset));
        offset
    }
}

#[cfg(test)]
mod tests {
    use common::messages::Extra;
    use common::messages::event::Marker;

    use super::*;

    fn record(offset: u64, value: &[u8], headers: &[(&str, &str)]) -> TopicRecord {
        let header = |(key, value): &(&str, &str)| ((*key).into(), value.as_bytes().to_vec());
        TopicRecord {
            offset,
            timestamp: None,
            key: None,
            value: Some(value.to_vec()),
            headers: headers.iter().map(header).collect(),
        }
    }

    fn marker() -> Message {
        Marker { nonce: Nonce(7), author: "me".into(), extra: Extra::new() }.into()
    }

    #[test]
    fn a_message_in_chunks_stands_where_its_first_record_stands() {
        let bytes = marker().encode();
        let (head, tail) = bytes.split_at(5);
        let header = |index| ChunkHeader { nonce: Nonce(1), index, count: 2 }.to_text();
        let mut inbox = Inbox::default();
        let begun = inbox.take(record(3, head, &[(CHUNK, &header(0)), (EVENT_TYPE, "Marker")]));
        assert!(begun.unwrap().is_none());
        let whole = inbox.take(record(5, tail, &[(CHUNK, &header(1)), (EVENT_TYPE, "Marker")]));
        let expected = Received { first: 3, next: 6, message: marker() };
        assert_eq!(whole.unwrap(), Some(expected));
        assert!(inbox.begun.is_empty());
    }

    #[test]
    fn what_is_no_message_is_named_by_its_offset_and_leaves_no_trace() {
        let mut inbox = Inbox::default();
        let error = inbox.take(record(4, b"garbage", &[])).unwrap_err();
        assert_eq!(error.to_string(), "the record at offset 4 is no message");
        let error = inbox.take(record(5, b"x", &[(CHUNK, "1:2")])).unwrap_err();
        assert_eq!(error.to_string(), "the record at offset 5 is no chunk of a message");
        let next = inbox.take(record(6, &marker().encode(), &[])).unwrap();
        assert_eq!(next, Some(Received { first: 6, next: 7, message: marker() }));
    }
}
