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
