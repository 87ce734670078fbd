//! IO. Carries out what the ownership of partitions decides: lanes, answers, reports, the state on the volume.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use anyhow::bail;
use common::chain::Chain;
use common::clock::Clock;
use common::http::Readiness;
use common::identity::{ConsumerId, Incarnation};
use common::kafka::wire::client::WireError;
use common::messages::event::{NoticeClass, RefusalClass, Refused, Report, report_extra};
use common::messages::{Extra, Message};
use common::moment::Moment;
use common::partition::TopicPartition;
use common::term::Generation;
use tokio::sync::{mpsc, watch};
use tracing::{debug, info, warn};

use crate::args::Args;
use crate::by_hand::ByHand;
use crate::events::Finding;
use crate::heart::{Beat, Heart};
use crate::inbox::{Command, Refusal};
use crate::keep::Keeper;
use crate::lane::{LaneContext, Order};
use crate::lanes::Lanes;
use crate::lease_watch::LeaseWatch;
use crate::metrics::gauge_value;
use crate::ownership::{Action, Event, Ownership};
use crate::topics::{KnownTopics, look_up};

/// How often the state is written while nothing changes but positions, in reports.
const SAVE_TICKS: u32 = 5;

type Flow = ControlFlow<()>;
const GO_ON: Flow = ControlFlow::Continue(());

/// What comes back of what was begun.
#[derive(Debug)]
pub enum Said {
    /// Kafka acknowledged an answer of this incarnation, or did not.
    Answered {
        incarnation: Incarnation,
        number: u64,
        is_acknowledged: bool,
    },
    Topics(Result<KnownTopics, WireError>),
}

/// What the process has besides its partitions.
pub struct Desk {
    pub controller: TopicPartition,
    pub consumer: ConsumerId,
    pub keeper: Keeper,
    /// Set if people lead this consumer.
    pub by_hand: Option<ByHand>,
    pub readiness: watch::Sender<Readiness>,
}

/// One consumer at work.
pub struct Conduct {
    clock: Clock,
    context: Arc<LaneContext>,
    ownership: Ownership,
    lanes: Lanes,
    lease: LeaseWatch,
    heart: Heart,
    desk: Desk,
    known: KnownTopics,
    saying: mpsc::UnboundedSender<Said>,
    /// Whether the lease of this incarnation has begun.
    is_alive: bool,
    leaderless: Option<Duration>,
    leader_seen_at: Moment,
    last_answer: u64,
    reported_at: Moment,
    ticks: u32,
}

impl Conduct {
    /// Also returns what lanes tell, and what comes back of what was begun.
    pub fn new(
        args: &Args,
        context: Arc<LaneContext>,
        desk: Desk,
        heart: Heart,
        life: (Incarnation, LeaseWatch, Option<Generation>),
    ) -> (Self, mpsc::UnboundedReceiver<Event>, mpsc::UnboundedReceiver<Said>) {
        let (incarnation, lease, generation) = life;
        let clock = context.clock;
        let now = clock.now();
        let (lanes, lane_events) = Lanes::new(Arc::clone(&context));
        let (saying, said) = mpsc::unbounded_channel();
        let mut ownership = Ownership::new(args.id(), incarnation);
        if let Some(generation) = generation {
            let actions = ownership.handle(Event::LeaderStarted(generation));
            debug_assert!(actions.is_empty(), "who leads alone changes nothing");
        }
        let conduct = Self {
            clock,
            context,
            ownership,
            lanes,
            lease,
            heart,
            desk,
            known: KnownTopics::default(),
            saying,
            is_alive: false,
            leaderless: args.leaderless(),
            leader_seen_at: now,
            last_answer: 0,
            reported_at: now,
            ticks: 0,
        };
        if let Some(finding) = conduct.desk.keeper.finding() {
            conduct.context.events.notice(incarnation, finding);
        }
        (conduct, lane_events, said)
    }

    pub fn is_draining(&self) -> bool {
        self.ownership.is_draining()
    }

    pub fn lane(&mut self, event: Event) -> Flow {
        match &event {
            Event::Stopped { lane, stopped } => {
                let is_replaced = self.lanes.is_replaced(lane, &self.known);
                self.lanes.ended(lane);
                self.desk.keeper.released(lane, stopped.position);
                // What failed waits for a person, unless its topic is another one by now.
                let is_over = stopped.reason.is_none() || is_replaced;
                if let Some(by_hand) = self.desk.by_hand.as_mut().filter(|_| is_over) {
                    by_hand.repeat();
                }
            }
            Event::OpenFailed { lane, .. } => self.lanes.ended(lane),
            _ => {}
        }
        let flow = self.handle(event);
        if flow.is_break() { flow } else { self.lead_by_hand() }
    }

