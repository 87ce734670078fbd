//! Pure. The words that metrics know kinds of things by.

use common::messages::event::{NoticeClass, RefusalClass};

use crate::status::ConsumerStanding;

pub(crate) fn standing_word(standing: ConsumerStanding) -> &'static str {
    match standing {
        ConsumerStanding::Starting => "starting",
        ConsumerStanding::Serving => "serving",
        ConsumerStanding::Draining => "draining",
        ConsumerStanding::Awaited => "awaited",
        ConsumerStanding::Absent => "absent",
        ConsumerStanding::Failing => "failing",
        ConsumerStanding::Unreachable => "unreachable",
        ConsumerStanding::ByHand => "by_hand",
    }
}

pub(crate) fn refusal(class: RefusalClass) -> &'static str {
    match class {
        RefusalClass::UnknownKind => "unknown_kind",
        RefusalClass::Malformed => "malformed",
        RefusalClass::StaleGeneration => "stale_generation",
        RefusalClass::OtherIncarnation => "other_incarnation",
        RefusalClass::NotForConsumers => "not_for_consumers",
    }
}

pub(crate) fn notice_word(class: NoticeClass) -> &'static str {
    match class {
        NoticeClass::Gap => "gap",
        NoticeClass::PositionLost => "position_lost",
        NoticeClass::TopicReplaced => "topic_replaced",
        NoticeClass::ForeignCommit => "foreign_commit",
        NoticeClass::Fenced => "fenced",
        NoticeClass::LeaseLapsed => "lease_lapsed",
        NoticeClass::Blocked => "blocked",
        NoticeClass::StateSetAside => "state_set_aside",
    }
}
