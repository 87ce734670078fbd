//! IO. One connection that appends to one stream: requests go out in order, and answers come in theirs.
//!
//! ```text
//!  idle ──first send──> opening ──headers──> open ──> ended, for good
//!                          └──no answer in time, refused──┘
//! ```

use std::fmt;
use std::future::pending;
use std::pin::Pin;

use futures::channel::mpsc::{UnboundedReceiver, UnboundedSender, unbounded};
use gcp_bigquery_client::google::cloud::bigquery::storage::v1 as storage;
use storage::{AppendRowsRequest, AppendRowsResponse};
use tokio::task::JoinHandle;
use tokio::time::{Sleep, sleep};
use tonic::{Code, Streaming};

use super::call_error::{Call, CallError};
use super::channels::Lease;
use super::connect::{Client, write_client};
use super::verdict::Answer;

/// Who writes, as the service's staff sees it.
const TRACE_ID: &str = concat!("stowage:", env!("CARGO_PKG_VERSION"));

/// Requests wait in memory for the connection to take them, so that the caller bounds how many have no
/// answer. Dropping it ends the connection.
pub struct Append {
    client: Client,
    stream: String,
    state: State,
    /// Requests that have no answer.
    unanswered: usize,
    /// Ends when the next answer is overdue: counted from the last one, as large requests take their time,
    /// or from the sending of the request where none was before it.
    overdue: Pin<Box<Sleep>>,
}

enum State {
    Idle,
    /// The service may keep its headers back until it has answered the first request, so that the call
    /// is opened beside the caller.
    Opening {
        requests: UnboundedSender<AppendRowsRequest>,
        answers: Opening,
        lease: Lease,
    },
    Open {
        requests: UnboundedSender<AppendRowsRequest>,
        answers: Box<Streaming<AppendRowsResponse>>,
        /// The place on the connection below.
        _lease: Lease,
    },
    Ended(CallError),
}

type Answers = Result<Streaming<AppendRowsResponse>, End>;

/// Why a connection ended.
enum End {
    Status(tonic::Status),
    Other(CallError),
}

/// Ends with whoever waits for it.
struct Opening(JoinHandle<Answers>);

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.abort();
    }
}

enum Event {
    Opened(Answers),
    Answered(AppendRowsResponse),
    Over(End),
}

impl Append {
    pub(super) fn new(client: Client, stream: &str) -> Self {
        let overdue = Box::pin(sleep(client.options().patience.append));
        Self { client, stream: stream.into(), state: State::Idle, unanswered: 0, overdue }
    }

    pub fn stream(&self) -> &str {
        &self.stream
    }

    /// Requests that have no answer.
    pub fn unanswered(&self) -> usize {
        self.unanswered
    }

    /// Hands a request over; it is sent as soon as the connection takes it. Each names the stream, its own or else this one: the service asks
    /// that of the first one only, emulators ask it of all. The first one has to hold the schema of its rows.
    ///
    /// # Errors
    /// If the connection has ended. This request was not sent then.
    pub fn send(&mut self, mut request: AppendRowsRequest) -> Result<(), CallError> {
        if request.write_stream.is_empty() {
            request.write_stream.clone_from(&self.stream);
        }
        let is_sent = match &self.state {
            State::Ended(error) => return Err(error.clone()),
            State::Opening { requests, .. } | State::Open { requests, .. } => {
                requests.unbounded_send(request).is_ok()
            }
            State::Idle => {
                request.trace_id = TRACE_ID.into();
                let (requests, receiver) = unbounded();
                let is_sent = requests.unbounded_send(request).is_ok();
                let lease = self.client.pool().lease();
                let opening = open(self.client.clone(), self.stream.clone(), &lease, receiver);
                let answers = Opening(tokio::spawn(opening));
                self.state = State::Opening { requests, answers, lease };
                is_sent
            }
        };
        if !is_sent {
            // Why it ended is for the next `receive` to say, which may still hold answers.
            let text = "the connection has ended";
            return Err(CallError::unknown(Call::Append, &self.stream, text));
        }
        if self.unanswered == 0 {
            self.wait_anew();
        }
        self.unanswered += 1;
        Ok(())
    }

