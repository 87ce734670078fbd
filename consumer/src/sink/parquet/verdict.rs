//! Pure. What an object under the name that one wanted means for its would-be writer.

use common::term::Term;

use super::footer::Footer;

/// What to do about the object that has the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The very object: an answer was lost.
    Own,
    /// An earlier owner's: it stands, and what it covers must not be written again.
    Accept,
    /// A later owner's: this one may not write any more.
    Fenced(Term),
    /// The topic was created again, and its first writer took the plain names.
    OtherTopicId,
    /// Nothing that this partition's chain may hold there.
    Unusable(String),
}

/// Judges what was found at the place of `wanted`.
pub fn judge(wanted: &Footer, found: &Footer) -> Verdict {
    if found.nonce == wanted.nonce {
        return Verdict::Own;
    }
    if found.topic_id != wanted.topic_id {
        return Verdict::OtherTopicId;
    }
    if let Some(problem) = misplaced(wanted, found) {
        return Verdict::Unusable(problem);
    }
    // Terms of another controller topic count for nothing.
    if found.controller_topic_id == wanted.controller_topic_id && found.term > wanted.term {
        return Verdict::Fenced(found.term);
    }
    Verdict::Accept
}

fn misplaced(wanted: &Footer, found: &Footer) -> Option<String> {
    if found.partition != wanted.partition {
        return Some(format!("its footer names {}", found.partition));
    }
    if found.from != wanted.from {
        return Some(format!("its footer says that it begins at {}", found.from));
    }
    if found.table_id != wanted.table_id {
        return Some(format!("it belongs to the table {}", found.table_id));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::identity::{Nonce, TableId, TopicId};
    use common::partition::TopicPartition;
    use uuid::Uuid;

    fn footer(nonce: u128) -> Footer {
        Footer {
            partition: TopicPartition::new("orders", 3),
            topic_id: TopicId(Uuid::from_u128(1)),
            from: 10,
            to: 20,
            leader_epoch: None,
            table_id: TableId(Uuid::from_u128(2)),
            schema_version: 1,
            controller_topic_id: TopicId(Uuid::from_u128(3)),
            term: Term::new(5, 5),
            nonce: Nonce(nonce),
        }
    }

    #[test]
    fn each_writer_of_the_name_has_its_verdict() {
        let other = TopicId(Uuid::from_u128(9));
        let wanted = footer(1);
        for (found, verdict) in [
            (footer(1), Verdict::Own),
            (Footer { term: Term::new(9, 0), ..footer(1) }, Verdict::Own),
            (footer(2), Verdict::Accept),
            (Footer { to: 99, term: Term::new(5, 4), ..footer(2) }, Verdict::Accept),
            (Footer { term: Term::new(5, 6), ..footer(2) }, Verdict::Fenced(Term::new(5, 6))),
            (
                Footer { term: Term::new(5, 6), controller_topic_id: other, ..footer(2) },
                Verdict::Accept,
            ),
            (Footer { topic_id: other, ..footer(2) }, Verdict::OtherTopicId),
        ] {
            assert_eq!(judge(&wanted, &found), verdict, "{found:?}");
        }
    }

    #[test]
    fn what_does_not_belong_there_is_unusable() {
        for found in [
            Footer { partition: TopicPartition::new("orders", 4), ..footer(2) },
            Footer { from: 11, ..footer(2) },
            Footer { table_id: TableId(Uuid::from_u128(9)), ..footer(2) },
        ] {
            assert!(matches!(judge(&footer(1), &found), Verdict::Unusable(_)), "{found:?}");
        }
    }
}
