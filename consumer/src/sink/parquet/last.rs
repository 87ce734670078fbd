//! Pure. Whether the last object of a chain is one to go on behind.

use common::identity::TableId;

use super::footer::Footer;
use crate::sink::claims::{blocked, other_table};
use crate::sink::{BlockedReason, OpenRequest, SinkError};

/// Whether the chain's last object, at `path` and of the offset `from`, is one to go on behind.
///
/// # Errors
/// If it is of another table, unusable, or written under a later term.
pub fn check_last(
    table: TableId,
    request: &OpenRequest,
    path: &str,
    footer: &Footer,
    from: u64,
) -> Result<(), SinkError> {
    let unusable =
        |problem: String| blocked(request, BlockedReason::Object { object: path.into(), problem });
    if footer.table_id != table {
        return Err(other_table(request, "the last object", Some(footer.table_id)));
    }
    if footer.topic_id != request.topic_id || footer.partition != request.partition {
        let problem = format!("its footer names {} of topic {}", footer.partition, footer.topic_id);
        return Err(unusable(problem));
    }
    if footer.from != from {
        return Err(unusable(format!("its footer says that it begins at {}", footer.from)));
    }
    if footer.controller_topic_id == request.controller_topic_id && footer.term > request.term {
        return Err(SinkError::Fenced { partition: request.partition.clone(), by: footer.term });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease_watch::lease_channel;
    use common::identity::{Nonce, TopicId};
    use common::partition::TopicPartition;
    use common::term::Term;
    use uuid::Uuid;

    fn footer() -> Footer {
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
            nonce: Nonce(1),
        }
    }

    fn checked(found: &Footer) -> Result<(), SinkError> {
        let Footer { partition, topic_id, controller_topic_id, term, .. } = footer();
        let request = OpenRequest {
            partition,
            topic_id,
            controller_topic_id,
            term,
            hand_over: None,
            committed: None,
            log_start: 0,
            has_changed_table: false,
            begin_at: None,
            lease: lease_channel().1,
        };
        check_last(footer().table_id, &request, "path", found, 10)
    }

    #[test]
    fn an_object_of_the_chain_is_gone_on_behind_unless_a_later_term_wrote_it() {
        let other = TopicId(Uuid::from_u128(9));
        let later = Footer { term: Term::new(5, 6), ..footer() };
        assert!(checked(&footer()).is_ok());
        assert!(checked(&Footer { controller_topic_id: other, ..later.clone() }).is_ok());
        assert!(matches!(checked(&later), Err(SinkError::Fenced { .. })));
    }

    #[test]
    fn what_does_not_belong_there_is_not_gone_on_behind() {
        let other = TopicId(Uuid::from_u128(9));
        for found in [
            Footer { partition: TopicPartition::new("orders", 4), ..footer() },
            Footer { topic_id: other, ..footer() },
            Footer { from: 11, ..footer() },
            Footer { table_id: TableId(Uuid::from_u128(9)), ..footer() },
        ] {
            assert!(matches!(checked(&found), Err(SinkError::Blocked { .. })), "{found:?}");
        }
    }
}