    pub fn command(&mut self, command: Command) -> Flow {
        match command {
            Command::LeaderStarted(generation) => {
                self.leader_seen_at = self.clock.now();
                self.handle(Event::LeaderStarted(generation))
            }
            Command::Assign(assign) => {
                let flow = self.handle(Event::Assign(assign));
                let term = self.ownership.term();
                self.heart.set(|pulse| pulse.command_read = term);
                flow
            }
            Command::Start(request) => {
                info!(topic = request.topic, "was asked by hand to read");
                self.wish(|by_hand| by_hand.start(&request.topic, &request.partitions))
            }
            Command::Stop(request) => {
                info!(topic = request.topic, "was asked by hand to stop reading");
                self.wish(|by_hand| by_hand.stop(&request.topic, &request.partitions))
            }
        }
    }

    pub fn refuse(&self, refusal: Refusal, offset: u64) {
        let Refusal { class, event_type, text } = refusal;
        warn!(class = ?class, event_type, offset, "refused a record: {text}");
        self.context.metrics.refusal(class);
        self.context.events.tell(Refused {
            consumer: self.desk.consumer,
            incarnation: self.ownership.incarnation(),
            class,
            event_type,
            controller_partition: self.desk.controller.partition(),
            controller_offset: offset,
            text,
            extra: Extra::new(),
        });
    }

    /// A leader of an earlier generation than the one obeyed is none.
    pub fn leader_alive(&mut self, generation: Generation) {
        let obeyed = self.ownership.term().map(|term| term.generation);
        if obeyed <= Some(generation) {
            self.leader_seen_at = self.clock.now();
        }
    }

    pub fn beat(&mut self, beat: Beat) -> Flow {
        match beat {
            Beat::Began(incarnation) => {
                info!(%incarnation, "the lease began");
                self.desk.readiness.send_replace(Readiness::Ready);
                self.is_alive = true;
                self.look_up_topics();
                GO_ON
            }
            Beat::Lapsed { next, lease } => {
                self.desk.readiness.send_replace(Readiness::not_ready("the lease lapsed"));
                let finding = Finding::new(NoticeClass::LeaseLapsed, "everything was dropped");
                self.context.events.notice(self.ownership.incarnation(), finding);
                self.lease = lease;
                self.is_alive = false;
                self.last_answer = 0;
                self.desk.keeper.change();
                self.handle(Event::Lapsed { next })
            }
        }
    }

    pub fn said(&mut self, said: Said) -> anyhow::Result<Flow> {
        match said {
            Said::Answered { incarnation, number, is_acknowledged } => {
                Ok(self.answered(incarnation, number, is_acknowledged))
            }
            Said::Topics(Err(error)) => {
                debug!(error = %Chain(&error), "the ids of topics were not looked up");
                Ok(GO_ON)
            }
            Said::Topics(Ok(known)) => {
                self.check_controller(&known)?;
                self.lanes.compare(&known);
                self.known = known;
                Ok(self.lead_by_hand())
            }
        }
    }

    /// Reports, and looks after what depends on time.
    pub fn tick(&mut self) -> Flow {
        let now = self.clock.now();
        self.report(now);
        self.ticks += 1;
        if self.ticks.is_multiple_of(SAVE_TICKS) {
            self.desk.keeper.change();
        }
        let silence = now.saturating_since(self.leader_seen_at);
        let is_leaderless = self.leaderless.is_some_and(|patience| silence >= patience);
        if is_leaderless && !self.is_draining() {
            warn!(silence_secs = silence.as_secs(), "nobody leads: releases everything and ends");
            return self.drain();
        }
        GO_ON
    }

    pub fn drain(&mut self) -> Flow {
        self.heart.set(|pulse| pulse.draining = true);
        self.desk.keeper.drain(&self.lanes);
        self.desk.readiness.send_replace(Readiness::not_ready("it is ending"));
        self.handle(Event::Drain)
    }

    /// Asks for the ids of all topics that are read, or wished for.
    pub fn look_up_topics(&self) {
        let mut topics: BTreeSet<String> = self.lanes.topics();
        topics.insert(self.desk.controller.topic().into());
        let wishes = self.desk.by_hand.iter().flat_map(ByHand::topics);
        topics.extend(wishes.map(str::to_owned));
        let (wire, saying) = (Arc::clone(&self.context.wire), self.saying.clone());
        tokio::spawn(async move {
            let names: Vec<&str> = topics.iter().map(String::as_str).collect();
            // Nobody waits for it when the process ends.
            let _ = saying.send(Said::Topics(look_up(&wire, &names).await));
        });
    }

    /// Writes the state to the volume if it is old.
    pub async fn keep(&mut self) {
        let (incarnation, clock) = (self.ownership.incarnation(), self.clock);
        self.desk.keeper.keep(incarnation, &self.lanes, clock, &self.context.metrics).await;
    }

