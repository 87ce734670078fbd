//! Pure. A record as its topic holds it, and where such records come from.

use std::ops::Range;

/// One record of a topic, borrowed from whoever reads it.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    pub offset: u64,
    /// Milliseconds since 1970; `None` where the record carries none.
    pub timestamp_ms: Option<i64>,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: Vec<(&'a str, Option<&'a [u8]>)>,
}

/// What is asked of a topic before its records are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicFacts {
    /// As hyphenated text.
    pub id: String,
    pub partitions: u32,
}

/// Topics that can be read from their first record to their last.
pub trait TopicRecords {
    type Error: std::error::Error + Send + Sync + 'static;

    /// `None` when there is no such topic.
    fn facts(&mut self, topic: &str) -> Result<Option<TopicFacts>, Self::Error>;

    /// The first offset that the partition still has, and the end of what may be read of it.
    fn bounds(&mut self, topic: &str, partition: u32) -> Result<Range<u64>, Self::Error>;

    /// Hands every committed record from `from` on to `visit`, in order of offsets, until the
    /// partition's end or until `visit` answers false.
    fn read(
        &mut self,
        topic: &str,
        partition: u32,
        from: u64,
        visit: &mut dyn FnMut(&Record<'_>) -> bool,
    ) -> Result<(), Self::Error>;
}
