//! Pure. How a lane writes to a chain: object by object, each put if absent.

use std::ops::Range;

use common::identity::Nonce;
use consumer::offsets::Commit;
use consumer::ownership::Event;
use consumer::sink::parquet::Footer;
use consumer::sink::parquet::verdict::{Verdict, judge};
use rand::RngExt as _;

use super::super::history::{Invariant, broken};
use super::super::kafka::controller_topic_id;
use super::super::lake::{Object, Put, table_id};
use super::super::network::Parcel;
use super::super::outside::Outside;
use super::{ANSWER_PATIENCE, Hands, Lane, Pending, Phase, STOP_PATIENCE};

impl Lane {
    pub(super) fn work(&mut self, hands: &mut Hands<'_>, outside: &mut Outside) -> Option<Event> {
        let Phase::Open(writer) = &self.phase else { return None };
        if writer.pending.is_some() {
            return self.go_on_writing(hands, outside);
        }
        let (end, fill) = (writer.end, writer.fill);
        if fill.is_none() && self.stop.is_some() {
            self.release(end, true, None, hands.now);
            return None;
        }
        let log = outside.kafka.log(self.partition()).map(|(_, log)| log).unwrap_or_default();
        let to = fill.unwrap_or_else(|| log.end.min(end + outside.rng.random_range(1..6)));
        if fill.is_none() && log.start > end {
            self.reopen(end, true, outside);
        } else if to > end {
            self.put(end..to, fill.is_none(), hands, outside);
        }
        None
    }

    fn put(&mut self, range: Range<u64>, has_rows: bool, hands: &Hands<'_>, outside: &mut Outside) {
        let footer = Footer {
            partition: self.partition().clone(),
            topic_id: self.opening.topic_id,
            from: range.start,
            to: range.end,
            leader_epoch: None,
            table_id: table_id(),
            schema_version: 1,
            controller_topic_id: controller_topic_id(),
            term: self.opening.lane.since,
            nonce: Nonce::from_rng(&mut outside.rng),
        };
        let object = Object { footer, has_rows, is_owners: false };
        self.send(&object, hands, outside);
        let pending = Pending { object, put_at: hands.now, accept: None };
        if let Phase::Open(writer) = &mut self.phase {
            writer.pending = Some(pending);
        }
    }

    fn send(&self, object: &Object, hands: &Hands<'_>, outside: &mut Outside) {
        let object = Box::new(object.clone());
        outside.send(hands.pid, Parcel::Put { lane: self.id(), object });
    }

    /// Repeats what was not answered, or counts another's object once the lease is confirmed.
    fn go_on_writing(&mut self, hands: &mut Hands<'_>, outside: &mut Outside) -> Option<Event> {
        let Phase::Open(writer) = &mut self.phase else { return None };
        let pending = writer.pending.as_mut()?;
        let is_stuck = self.stop.is_some_and(|at| hands.now.saturating_since(at) >= STOP_PATIENCE);
        if let Some((found, sent)) = pending.accept.clone() {
            if hands.holds && hands.acknowledged > sent {
                outside.seen.accepted += 1;
                self.advance(&found, hands);
                return self.tell_opened(hands, outside);
            }
        } else if hands.now.saturating_since(pending.put_at) >= ANSWER_PATIENCE {
            pending.put_at = hands.now;
            let object = pending.object.clone();
            self.send(&object, hands, outside);
        }
        if is_stuck && let Phase::Open(writer) = &self.phase {
            self.release(writer.end, false, None, hands.now);
        }
        None
    }

    /// The sink has answered a put, of this lane, perhaps of an object that is no longer pending.
    pub(crate) fn answered(
        &mut self,
        object: &Object,
        put: &Put,
        hands: &mut Hands<'_>,
        outside: &mut Outside,
    ) -> Option<Event> {
        let Phase::Open(writer) = &mut self.phase else { return None };
        let pending = writer.pending.as_mut()?;
        if pending.object.footer.nonce != object.footer.nonce || pending.accept.is_some() {
            return None;
        }
        let found = match put {
            Put::Stored => object.footer.clone(),
            Put::Taken(found) => match judge(&object.footer, found) {
                Verdict::Own => found.clone(),
                Verdict::Accept => {
                    pending.accept = Some((found.clone(), hands.sent));
                    return None;
                }
                Verdict::Fenced(by) => {
                    outside.seen.fenced += 1;
                    let end = writer.end;
                    self.release(end, false, Some(format!("fenced by {by}")), hands.now);
                    return None;
                }
                verdict @ (Verdict::OtherTopicId | Verdict::Unusable(_)) => {
                    let text = format!("the chain holds what does not belong there: {verdict:?}");
                    broken(Invariant::I1, Some(self.partition()), text)
                }
            },
        };
        self.advance(&found, hands);
        self.tell_opened(hands, outside)
    }

    fn advance(&mut self, stored: &Footer, hands: &mut Hands<'_>) {
        let position = self.position(stored.to);
        let Phase::Open(writer) = &mut self.phase else { return };
        writer.end = stored.to;
        writer.newest_object = Some(stored.from);
        writer.pending = None;
        let commit = Commit { position, object: writer.newest_object };
        if let Some(at) = &mut self.stop {
            *at = hands.now;
        }
        hands.offsets.want(&self.opening.lane.partition, commit);
    }
}
