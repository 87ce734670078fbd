//! Pure. How a lane opens on streams: ends those of former owners where that is needed, asks where the rows end, makes its own.

use std::time::Duration;

use common::moment::Moment;
use consumer::offsets::Commit;
use consumer::ownership::Event;
use consumer::sink::OpenRequest;
use consumer::sink::bigquery::fencing::{End, Fencing, Step};
use consumer::sink::bigquery::token::{Stream, Token};
use consumer::sink::claims::{Beginning, Claims};

use super::super::history::{Invariant, broken, note};
use super::super::lake::table_id;
use super::super::network::Parcel;
use super::super::outside::Outside;
use super::super::streams::{Call, Reply};
use super::{ANSWER_PATIENCE, Appending, Asked, Hands, Lane, Phase};

/// How long until what may be otherwise soon is asked again.
const POLL: Duration = Duration::from_millis(500);
/// How long the same is asked without an answer.
const CALL_PATIENCE: Duration = Duration::from_secs(10);
const OPENING_PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Entering {
    request: OpenRequest,
    claims: Claims,
    asked: Asked,
    task: Task,
    began: Moment,
    /// What was asked and is not answered.
    pending: Option<Pending>,
    /// It was said that there is no such stream.
    has_met_unknown: bool,
    /// Nothing is asked before.
    poll_at: Option<Moment>,
}

/// What a sink's own opening has come to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SinkOpening {
    pub(crate) took: Duration,
    /// It was said that there is no such stream as one that is to be ended.
    pub(crate) has_met_unknown: bool,
}

impl SinkOpening {
    /// While the sink is sound: a few calls, and to wait for streams that it does not know.
    pub(crate) fn may_take(&self) -> Duration {
        Duration::from_secs(if self.has_met_unknown { 13 } else { 1 })
    }
}

impl Entering {
    pub(super) fn so_far(&self, now: Moment) -> SinkOpening {
        let took = now.saturating_since(self.began);
        SinkOpening { took, has_met_unknown: self.has_met_unknown }
    }
}

#[derive(Debug)]
enum Task {
    Fencing { fencing: Fencing, waited: Duration },
    Making(Beginning, u64),
}

#[derive(Debug)]
struct Pending {
    number: u64,
    call: Call,
    asked_first: Moment,
    asked_last: Moment,
}

impl Lane {
    /// Decides by what Kafka and the last owner say whether the sink is to be asked where the rows end.
    pub(super) fn begin_to_enter(
        &mut self,
        asked: Asked,
        hands: &mut Hands<'_>,
        outside: &mut Outside,
    ) -> Result<(), String> {
        let request = self.request(asked);
        let claims = Claims::of(table_id(), &request).map_err(|error| error.to_string())?;
        let tokens = request.hand_over.iter().flat_map(|given| &given.tokens);
        let tokens: Vec<Token> = tokens.map(|token| Token::parse(token)).collect();
        let task = match claims.trusted() {
            Some(position) => {
                self.check_clean_end(position.offset, hands, outside);
                // Nothing is under way on them, and nobody waits for their end.
                for Token { stream, .. } in tokens {
                    self.call(Call::Finalize(stream), hands, outside);
                }
                self.making(position.offset, &claims, &request)
            }
            None => {
                let of = (request.topic_id, table_id());
                let fencing = Fencing::new(of, claims.stored_to(), tokens);
                Task::Fencing { fencing, waited: Duration::ZERO }
            }
        };
        self.phase = Phase::Entering(Box::new(Entering {
            request,
            claims,
            asked,
            task,
            began: hands.now,
            pending: None,
            has_met_unknown: false,
            poll_at: None,
        }));
        Ok(())
    }

    /// I5: what a clean release says is where the rows end, but for records that are gone or dead letters.
    fn check_clean_end(&self, offset: u64, hands: &Hands<'_>, outside: &Outside) {
        let (of, since) = (self.of(), self.opening.lane.since);
        let (end, to) = (outside.streams.end(&of), outside.streams.stored_to(&of, &outside.kafka));
        let is_there = outside.kafka.log(&of.0).is_some_and(|(id, _)| id == of.1);
        if hands.holds && is_there && (offset > to || offset < end) {
            let text = format!("a clean hand-over says {offset} to {since}, the rows end at {end}");
            broken(Invariant::I5, Some(self.partition()), text);
        }
    }

    fn making(&self, end: u64, claims: &Claims, request: &OpenRequest) -> Task {
        let beginning = claims.begin(request, end);
        if beginning.gap.is_none() && end > 0 && beginning.fill.is_some() {
            broken(Invariant::I1, Some(self.partition()), "records are gone and nobody says so");
        }
        Task::Making(beginning, end)
    }