    /// The answer to the oldest request that had none. While there is no such request, it waits for
    /// the end of the connection; before the first one, for ever. May be given up at any time without
    /// an answer being lost.
    ///
    /// # Errors
    /// If the connection has ended or kept silent for too long: of all requests without an answer the
    /// outcome is unknown.
    pub async fn receive(&mut self) -> Result<Answer, CallError> {
        loop {
            match self.event().await {
                Event::Opened(Ok(answers)) => self.opened(answers),
                Event::Answered(response) => {
                    self.unanswered = self.unanswered.saturating_sub(1);
                    self.wait_anew();
                    return Ok(Answer::of_response(&response));
                }
                Event::Opened(Err(end)) | Event::Over(end) => return self.end(end),
            }
        }
    }

    async fn event(&mut self) -> Event {
        let Self { client, stream, state, unanswered, overdue } = self;
        let limit = client.options().patience.append;
        let unknown = |text: String| End::Other(CallError::unknown(Call::Append, stream, text));
        tokio::select! {
            biased;
            event = next(state) => event,
            () = overdue, if *unanswered > 0 => Event::Over(unknown(format!("there was no answer within {limit:?}"))),
        }
    }

    fn wait_anew(&mut self) {
        self.overdue.set(sleep(self.client.options().patience.append));
    }

    fn opened(&mut self, answers: Streaming<AppendRowsResponse>) {
        let text = "it was not being opened";
        let ended = State::Ended(CallError::unknown(Call::Append, &self.stream, text));
        if let State::Opening { requests, lease, .. } = std::mem::replace(&mut self.state, ended) {
            let answers = Box::new(answers);
            self.state = State::Open { requests, answers, _lease: lease };
        }
    }

    /// What the end says of the oldest request without an answer, if it says anything.
    fn end(&mut self, end: End) -> Result<Answer, CallError> {
        let (answer, error) = match end {
            End::Other(error) => (None, error),
            End::Status(status) => {
                if status.code() == Code::Unauthenticated {
                    self.client.tokens().refuse_last();
                }
                let error = CallError::of_status(Call::Append, &self.stream, &status);
                (Answer::of_end(&status), error)
            }
        };
        self.state = State::Ended(error.clone());
        match answer {
            Some(answer) if self.unanswered > 0 => {
                self.unanswered -= 1;
                Ok(answer)
            }
            _ => Err(error),
        }
    }
}

async fn next(state: &mut State) -> Event {
    match state {
        State::Idle => pending().await,
        State::Ended(error) => Event::Over(End::Other(error.clone())),
        State::Opening { answers, .. } => Event::Opened(match (&mut answers.0).await {
            Ok(opened) => opened,
            Err(broken) => Err(End::Status(tonic::Status::unknown(broken.to_string()))),
        }),
        State::Open { answers, .. } => match answers.message().await {
            Ok(Some(response)) => Event::Answered(response),
            Ok(None) => Event::Over(End::Status(tonic::Status::unknown("it ended without a word"))),
            Err(status) => Event::Over(End::Status(status)),
        },
    }
}

fn open(
    client: Client,
    stream: String,
    lease: &Lease,
    requests: UnboundedReceiver<AppendRowsRequest>,
) -> impl Future<Output = Answers> + use<> {
    let channel = lease.channel.clone();
    async move {
        let call = client.request(requests, ("write_stream", &stream)).await;
        let failed = |error| End::Other(CallError::of_client(Call::Append, &stream, &error));
        let call = call.map_err(failed)?;
        let opened = write_client(channel).append_rows(call).await;
        Ok(opened.map_err(End::Status)?.into_inner())
    }
}

impl fmt::Debug for Append {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::Idle => "idle",
            State::Opening { .. } => "opening",
            State::Open { .. } => "open",
            State::Ended(_) => "ended",
        };
        let (stream, unanswered) = (&self.stream, self.unanswered);
        let mut shown = f.debug_struct("Append");
        shown.field("stream", stream).field("state", &state).field("unanswered", &unanswered);
        shown.finish_non_exhaustive()
    }
}