    /// The last thing that is done.
    pub async fn close(&mut self, is_clean: bool) {
        self.desk.keeper.close(is_clean);
        self.keep().await;
    }

    fn handle(&mut self, event: Event) -> Flow {
        for action in self.ownership.handle(event) {
            match action {
                Action::Open(opening) => {
                    self.lanes.open(opening, self.ownership.incarnation(), self.lease.clone());
                }
                Action::Stop(lane) => self.lanes.order(&lane, Order::Stop),
                Action::Announced { lane, tokens } => self.lanes.announced(&lane, tokens),
                Action::Abandon(lane) => self.lanes.abandon(&lane),
                Action::Answer(answer) => self.answer(answer),
                Action::Refuse { class, text } => self.refuse_command(class, text),
                Action::Exit => return ControlFlow::Break(()),
            }
        }
        GO_ON
    }

    fn answer(&mut self, answer: common::messages::event::Answer) {
        self.desk.keeper.change();
        self.last_answer = answer.number;
        let (incarnation, number) = (answer.incarnation, answer.number);
        let (events, saying) = (self.context.events.clone(), self.saying.clone());
        tokio::spawn(async move {
            let is_acknowledged = events.write(&Message::from(answer)).await.is_ok();
            let _ = saying.send(Said::Answered { incarnation, number, is_acknowledged });
        });
    }

    fn answered(&mut self, incarnation: Incarnation, number: u64, is_acknowledged: bool) -> Flow {
        if incarnation != self.ownership.incarnation() {
            return GO_ON;
        }
        if is_acknowledged && !self.lease.holds(self.clock.now()) {
            // It may have come after the leader gave everything away: nobody may begin to write by it.
            return self.handle(Event::AnswerLost);
        }
        if is_acknowledged {
            return self.handle(Event::AnswerAcknowledged(number));
        }
        if number < self.last_answer {
            return GO_ON; // A later one says all that it said.
        }
        // The client tried for as long as an incarnation may go without being heard.
        warn!(number, "an answer was not acknowledged: ends the incarnation");
        self.heart.set(|pulse| pulse.to_end = Some(incarnation));
        self.handle(Event::AnswerLost)
    }

    fn refuse_command(&self, class: RefusalClass, text: String) {
        self.refuse(Refusal { class, event_type: "Assign".into(), text }, 0);
    }

    fn wish(&mut self, change: impl FnOnce(&mut ByHand)) -> Flow {
        if let Some(by_hand) = &mut self.desk.by_hand {
            change(by_hand);
            by_hand.repeat();
            self.look_up_topics();
        }
        GO_ON
    }

    /// Gives the consumer the command that follows from people's wishes.
    fn lead_by_hand(&mut self) -> Flow {
        let may_lead = self.is_alive && !self.is_draining();
        let Some(by_hand) = self.desk.by_hand.as_mut().filter(|_| may_lead) else {
            return GO_ON;
        };
        let Some(assign) = by_hand.assign(self.ownership.incarnation(), &self.known) else {
            return GO_ON;
        };
        let generation = Event::LeaderStarted(by_hand.generation());
        let led = self.handle(generation);
        if led.is_break() { led } else { self.command(Command::Assign(assign)) }
    }

    fn check_controller(&self, known: &KnownTopics) -> anyhow::Result<()> {
        let (topic, assigned) = (self.desk.controller.topic(), self.context.controller_topic_id);
        if known.get(topic).is_some_and(|found| found.id != assigned) {
            bail!("the topic {topic} was deleted and created again: whoever leads begins anew");
        }
        Ok(())
    }

    fn report(&mut self, now: Moment) {
        let (partitions, works) = self.lanes.report(now);
        let interval = now.saturating_since(self.reported_at);
        self.reported_at = now;
        let (metrics, buffered) = (&self.context.metrics, self.context.budget.used());
        metrics.buffered_bytes.set(gauge_value(buffered));
        metrics.partitions_owned.set(gauge_value(self.lanes.count()));
        let interval_ms = milliseconds(interval).max(1);
        let permille = |time: Duration, of_ms: u64| {
            milliseconds(time).saturating_mul(1000).checked_div(of_ms).unwrap_or(0)
        };
        let busy_permille = permille(works.iter().map(|work| work.busy).sum(), interval_ms);
        let active = works.iter().filter(|work| work.is_active).count() as u64;
        let sink_wait = works.iter().map(|work| work.sink_wait).sum();
        let sink_wait_permille = permille(sink_wait, interval_ms * active);
        self.context.events.tell(Report {
            consumer: self.desk.consumer,
            incarnation: self.ownership.incarnation(),
            reported_at_ms: self.clock.timestamp().0,
            interval_ms,
            busy_permille: u32::try_from(busy_permille).unwrap_or(u32::MAX),
            buffered_bytes: buffered as u64,
            partitions,
            extra: report_extra(sink_wait_permille, &self.lanes.paused()),
        });
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
