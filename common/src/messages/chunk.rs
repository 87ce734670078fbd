//! Pure. Messages larger than a record may be: cut into numbered chunks, put together when complete.

use std::collections::BTreeMap;

use crate::identity::Nonce;
use crate::messages::codec::MESSAGE_BYTES_MAX;

/// Name of the record header that numbers a chunk: `nonce:index:count`.
pub const CHUNK: &str = "chunk";

/// What one record carries at most.
pub const CHUNK_BYTES_MAX: usize = 512 * 1024;

/// How many unfinished messages are kept; the one begun first is dropped for another.
const UNFINISHED_MAX: usize = 16;

/// Where a chunk belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkHeader {
    pub nonce: Nonce,
    pub index: u32,
    pub count: u32,
}

/// A chunk that cannot be put together with any other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    #[error("expected a chunk header `nonce:index:count`, got `{0}`")]
    Header(String),
    #[error("chunk {index} of {count} contradicts the other chunks of its message")]
    Contradiction { index: u32, count: u32 },
    #[error("the chunks of one message have more than {MESSAGE_BYTES_MAX} bytes")]
    TooLarge,
}

impl ChunkHeader {
    pub fn parse(text: &str) -> Result<Self, ChunkError> {
        let mut parts = text.split(':');
        let mut part = || parts.next();
        let header = (|| {
            let nonce = part()?.parse().ok()?;
            let index = part()?.parse().ok()?;
            let count = part()?.parse().ok()?;
            (index < count && part().is_none()).then_some(Self { nonce, index, count })
        })();
        header.ok_or_else(|| ChunkError::Header(text.into()))
    }

    pub fn to_text(&self) -> String {
        format!("{}:{}:{}", self.nonce, self.index, self.count)
    }
}

/// Cuts an encoded message; one that fits into a record has no header.
pub fn split(payload: &[u8], nonce: Nonce) -> Vec<(Option<ChunkHeader>, &[u8])> {
    if payload.len() <= CHUNK_BYTES_MAX {
        return vec![(None, payload)];
    }
    let chunks = payload.chunks(CHUNK_BYTES_MAX);
    let count = u32::try_from(chunks.len()).expect("fewer chunks than bytes");
    let header = |index| Some(ChunkHeader { nonce, index, count });
    (0..).zip(chunks).map(|(index, chunk)| (header(index), chunk)).collect()
}

/// Puts the chunks of one topic partition together; lost and repeated ones do no harm.
#[derive(Debug, Default)]
pub struct Assembler {
    /// By the order in which messages began.
    unfinished: BTreeMap<u64, Unfinished>,
    begun: u64,
}

#[derive(Debug)]
struct Unfinished {
    nonce: Nonce,
    chunks: BTreeMap<u32, Vec<u8>>,
    count: u32,
    bytes: usize,
}

impl Assembler {
    /// Takes one record's value; returns the whole message once its last chunk is there.
    pub fn take(
        &mut self,
        header: Option<ChunkHeader>,
        value: Vec<u8>,
    ) -> Result<Option<Vec<u8>>, ChunkError> {
        let Some(header) = header else {
            return Ok(Some(value));
        };
        let key = self.begin(header);
        let message = self.unfinished.get_mut(&key).expect("just begun");
        let ChunkHeader { index, count, .. } = header;
        if message.count != count {
            return Err(ChunkError::Contradiction { index, count });
        }
        if !message.chunks.contains_key(&index) {
            message.bytes += value.len();
            message.chunks.insert(index, value);
        }
        if message.bytes > MESSAGE_BYTES_MAX {
            self.unfinished.remove(&key);
            return Err(ChunkError::TooLarge);
        }
        if message.chunks.len() < count as usize {
            return Ok(None);
        }
        let whole = self.unfinished.remove(&key).expect("it was complete a line ago");
        Ok(Some(whole.chunks.into_values().flatten().collect()))
    }

    fn begin(&mut self, header: ChunkHeader) -> u64 {
        let known = self.unfinished.iter().find(|(_, message)| message.nonce == header.nonce);
        if let Some((key, _)) = known {
            return *key;
        }
        if self.unfinished.len() == UNFINISHED_MAX {
            self.unfinished.pop_first();
        }
        self.begun += 1;
        let (nonce, count) = (header.nonce, header.count);
        let message = Unfinished { nonce, chunks: BTreeMap::new(), count, bytes: 0 };
        self.unfinished.insert(self.begun, message);
        self.begun
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_small_message_travels_without_a_header() {
        let pieces = split(b"small", Nonce(1));
        assert_eq!(pieces, [(None, b"small".as_slice())]);
        let mut assembler = Assembler::default();
        assert_eq!(assembler.take(None, b"small".to_vec()), Ok(Some(b"small".to_vec())));
    }

    #[test]
    fn a_malformed_header_is_refused() {
        for text in ["", "1:2", &format!("{}:3:3", Nonce(1)), &format!("{}:0:1:0", Nonce(1))] {
            assert_eq!(ChunkHeader::parse(text), Err(ChunkError::Header(text.into())));
        }
    }

    #[test]
    fn unfinished_messages_are_bounded() {
        let mut assembler = Assembler::default();
        for nonce in 0..100 {
            let header = ChunkHeader { nonce: Nonce(nonce), index: 0, count: 2 };
            assert_eq!(assembler.take(Some(header), vec![0]), Ok(None));
        }
        assert_eq!(assembler.unfinished.len(), UNFINISHED_MAX);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Two messages whose chunks arrive mixed, repeated and in any order come out whole, once.
        #[test]
        fn chunks_in_any_order_make_the_message(
            order in Just((0..6usize).chain(0..6).collect::<Vec<_>>()).prop_shuffle(),
        ) {
            let messages: Vec<Vec<u8>> =
                [1u8, 2].iter().map(|byte| vec![*byte; CHUNK_BYTES_MAX * 2 + 7]).collect();
            let pieces: Vec<_> = (1..)
                .zip(&messages)
                .flat_map(|(nonce, message)| split(message, Nonce(nonce)))
                .collect();
            let mut assembler = Assembler::default();
            let mut whole = Vec::new();
            let mut seen = std::collections::BTreeSet::new();
            for index in order {
                let (header, chunk) = pieces[index];
                seen.insert(index);
                let header = header.map(|header| ChunkHeader::parse(&header.to_text()).unwrap());
                whole.extend(assembler.take(header, chunk.to_vec()).unwrap());
            }
            whole.sort();
            whole.dedup();
            prop_assert_eq!(whole, messages);
            prop_assert_eq!(seen.len(), 6);
        }
    }
}
