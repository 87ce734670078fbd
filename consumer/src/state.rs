//! Pure. What a consumer leaves on its volume: a cache and a report, never an authority.

use common::identity::{ConsumerId, Incarnation, TopicId};
use common::moment::Timestamp;
use common::partition::TopicPartition;
use common::term::Term;
use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

/// A later form gets another number.
const VERSION: u32 = 1;

/// Whose the volume is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Belonging {
    pub consumer: ConsumerId,
    pub group: String,
    pub cluster_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub belonging: Belonging,
    pub controller_topic_id: TopicId,
    /// The last one that wrote here.
    pub incarnation: Incarnation,
    /// True only after everything was stored, committed and released.
    pub is_clean: bool,
    pub saved_at: Timestamp,
    /// The last assignment, with what was read and stored of it.
    pub partitions: Vec<PartitionState>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionState {
    pub partition: TopicPartition,
    pub topic_id: TopicId,
    pub since: Term,
    /// Next offset to read.
    pub position: u64,
    /// Everything below is stored.
    pub stored: u64,
}

/// Why a state file is of no use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("the state file is damaged")]
    Corrupt,
    #[error("the state file belongs to another consumer, group or cluster")]
    Foreign,
    #[error("the state file has the version {0}, which this program does not know")]
    Newer(u32),
}

impl Unusable {
    /// Part of the name under which the file is set aside.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Corrupt => "corrupt",
            Self::Foreign => "foreign",
            Self::Newer(_) => "newer",
        }
    }
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    /// Of the state as JSON, 32 hexadecimal digits.
    checksum: String,
    state: serde_json::Value,
}

impl State {
    pub fn encode(&self) -> Vec<u8> {
        let state = serde_json::to_value(self).expect("ids and integers are always JSON");
        let file = File { version: VERSION, checksum: checksum(&state), state };
        serde_json::to_vec_pretty(&file).expect("ids and integers are always JSON")
    }

    pub fn decode(bytes: &[u8], belonging: &Belonging) -> Result<Self, Unusable> {
        let file: File = serde_json::from_slice(bytes).map_err(|_| Unusable::Corrupt)?;
        if file.version > VERSION {
            return Err(Unusable::Newer(file.version));
        }
        if file.version != VERSION || file.checksum != checksum(&file.state) {
            return Err(Unusable::Corrupt);
        }
        let state: Self = serde_json::from_value(file.state).map_err(|_| Unusable::Corrupt)?;
        if state.belonging != *belonging {
            return Err(Unusable::Foreign);
        }
        Ok(state)
    }
}

fn checksum(state: &serde_json::Value) -> String {
    format!("{:032x}", XxHash3_128::oneshot(state.to_string().as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn belonging() -> Belonging {
        Belonging { consumer: ConsumerId(3), group: "g".into(), cluster_id: "c".into() }
    }

    fn state() -> State {
        let topic_id = TopicId(Uuid::from_u128(1));
        let partition = TopicPartition::new("orders", 3);
        let since = Term::new(1, 2);
        State {
            belonging: belonging(),
            controller_topic_id: topic_id,
            incarnation: Incarnation(7),
            is_clean: true,
            saved_at: Timestamp(9),
            partitions: vec![PartitionState { partition, topic_id, since, position: 5, stored: 4 }],
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(State::decode(&state().encode(), &belonging()), Ok(state()));
    }

    /// There never was a version before the first: somebody changed the number.
    #[test]
    fn a_version_that_never_was_is_damage() {
        let text = String::from_utf8(state().encode()).unwrap();
        let changed = text.replacen("\"version\": 1", "\"version\": 0", 1);
        assert_ne!(changed, text);
        assert_eq!(State::decode(changed.as_bytes(), &belonging()), Err(Unusable::Corrupt));
    }

    #[test]
    fn a_foreign_and_a_newer_file_are_told_apart() {
        let other = Belonging { consumer: ConsumerId(4), ..belonging() };
        assert_eq!(State::decode(&state().encode(), &other), Err(Unusable::Foreign));
        let newer = br#"{"version":2,"checksum":"","state":{}}"#;
        assert_eq!(State::decode(newer, &belonging()), Err(Unusable::Newer(2)));
    }

    proptest! {
        /// A damaged file is never taken for a state: whatever is cut or changed is noticed.
        #[test]
        fn damage_is_noticed(at: prop::sample::Index, byte: u8, is_cut: bool) {
            let mut bytes = state().encode();
            let at = at.index(bytes.len());
            if is_cut {
                bytes.truncate(at);
            } else {
                prop_assume!(bytes[at] != byte && !byte.is_ascii_whitespace() && !bytes[at].is_ascii_whitespace());
                bytes[at] = byte;
            }
            prop_assert!(State::decode(&bytes, &belonging()).is_err());
        }
    }
}
