//! Pure. What a process reads on the controller topic: who leads, and what it is told.

use common::messages::Message;
use common::messages::command::Assign;
use common::term::{Generation, Term};
use consumer::inbox::{Command, Envelope, LeaderSign, leader_sign};
use consumer::ownership::{Event, LaneId};
use orchestrator::conductor::action::Destination;

use super::super::forge::REPEATED;
use super::super::history::{Invariant, broken, note};
use super::super::kafka::{Kafka, Payload, controller_topic_id};
use super::super::outside::Outside;
use super::Process;

impl Process {
    /// Who led last, by partition 0: looked up some time after the own partition's end was.
    pub(super) fn find_leader(&mut self, kafka: &Kafka) {
        self.is_starting = false;
        let mut found: Option<Generation> = None;
        for (offset, record) in (0u64..).zip(&kafka.controller[0]) {
            let sign = match &record.payload {
                Payload::Whole(message) => match &**message {
                    Message::LeaderStarted(_) => Some(LeaderSign::Started(Generation(offset))),
                    Message::LeaderAlive(alive) => Some(LeaderSign::Alive(alive.generation)),
                    _ => None,
                },
                Payload::Raw(raw) => leader_sign(controller_topic_id(), offset, &raw.envelope()),
            };
            found = found.max(sign.map(|sign| match sign {
                LeaderSign::Started(generation) | LeaderSign::Alive(generation) => generation,
            }));
        }
        if let Some(generation) = found {
            self.led_by = self.led_by.max(found);
            note(None, || format!("process {} finds that {generation} leads", self.pid));
            self.ownership.handle(Event::LeaderStarted(generation));
        }
    }

    pub(super) fn read_command(&mut self, outside: &mut Outside) {
        let to = Destination::Consumer(self.consumer);
        let is_away = outside.are_brokers_away();
        if is_away || outside.kafka.held_up_until(to, outside.now).is_some() {
            return;
        }
        let log = &outside.kafka.controller[self.consumer.0 as usize];
        let Some(record) = log.get(self.cursor).cloned() else { return };
        self.cursor += 1;
        let mut before = record.forged.map(|_| self.trace());
        let command = match &record.payload {
            Payload::Raw(raw) => self.inbox.take(raw.envelope()),
            Payload::Whole(message) => match &**message {
                Message::Assign(assign) => Ok(Some(Command::Assign(assign.clone()))),
                other => {
                    let event_type = Some(other.kind().name().to_owned());
                    let value = Some(other.encode());
                    self.inbox.take(Envelope { event_type, chunk: None, value })
                }
            },
        };
        match command {
            Ok(Some(Command::Assign(assign))) => {
                note(None, || format!("process {} reads {}", self.pid, shown(&assign)));
                if self.is_due(&assign) && record.forged == Some(REPEATED) {
                    before = None;
                }
                self.tell(Event::Assign(assign), outside);
            }
            Ok(Some(Command::LeaderStarted(generation))) => {
                note(None, || format!("process {} reads that {generation} leads", self.pid));
                self.led_by = self.led_by.max(Some(generation));
                self.tell(Event::LeaderStarted(generation), outside);
            }
            Ok(Some(Command::Start(_) | Command::Stop(_))) => {
                broken(Invariant::I8, None, "a led consumer took a request")
            }
            Ok(None) => {}
            Err(_) => outside.seen.refused += 1,
        }
        if let (Some(what), Some(before)) = (record.forged, before) {
            outside.seen.forged += 1;
            let after = self.trace();
            if before != after {
                let text = format!("{what} changed what {} does", self.consumer);
                note(None, || format!("{before:?} became {after:?}"));
                broken(Invariant::I8, None, text);
            }
        }
    }

    /// Whether it has yet to obey this, as a copy that came before its leader was announced was refused: then
    /// another copy is no repetition. The leader itself writes a command until it is answered.
    fn is_due(&self, assign: &Assign) -> bool {
        let is_its_own = assign.incarnation == self.incarnation();
        let is_of_leader = Some(assign.term.generation) == self.led_by;
        is_its_own && is_of_leader && Some(assign.term) > self.ownership.term()
    }

    /// All that a command may change.
    fn trace(&self) -> (Option<Term>, bool, Vec<(LaneId, bool)>) {
        let lanes = self.lanes.iter().map(|(id, lane)| (id.clone(), lane.is_stopping())).collect();
        (self.ownership.term(), self.ownership.is_draining(), lanes)
    }
}

/// A command in one line.
pub(crate) fn shown(assign: &Assign) -> String {
    let given = assign.partitions().map(|(partition, _, given)| {
        let hand_over = given.hand_over.as_ref();
        let offset = hand_over.and_then(|given| given.position).map(|position| position.offset);
        let clean = hand_over.is_some_and(|given| given.clean);
        format!(
            "{partition} since {} at {offset:?}{}",
            given.since,
            if clean { " clean" } else { "" }
        )
    });
    let given: Vec<_> = given.collect();
    let end = if assign.end { ", to end" } else { "" };
    format!("Assign {} to {:?}: [{}]{end}", assign.term, assign.incarnation, given.join(", "))
}

#[cfg(test)]
mod tests {
    use super::super::super::kafka::Record;
    use super::*;
    use common::identity::{ConsumerId, Incarnation, Nonce};
    use common::messages::Extra;
    use common::messages::command::LeaderStarted;
    use common::term::Sequence;
    use rand::SeedableRng as _;
    use rand::rngs::ChaCha8Rng;

    const CONSUMER: ConsumerId = ConsumerId(1);

    fn append(outside: &mut Outside, message: impl Into<Message>, forged: Option<&'static str>) {
        let payload = Payload::from(message.into());
        outside.kafka.append(Destination::Consumer(CONSUMER), Record { payload, forged });
    }

    fn assign(incarnation: Incarnation, sequence: u64) -> Assign {
        let term = Term { generation: Generation(7), sequence: Sequence(sequence) };
        let extra = Extra::new();
        Assign { term, incarnation, answer_read: 0, end: false, topics: vec![], extra }
    }

    /// As in a history in which the announcement of a leader came seconds after its commands.
    #[test]
    fn a_repeated_command_is_obeyed_where_no_copy_was() {
        let mut outside = Outside::new(1, ChaCha8Rng::seed_from_u64(1));
        let mut process = Process::start(CONSUMER, &mut outside);
        let (first, second) = (assign(process.incarnation(), 1), assign(process.incarnation(), 2));
        let announced = LeaderStarted {
            nonce: Nonce(1),
            author: "a leader".into(),
            generation: Some(Generation(7)),
            controller_topic_id: controller_topic_id(),
            extra: Extra::new(),
        };
        append(&mut outside, second.clone(), None);
        append(&mut outside, second.clone(), Some(REPEATED));
        append(&mut outside, announced, None);
        append(&mut outside, assign(Incarnation(1), 3), Some(REPEATED));
        append(&mut outside, second.clone(), Some(REPEATED));
        append(&mut outside, second.clone(), Some(REPEATED));
        append(&mut outside, first.clone(), Some(REPEATED));
        let mut obeyed = vec![];
        for _ in 0..7 {
            process.read_command(&mut outside);
            obeyed.push(process.ownership.term());
        }
        let term = Some(second.term);
        assert_eq!(obeyed, [None, None, None, None, term, term, term]);
        assert!(!process.is_due(&first) && !process.is_due(&second));
    }
}
