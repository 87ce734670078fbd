//! Pure. The names of a partition's objects: nothing but what all writers agree on.

use common::identity::TopicId;
use common::partition::TopicPartition;

/// How the objects of one partition of one topic id are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Naming {
    /// Path up to the first offset: `<table>/partition=<p>/<topic>+<p>+`.
    stem: String,
    /// What follows the offset.
    ending: String,
}

const EXTENSION: &str = ".parquet";
/// Wide enough for every offset, so that names sort as offsets do.
const DIGITS: usize = 20;

impl Naming {
    /// Plain names belong to the topic id that the object at offset 0 has.
    pub(super) fn plain(table: &str, partition: &TopicPartition) -> Self {
        let (topic, number) = (partition.topic(), partition.partition());
        let stem = format!("{}/{topic}+{number}+", folder(table, partition));
        Self { stem, ending: EXTENSION.into() }
    }

    /// A topic that was created again tells its objects apart by the beginning of its id.
    pub(super) fn of_topic_id(table: &str, partition: &TopicPartition, id: &TopicId) -> Self {
        let (first, ..) = id.0.as_fields();
        Self { ending: format!("+{first:08x}{EXTENSION}"), ..Self::plain(table, partition) }
    }

    pub(super) fn path(&self, from: u64) -> String {
        format!("{}{from:0DIGITS$}{}", self.stem, self.ending)
    }

    /// A path that stands before every name of `from`, plain or not, and behind those of lower offsets.
    pub(super) fn before(&self, from: u64) -> String {
        format!("{}{from:0DIGITS$}", self.stem)
    }

    /// What all names of the partition begin with.
    pub(super) fn stem(&self) -> &str {
        &self.stem
    }

    /// The first offset of the object at `path`, if the name is one of these.
    pub(super) fn parse(&self, path: &str) -> Option<u64> {
        let digits = path.strip_prefix(&self.stem)?.strip_suffix(&self.ending)?;
        let is_offset = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_offset.then(|| digits.parse().ok()).flatten()
    }
}

/// The folder of a partition's objects.
pub(super) fn folder(table: &str, partition: &TopicPartition) -> String {
    format!("{table}/partition={}", partition.partition())
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn names_tell_offset_and_topic_id() {
        let partition = TopicPartition::new("orders", 3);
        let plain = Naming::plain("t", &partition);
        assert_eq!(plain.path(17), "t/partition=3/orders+3+00000000000000000017.parquet");
        let id = TopicId(Uuid::from_u128(0xfedc_ba98 << 96));
        let other = Naming::of_topic_id("t", &partition, &id);
        assert_eq!(other.path(17), "t/partition=3/orders+3+00000000000000000017+fedcba98.parquet");
        for naming in [&plain, &other] {
            assert_eq!(naming.parse(&naming.path(u64::MAX)), Some(u64::MAX));
            assert!(naming.before(17) < naming.path(17) && naming.before(17) > naming.path(16));
        }
        assert_eq!(plain.parse(&other.path(17)), None);
        assert_eq!(other.parse(&plain.path(17)), None);
        assert_eq!(plain.parse("t/partition=3/orders+3+17.parquet"), None);
        assert_eq!(plain.parse("t/partition=3/orders+30+00000000000000000017.parquet"), None);
    }
}