    /// Asks what is to be asked, or the same again.
    pub(super) fn enter(&mut self, hands: &mut Hands<'_>, outside: &mut Outside) -> Option<Event> {
        let now = hands.now;
        let Phase::Entering(entering) = &mut self.phase else { return None };
        let since = |then: Moment| now.saturating_since(then);
        if since(entering.began) >= OPENING_PATIENCE {
            return Some(self.failed_to_open("opening took longer than 30 s", hands, outside));
        }
        if let Some(pending) = &mut entering.pending {
            if since(pending.asked_first) >= CALL_PATIENCE {
                return Some(self.failed_to_open("the sink does not answer", hands, outside));
            }
            if since(pending.asked_last) >= ANSWER_PATIENCE {
                pending.asked_last = now;
                let (number, call) = (pending.number, pending.call.clone());
                self.send_call(number, call, hands, outside);
            }
            return None;
        }
        if entering.poll_at.is_some_and(|at| now < at) {
            return None;
        }
        let was_polled = entering.poll_at.take().is_some();
        let call = match &mut entering.task {
            Task::Fencing { fencing, waited } => {
                *waited += if was_polled { POLL } else { Duration::ZERO };
                match fencing.next_step() {
                    Step::Finalize(stream) => Call::Finalize(stream.into()),
                    Step::Ask { from } => Call::Ask { from },
                }
            }
            Task::Making(..) => Call::Create { since: self.opening.lane.since },
        };
        let number = self.call(call.clone(), hands, outside);
        if let Phase::Entering(entering) = &mut self.phase {
            entering.pending = Some(Pending { number, call, asked_first: now, asked_last: now });
        }
        None
    }

    fn call(&mut self, call: Call, hands: &Hands<'_>, outside: &mut Outside) -> u64 {
        self.calls += 1;
        self.send_call(self.calls, call, hands, outside);
        self.calls
    }

    fn send_call(&self, number: u64, call: Call, hands: &Hands<'_>, outside: &mut Outside) {
        let (lane, topic_id) = (self.id(), self.opening.topic_id);
        outside.send(hands.pid, Parcel::Call { lane, topic_id, number, call });
    }

    /// The sink has answered what was asked under this number.
    pub(crate) fn replied(
        &mut self,
        number: u64,
        reply: &Reply,
        hands: &mut Hands<'_>,
        outside: &mut Outside,
    ) -> Option<Event> {
        let Phase::Entering(entering) = &mut self.phase else { return None };
        entering.pending.take_if(|pending| pending.number == number)?;
        let end = match (&mut entering.task, reply) {
            (Task::Making(beginning, end), Reply::Created(stream)) => {
                let (beginning, end, log) = (beginning.clone(), *end, entering.asked.log);
                return Some(self.entered(stream, (beginning, end, log.end), hands, outside));
            }
            (Task::Fencing { fencing, waited }, Reply::Finalized(rows)) => {
                if fencing.finalized(*rows, *waited) {
                    if let Step::Ask { .. } = fencing.next_step() {
                        *waited = Duration::ZERO;
                    }
                    outside.seen.given_up_as_gone += u64::from(rows.is_none());
                } else {
                    outside.seen.not_found += 1;
                    entering.has_met_unknown = true;
                    entering.poll_at = Some(hands.now + POLL);
                }
                return None;
            }
            (Task::Fencing { fencing, waited }, Reply::Found(stored)) => {
                let Some(End { offset, missing }) = fencing.found(*stored, *waited) else {
                    outside.seen.rows_missing += 1;
                    entering.poll_at = Some(hands.now + POLL);
                    return None;
                };
                if missing > 0 {
                    let text = format!("{missing} rows are missing though all are shown");
                    broken(Invariant::I1, Some(self.partition()), text);
                }
                offset
            }
            // Of a number there is one question.
            (_, reply) => unreachable!("{reply:?} answers another question"),
        };
        let (claims, request) = (entering.claims, entering.request.clone());
        note(Some(self.partition()), || format!("the rows end at {end}, as the table says"));
        let task = self.making(end, &claims, &request);
        if let Phase::Entering(entering) = &mut self.phase {
            entering.task = task;
        }
        None
    }

    /// The stream is made.
    fn entered(
        &mut self,
        stream: &str,
        (beginning, end, log_end): (Beginning, u64, u64),
        hands: &mut Hands<'_>,
        outside: &mut Outside,
    ) -> Event {
        let from = beginning.fill.map_or(end, |fill| fill.end);
        let is_ahead = |end: u64| from > end;
        if is_ahead(log_end)
            && outside.kafka.log(self.partition()).is_none_or(|(_, log)| is_ahead(log.end))
        {
            let reason = format!("offset {from} is to be read next, the log ends before");
            return self.failed_to_open(&reason, hands, outside);
        }
        let of = Some((self.opening.topic_id, table_id()));
        let stream = Stream::Own(Token { from, of, stream: stream.into() });
        let (tokens, position) = (stream.token().into_iter().collect(), self.position(from));
        self.tokens = tokens;
        self.report(beginning.gap.map(|gap| (gap.start, gap.end)), outside);
        self.calls += 1;
        self.phase = Phase::Appending(Box::new(Appending::new(stream, from, self.calls)));
        hands.offsets.want(self.partition(), Commit { position, object: None });
        let (lane, tokens) = (self.id(), self.tokens.clone());
        if std::mem::replace(&mut self.is_told, true) {
            return Event::TokensChanged { lane, tokens };
        }
        outside.seen.opened += 1;
        Event::Opened { lane, position, tokens }
    }
}
