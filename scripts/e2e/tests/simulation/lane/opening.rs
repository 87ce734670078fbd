//! Pure. How a lane opens: what Kafka says, and then a chain by the sink's real rules.

use consumer::lease_watch::lease_channel;
use consumer::ownership::Event;
use consumer::sink::claims::Claims;
use consumer::sink::parquet::last::check_last;
use consumer::sink::{OpenRequest, SinkError};
use rand::RngExt as _;

use super::super::history::{Invariant, broken};
use super::super::kafka::controller_topic_id;
use super::super::lake::{Object, table_id};
use super::super::outside::Outside;
use super::{Asked, Hands, Lane, Phase, Writer};

impl Lane {
    pub(super) fn ask(&mut self, hands: &mut Hands<'_>, outside: &mut Outside) -> Option<Event> {
        if outside.are_brokers_away() {
            return None;
        }
        let found = outside.kafka.log(self.partition());
        let Some((_, log)) = found.filter(|(id, _)| *id == self.opening.topic_id) else {
            return Some(self.failed_to_open("the topic was changed", hands, outside));
        };
        let committed = outside.kafka.committed.get(self.partition()).copied();
        self.phase = Phase::Opening(Some(Asked { committed, log }));
        None
    }

    pub(super) fn open(
        &mut self,
        asked: Asked,
        hands: &mut Hands<'_>,
        outside: &mut Outside,
    ) -> Option<Event> {
        let is_away = outside.now < outside.sink_back_at;
        if is_away || outside.is_sink_bad && outside.rng.random_ratio(1, 20) {
            return Some(self.failed_to_open("the sink is away", hands, outside));
        }
        if outside.is_on_streams(self.partition()) {
            let begun = self.begin_to_enter(asked, hands, outside);
            return begun.err().map(|reason| self.failed_to_open(&reason, hands, outside));
        }
        match self.try_open(asked, hands, outside) {
            Ok(writer) => {
                self.phase = Phase::Open(Box::new(writer));
                self.tell_opened(hands, outside)
            }
            Err(reason) => {
                outside.seen.fenced += u64::from(reason.contains("later term"));
                Some(self.failed_to_open(&reason, hands, outside))
            }
        }
    }

    /// The sink's real rules on what the simulated chain holds.
    fn try_open(
        &self,
        asked: Asked,
        hands: &Hands<'_>,
        outside: &mut Outside,
    ) -> Result<Writer, String> {
        let (table, request) = (table_id(), self.request(asked));
        let said = |error: SinkError| error.to_string();
        let claims = Claims::of(table, &request).map_err(said)?;
        let chain = outside.lake.chain(self.partition(), self.opening.topic_id);
        let last = chain.last().map(|object| &object.footer);
        let (end, newest_object) = match claims.trusted() {
            Some(position) => {
                self.check_clean(position.offset, chain, hands);
                (position.offset, claims.object())
            }
            None => {
                if let Some(last) = last {
                    check_last(table, &request, "the last object", last, last.from)
                        .map_err(said)?;
                }
                (last.map_or(0, |last| last.to), last.map(|last| last.from))
            }
        };
        claims.check_not_ahead(&request, end).map_err(said)?;
        let beginning = claims.begin(&request, end);
        if end > asked.log.end
            && outside.kafka.log(self.partition()).is_none_or(|(_, log)| end > log.end)
        {
            return Err(format!("offset {end} is to be read next, the log ends before"));
        }
        let gap = beginning.gap.map(|gap| (gap.start, gap.end));
        if gap.is_none() && end > 0 && beginning.fill.is_some() {
            broken(Invariant::I1, Some(self.partition()), "records are gone and nobody says so");
        }
        let fill = beginning.fill.map(|fill| fill.end);
        Ok(Writer { end, newest_object, fill, pending: None, gap })
    }

    /// I5: what a clean release says is the chain's end, but for what a zombie of an older term wrote
    /// since. An opening that was interrupted may have recorded a gap.
    fn check_clean(&self, offset: u64, chain: &[Object], hands: &Hands<'_>) {
        let since = self.opening.lane.since;
        let end = chain.last().map_or(0, |object| object.footer.to);
        let mut later = chain.iter().rev().take_while(|object| object.footer.from >= offset);
        let is_no_zombies =
            |object: &Object| object.footer.term >= since || object.is_owners && object.has_rows;
        if hands.holds && (offset > end || later.any(is_no_zombies)) {
            let text =
                format!("a clean hand-over says {offset} to {since}, the chain ends at {end}");
            broken(Invariant::I5, Some(self.partition()), text);
        }
    }

    pub(super) fn request(&self, asked: Asked) -> OpenRequest {
        OpenRequest {
            partition: self.partition().clone(),
            topic_id: self.opening.topic_id,
            controller_topic_id: controller_topic_id(),
            term: self.opening.lane.since,
            hand_over: self.opening.hand_over.clone(),
            committed: asked.committed,
            log_start: asked.log.start,
            has_changed_table: self.opening.new_table,
            begin_at: None,
            lease: lease_channel().1,
        }
    }

    pub(super) fn failed_to_open(
        &mut self,
        reason: &str,
        hands: &mut Hands<'_>,
        outside: &mut Outside,
    ) -> Event {
        outside.seen.failed_opens += 1;
        if self.is_told {
            let position = self.opening.hand_over.as_ref().and_then(|given| given.position);
            return self.stopped(hands, position, false, Some(reason.into()));
        }
        hands.offsets.forget(self.partition());
        Event::OpenFailed { lane: self.id(), reason: reason.into(), tokens: vec![] }
    }
}
