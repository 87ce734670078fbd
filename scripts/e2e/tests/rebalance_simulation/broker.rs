//! Pure. The log: what reaches it stays and is read in order; the way to it loses, repeats and reorders.

use common::identity::{Incarnation, Nonce};
use common::messages::command::{Assign, LeaderStarted};
use common::messages::event::{Answer, Heartbeat};
use common::partition::TopicPartition;
use common::term::Generation;
use rand::RngExt as _;
use rand::rngs::ChaCha8Rng;

#[derive(Clone, Debug)]
pub(crate) enum Command {
    LeaderStarted(LeaderStarted),
    Assign(Assign),
}

#[derive(Clone, Debug)]
pub(crate) enum Event {
    Heartbeat(Heartbeat),
    Answer(Answer),
    Marker(Nonce),
}

#[derive(Clone, Debug)]
enum Flight {
    Command { partition: usize, command: Command },
    Event { event: Event },
}

/// What a writer learns: the broker has stored it.
#[derive(Clone, Debug)]
pub(crate) enum Acknowledged {
    Heartbeat { incarnation: Incarnation, number: u64 },
    Answer { incarnation: Incarnation, number: u64 },
}

#[derive(Debug)]
pub(crate) struct Broker {
    /// Partition n of the controller topic; 0 is used for generations only.
    pub(crate) controller: Vec<Vec<Command>>,
    pub(crate) events: Vec<Event>,
    flights: Vec<Flight>,
    pub(crate) acknowledged: Vec<Acknowledged>,
    /// In per cent: how often the way loses, repeats, and how often it loses an acknowledgement.
    pub(crate) badness: u32,
}

impl Broker {
    pub(crate) fn new(consumers: u32) -> Self {
        Self {
            controller: vec![vec![]; consumers as usize + 1],
            events: vec![],
            flights: vec![],
            acknowledged: vec![],
            badness: 10,
        }
    }

    pub(crate) fn send_command(&mut self, consumer: u32, command: Command) {
        self.flights.push(Flight::Command { partition: consumer as usize, command });
    }

    pub(crate) fn send_event(&mut self, event: Event) {
        self.flights.push(Flight::Event { event });
    }

    /// A new leader waits until its records stand in the log.
    pub(crate) fn begin_reign(&mut self, mut started: LeaderStarted) -> Generation {
        let generation = Generation(self.controller[0].len() as u64);
        self.controller[0].push(Command::LeaderStarted(started.clone()));
        started.generation = Some(generation);
        for partition in &mut self.controller[1..] {
            partition.push(Command::LeaderStarted(started.clone()));
        }
        generation
    }

    /// The commands and answers that concern one partition.
    pub(crate) fn history(&self, partition: &TopicPartition) -> Vec<String> {
        let commands = self.controller.iter().enumerate().flat_map(|(consumer, log)| {
            log.iter().map(move |command| match command {
                Command::LeaderStarted(started) => {
                    format!("{consumer}: LeaderStarted {:?}", started.generation)
                }
                Command::Assign(assign) => {
                    let given = assign.partitions().find(|(given, _, _)| given == partition);
                    let given = given.map(|(_, _, given)| (given.since, given.hand_over.clone()));
                    let (term, read) = (assign.term, assign.answer_read);
                    format!(
                        "{consumer}: Assign {term} {:?} read {read} {given:?}",
                        assign.incarnation
                    )
                }
            })
        });
        let events = self.events.iter().map(|event| match event {
            Event::Answer(answer) => {
                let said = answer.partitions.iter().find(|said| said.partition == *partition);
                let said = said.map(|said| (said.state, said.since));
                let Answer { consumer, incarnation, number, term, .. } = answer;
                format!("{consumer} {incarnation:?} answer {number} to {term}: {said:?}")
            }
            Event::Heartbeat(heartbeat) => {
                format!(
                    "{} {:?} beats {}",
                    heartbeat.consumer, heartbeat.incarnation, heartbeat.number
                )
            }
            Event::Marker(nonce) => format!("marker {nonce}"),
        });
        commands.chain(events).collect()
    }

    /// Lets some record arrive, be lost, or be written twice. Usually the oldest comes first.
    pub(crate) fn deliver(&mut self, rng: &mut ChaCha8Rng) {
        if self.flights.is_empty() {
            return;
        }
        let reorders = rng.random_ratio(self.badness, 100);
        let index = if reorders { rng.random_range(0..self.flights.len()) } else { 0 };
        let flight = self.flights[index].clone();
        let repeats = rng.random_ratio(self.badness, 200);
        if !repeats {
            self.flights.remove(index);
        }
        if rng.random_ratio(self.badness, 100) {
            return; // Lost.
        }
        let acknowledges = !rng.random_ratio(self.badness, 100);
        match flight {
            Flight::Command { partition, command } => self.controller[partition].push(command),
            Flight::Event { event } => {
                self.acknowledged.extend(acknowledgement(&event).filter(|_| acknowledges));
                self.events.push(event);
            }
        }
    }
}

fn acknowledgement(event: &Event) -> Option<Acknowledged> {
    match event {
        Event::Heartbeat(heartbeat) => {
            let Heartbeat { incarnation, number, .. } = *heartbeat;
            Some(Acknowledged::Heartbeat { incarnation, number })
        }
        Event::Answer(answer) => {
            let Answer { incarnation, number, .. } = *answer;
            Some(Acknowledged::Answer { incarnation, number })
        }
        Event::Marker(_) => None,
    }
}
