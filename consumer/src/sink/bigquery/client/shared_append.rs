//! IO. Connections that the default streams of a process share.
//!
//! ```text
//!  SharedAppend, one per writer ──job──> Connection: a task with one Append ──its answer──> SharedAppend
//! ```
//!
//! Each has the answers to its own requests, whatever becomes of others': a refusal goes to whoever it is for, and the
//! end of the connection to all that wait on it. A connection ends when no writer holds it any more.

use std::collections::VecDeque;
use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use gcp_bigquery_client::google::cloud::bigquery::storage::v1::ProtoSchema;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::append::Append;
use super::call_error::{Call, CallError, Kind};
use super::connect::Client;
use super::sharing::{Choice, Load, Told, choose};
use super::verdict::Answer;

/// The shared connections of a client. A writer that takes one keeps it open.
#[derive(Debug, Default)]
pub struct SharedConnections(Mutex<Vec<Weak<Connection>>>);

#[derive(Debug)]
struct Connection {
    jobs: UnboundedSender<Job>,
    load: Arc<Mutex<Load>>,
}

/// A request, and who waits for its answer.
#[derive(Debug)]
struct Job {
    stream: Arc<str>,
    schema: Arc<ProtoSchema>,
    rows: Vec<Vec<u8>>,
    waiting: Waiting,
}

#[derive(Debug)]
struct Waiting {
    stream: Arc<str>,
    bytes: usize,
    answer: oneshot::Sender<Result<Answer, Broken>>,
}

/// The end of a connection, for one of those that wait on it.
#[derive(Debug)]
struct Broken {
    error: CallError,
    /// Its request was the oldest without an answer: it may be what ended the connection.
    is_suspect: bool,
}

/// One writer's appends to a default stream. Dropping it gives up the answers that it has not had.
pub struct SharedAppend {
    client: Client,
    stream: Arc<str>,
    connection: Option<Arc<Connection>>,
    answers: VecDeque<oneshot::Receiver<Result<Answer, Broken>>>,
    is_suspect: bool,
}

impl SharedConnections {
    /// One with room, or a new one for which `stream` is the first.
    fn take(&self, client: &Client, stream: &str) -> Arc<Connection> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut open: Vec<_> = known.iter().filter_map(Weak::upgrade).collect();
        open.retain(|connection| !connection.jobs.is_closed());
        let loads: Vec<_> = open.iter().map(|connection| connection.load()).collect();
        let chosen = match choose(&loads) {
            Choice::Open(at) => Arc::clone(&open[at]),
            Choice::New => {
                let new = Arc::new(Connection::open(client, stream));
                open.push(Arc::clone(&new));
                new
            }
        };
        *known = open.iter().map(Arc::downgrade).collect();
        chosen
    }
}

impl Connection {
    fn open(client: &Client, stream: &str) -> Self {
        let (jobs, receiver) = unbounded_channel();
        let load = Arc::default();
        tokio::spawn(serve(client.append(stream), receiver, Arc::clone(&load)));
        Self { jobs, load }
    }

