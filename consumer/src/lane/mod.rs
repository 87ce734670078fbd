//! A lane: one partition that is owned, as a task of its own from its opening to its release.
//!
//! ```text
//!  open ──> read: [ gather ─> batch ─> decode ─> object ─> write ─> offsets ] ──> release
//!   ^         │ └── flow says what is next, work does it
//!   └─ pause ─┘ too many records cannot become rows
//! ```

pub mod flow;
pub mod tally;

mod open;
mod read;
mod pause;
mod release;
mod work;

use std::sync::{Arc, Mutex, PoisonError};

use common::backoff::{Backoff, BackoffPolicy};
use common::clock::Clock;
use common::identity::{Incarnation, TopicId};
use common::kafka::wire::client::WireClient;
use common::messages::entry::ShareMax;
use common::position::HandOver;
use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use tokio::sync::{Semaphore, mpsc, watch};

use crate::budget_watch::SharedBudget;
use crate::commit::Committer;
use crate::dead_letter::DeadLetters;
use crate::events::{Events, Finding};
use crate::gather::Fetcher;
use crate::lease_watch::LeaseWatch;
use crate::metrics::ConsumerMetrics;
use crate::ownership::{Event, Opening};
use crate::refusal::Guard;
use crate::schema_registry::SchemaRegistry;
use crate::sink::Condemned;
use crate::sink::tables::Tables;
use flow::FlowLimits;
use open::OpenEnd;
use pause::{PAUSES, Pause};
use read::{Ending, Last, Reader};
use tally::Tally;

/// What all lanes of a process share.
pub struct LaneContext {
    pub clock: Clock,
    pub limits: FlowLimits,
    pub controller_topic_id: TopicId,
    pub fetcher: Fetcher,
    pub wire: Arc<WireClient>,
    pub tables: Tables,
    pub registry: SchemaRegistry,
    pub committer: Committer,
    pub dead_letters: DeadLetters,
    pub events: Events,
    pub budget: SharedBudget,
    /// As many batches are decoded at once as there are cores.
    pub decoders: Semaphore,
    pub metrics: ConsumerMetrics,
    pub rng: Mutex<ChaCha8Rng>,
}

/// What a lane is told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    Go,
    /// Store what was read, commit, release.
    Stop,
    /// The topic is another one: store nothing more, say why.
    Fail(String),
    /// The lease is gone: not one step more.
    Abandon,
}

/// One lane before it starts.
pub struct Lane {
    pub context: Arc<LaneContext>,
    pub opening: Opening,
    pub incarnation: Incarnation,
    pub lease: LeaseWatch,
    pub orders: watch::Receiver<Order>,
    /// The fence tokens that Kafka has in an answer of ours: their writer may write.
    pub announced: watch::Receiver<Vec<String>>,
    /// Fence tokens of the present writer, or of the last one.
    pub tokens: Vec<String>,
    /// Records come with their headers, which only dead letters need: so from the first of them on.
    pub needs_headers: bool,
    /// Records that the sink refused: what they are decoded to is a dead letter.
    pub condemned: Arc<Condemned>,
    pub told: mpsc::UnboundedSender<Event>,
    pub tally: Arc<Mutex<Tally>>,
    /// Of what was read so far, once it is open.
    pub guard: Option<Arc<Mutex<Guard>>>,
}

impl LaneContext {
    /// Delays between attempts to use the sink or Kafka.
    fn backoff(&self) -> Backoff {
        Backoff::new(BackoffPolicy::default(), self.rng())
    }

    fn rng(&self) -> ChaCha8Rng {
        ChaCha8Rng::from_rng(&mut *self.rng.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Lane {
    /// Opens the partition, reads it, and releases it. What becomes of it is told to the ownership;
    /// a lane that was abandoned says nothing.
    pub async fn run(mut self) {
        let mut is_open = false;
        let mut pauses = Backoff::new(PAUSES, self.context.rng());
        loop {
            let opened = match self.open().await {
                Ok(opened) => opened,
                Err(OpenEnd::Abandoned) => return,
                Err(OpenEnd::Stopped) if is_open => return self.tell_stopped_reopening(),
                Err(OpenEnd::Stopped) => return self.tell_stopped_unopened(),
                Err(OpenEnd::Failed(reason)) if is_open => return self.tell_failed(reason),
                Err(OpenEnd::Failed(reason)) => return self.tell_open_failed(reason),
            };
            self.tokens.clone_from(&opened.tokens);
            if is_open {
                self.tell_tokens();
            } else {
                self.tell_opened(&opened);
                is_open = true;
            }
            match Reader::new(&mut self, opened).read().await {
                Ending::Abandoned => return,
                Ending::Stopped(last) => return self.release(last, None).await,
                Ending::Failed(last, reason) => return self.release(last, Some(reason)).await,
                Ending::PositionGone(last) => self.go_on_behind(last),
                Ending::LacksHeaders(last) => {
                    self.needs_headers = true;
                    self.go_on_behind(last);
                }
                Ending::Condemned(last, rows) => {
                    self.needs_headers = true;
                    self.condemned = Arc::new(self.condemned.with(rows));
                    self.go_on_behind(last);
                }
                Ending::Refused(last, refusal) => match self.pause(&refusal, &mut pauses).await {
                    Pause::Over => self.go_on_behind(last),
                    Pause::Abandoned => return,
                    Pause::Stopped => return self.release(last, None).await,
                    Pause::Failed(reason) => return self.release(last, Some(reason)).await,
                },
            }
        }
    }

    /// The next opening begins where this one ended.
    fn go_on_behind(&mut self, last: Last) {
        let (position, clean) = last.close();
        let tokens = self.tokens.clone();
        self.opening.hand_over =
            Some(HandOver { position: Some(position), clean, tokens, release: None });
    }

    /// What judges the batches: it remembers what came before a pause.
    fn guard(&mut self, share_max: ShareMax) -> Arc<Mutex<Guard>> {
        let guard = self.guard.get_or_insert_with(|| Arc::new(Mutex::new(Guard::new(share_max))));
        Arc::clone(guard)
    }

    fn tell(&self, event: Event) {
        // Nobody listens any more when the process ends.
        let _ = self.told.send(event);
    }

    fn notice(&self, finding: Finding) {
        let finding = finding.about(&self.opening.lane.partition);
        self.context.events.notice(self.incarnation, finding);
    }

    fn with_tally<T>(&self, work: impl FnOnce(&mut Tally) -> T) -> T {
        work(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
