//! Pure. Where reading goes on, and how one owner tells the next.

use serde::{Deserialize, Serialize};

use crate::identity::{Incarnation, TableId, TopicId};

/// The next record to read, with what makes the number mean anything.
///
/// A position of another topic id counts as none; one of another table stops the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    pub offset: u64,
    /// The leader epoch of the record before `offset`, if one was read.
    #[serde(default)]
    pub leader_epoch: Option<i32>,
    pub topic_id: TopicId,
    /// `None` where the sink keeps no tables (`discard`).
    #[serde(default)]
    pub table_id: Option<TableId>,
}

/// Names one release: a partition that an incarnation stopped and answered `Released`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ReleaseId {
    pub incarnation: Incarnation,
    /// Counts the releases of that incarnation.
    pub number: u64,
}

/// What the last owner of a partition leaves to the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HandOver {
    /// `None`: the last owner did not say.
    #[serde(default)]
    pub position: Option<Position>,
    /// True only if an acknowledged release of the owning incarnation said so.
    #[serde(default)]
    pub clean: bool,
    /// Fence tokens of writers that may still live, to be fenced before the next one opens.
    #[serde(default)]
    pub tokens: Vec<String>,
    /// The release that this hand-over quotes, if the last owner answered one.
    #[serde(default)]
    pub release: Option<ReleaseId>,
}

impl HandOver {
    /// The same after its owner ended without a word: nothing is certain any more.
    pub fn after_unclean_end(mut self, tokens: &[String]) -> Self {
        self.clean = false;
        self.release = None;
        for token in tokens {
            if !self.tokens.contains(token) {
                self.tokens.push(token.clone());
            }
        }
        self
    }
}

/// What is committed beside the offset, so that a reader knows what the number refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitMetadata {
    /// Always 1: a later form gets another number.
    pub stowage: u8,
    pub topic_id: TopicId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table_id: Option<TableId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader_epoch: Option<i32>,
    /// First offset of the newest object of the chain, where the sink has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object: Option<u64>,
}

impl CommitMetadata {
    pub fn new(position: &Position, object: Option<u64>) -> Self {
        let Position { leader_epoch, topic_id, table_id, .. } = *position;
        Self { stowage: 1, topic_id, table_id, leader_epoch, object }
    }

    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("ids and integers are always JSON")
    }

    /// `None` if the text is not ours: then a person or another program set the offset.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok().filter(|metadata: &Self| metadata.stowage == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn metadata_is_read_back_and_foreign_text_is_none() {
        let position = Position {
            offset: 9,
            leader_epoch: Some(3),
            topic_id: TopicId(Uuid::from_u128(1)),
            table_id: None,
        };
        let metadata = CommitMetadata::new(&position, Some(4));
        assert_eq!(CommitMetadata::parse(&metadata.to_text()), Some(metadata));
        assert_eq!(CommitMetadata::parse("gen=7"), None);
        assert_eq!(CommitMetadata::parse(""), None);
        assert_eq!(CommitMetadata::parse(&metadata.to_text().replace(":1,", ":2,")), None);
    }

    #[test]
    fn an_unclean_end_keeps_every_token() {
        let given = HandOver {
            clean: true,
            tokens: vec!["a".into()],
            release: Some(ReleaseId { incarnation: Incarnation(1), number: 1 }),
            ..HandOver::default()
        };
        let after = given.after_unclean_end(&["a".into(), "b".into()]);
        assert_eq!(after.tokens, ["a", "b"]);
        assert!(!after.clean && after.release.is_none());
    }
}