    fn load(&self) -> Load {
        *self.load.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SharedAppend {
    pub(super) fn new(client: Client, stream: &str) -> Self {
        let (stream, answers) = (stream.into(), VecDeque::new());
        Self { client, stream, connection: None, answers, is_suspect: false }
    }

    /// Hands rows over; while none of its requests is under way, to whichever connection has room.
    ///
    /// # Errors
    /// If the connection has ended. The rows were not sent then.
    pub fn send(&mut self, schema: &Arc<ProtoSchema>, rows: Vec<Vec<u8>>) -> Result<(), CallError> {
        let Self { client, stream, answers, .. } = self;
        let known = self.connection.take().filter(|_| !answers.is_empty());
        let connection = known.unwrap_or_else(|| client.shared().take(client, stream));
        let connection = self.connection.insert(connection);
        let bytes = rows.iter().map(Vec::len).sum();
        let (answer, receiver) = oneshot::channel();
        let waiting = Waiting { stream: Arc::clone(stream), bytes, answer };
        let schema = Arc::clone(schema);
        connection.begin(bytes);
        let job = Job { stream: Arc::clone(stream), schema, rows, waiting };
        if connection.jobs.send(job).is_err() {
            let text = "the connection has ended";
            return Err(CallError::unknown(Call::Append, stream, text));
        }
        answers.push_back(receiver);
        Ok(())
    }

    /// The answer to its oldest request that had none; without such a request it waits for ever. May be given up at
    /// any time without an answer being lost.
    ///
    /// # Errors
    /// If the connection has ended: of all its requests without an answer the outcome is unknown.
    pub async fn receive(&mut self) -> Result<Answer, CallError> {
        let Some(oldest) = self.answers.front_mut() else { return pending().await };
        let outcome = oldest.await;
        self.answers.pop_front();
        let Ok(outcome) = outcome else {
            let text = "the connection has ended";
            return Err(CallError::unknown(Call::Append, &self.stream, text));
        };
        outcome.map_err(|broken| {
            self.is_suspect |= broken.is_suspect;
            broken.error
        })
    }

    /// Whether a request of its own may be what ended a connection that others were on as well.
    pub fn is_suspect(&self) -> bool {
        self.is_suspect
    }
}

impl Connection {
    fn begin(&self, bytes: usize) {
        let mut load = self.load.lock().unwrap_or_else(PoisonError::into_inner);
        *load = Load { requests: load.requests + 1, bytes: load.bytes + bytes };
    }
}

/// Sends what comes and hands out the answers, until the connection ends or nobody holds it any more.
async fn serve(mut append: Append, mut jobs: UnboundedReceiver<Job>, load: Arc<Mutex<Load>>) {
    let (mut told, mut waiting) = (Told::default(), VecDeque::<Waiting>::new());
    let end = loop {
        tokio::select! {
            biased;
            answer = append.receive() => match answer {
                Ok(answer) => {
                    let Some(Waiting { bytes, answer: to, .. }) = waiting.pop_front() else { continue };
                    finish(&load, bytes);
                    // Whoever does not wait any more does not want to know.
                    let _ = to.send(Ok(answer));
                }
                Err(end) => break end,
            },
            job = jobs.recv() => {
                let Some(Job { stream, schema, rows, waiting: who }) = job else { return };
                // Whoever left does not write any more.
                if who.answer.is_closed() {
                    finish(&load, who.bytes);
                    continue;
                }
                waiting.push_back(who);
                // If it could not be sent, the next `receive` says why.
                let _ = append.send(told.request(&stream, &schema, rows));
            }
        }
    };
    jobs.close();
    let mut is_suspect = true;
    while let Some(Waiting { stream, answer, .. }) = waiting.pop_front() {
        let _ = answer.send(Err(Broken { error: of_one(&end, &stream), is_suspect }));
        is_suspect = false;
    }
    while let Some(Job { stream, waiting, .. }) = jobs.recv().await {
        let _ =
            waiting.answer.send(Err(Broken { error: of_one(&end, &stream), is_suspect: false }));
    }
}

fn finish(load: &Mutex<Load>, bytes: usize) {
    let mut load = load.lock().unwrap_or_else(PoisonError::into_inner);
    *load =
        Load { requests: load.requests.saturating_sub(1), bytes: load.bytes.saturating_sub(bytes) };
}

/// What the end of a connection says to one of those on it: why it ended may be the fault of any of them.
fn of_one(end: &CallError, stream: &str) -> CallError {
    let kind = if end.is_transient() { end.kind } else { Kind::Unknown };
    let text = format!("the connection that it shared with others ended: {}", end.text);
    CallError::new(Call::Append, stream, kind, text)
}

impl fmt::Debug for SharedAppend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream, answers, is_suspect, .. } = self;
        let mut shown = f.debug_struct("SharedAppend");
        shown.field("stream", stream).field("unanswered", &answers.len());
        shown.field("is_suspect", is_suspect).finish_non_exhaustive()
    }
}
