//! IO. AppendRows: a conversation in which every request is answered once, in order, until one ends it.

use std::time::Duration;

use futures::StreamExt as _;
use futures::stream;
use gcp_bigquery_client::google::cloud::bigquery::storage::v1::{
    AppendRowsRequest, AppendRowsResponse,
};
use jiff::Timestamp;
use tokio::sync::watch;
use tonic::{Code, Request, Response, Status, Streaming};

use super::service::Answers;
use super::unary::params;
use crate::connection::Connection;
use crate::fault::{Action, Call};
use crate::inflict;
use crate::journal::Event;
use crate::refusal::{Refusal, code_name};
use crate::shared_world::Shared;
use crate::socket::Wire;
use crate::warehouse::append::{Append, Appended, REQUEST_BYTES_MAX};
use crate::world::World;

const IDLE_LIMIT: Duration = Duration::from_secs(600);

struct Conversation {
    shared: Shared,
    wire: Wire,
    number: u64,
    connection: Connection,
    requests: Streaming<AppendRowsRequest>,
    last_request: Timestamp,
    faults_changed: watch::Receiver<()>,
    params: Option<String>,
}

pub async fn append_rows(
    shared: Shared,
    wire: Wire,
    request: Request<Streaming<AppendRowsRequest>>,
) -> Result<Response<Answers>, Status> {
    let now = shared.now();
    let number = shared.world().connect().map_err(|refusal| refusal.end())?;
    let headers_late = shared.world().settings.headers_with_first_answer;
    let faults_changed = shared.faults_changed();
    let params = params(&request);
    let requests = request.into_inner();
    let connection = Connection::new(now);
    let last_request = now;
    let conversation = Conversation {
        shared,
        wire,
        number,
        connection,
        requests,
        last_request,
        faults_changed,
        params,
    };
    let mut answers = stream::unfold(Some(conversation), |conversation| async {
        let mut conversation = conversation?;
        let answer = conversation.next().await?;
        let goes_on = answer.is_ok();
        Some((answer, goes_on.then_some(conversation)))
    })
    .boxed();
    if !headers_late {
        return Ok(Response::new(answers));
    }
    let first = answers.next().await.transpose()?;
    Ok(Response::new(stream::iter(first.map(Ok)).chain(answers).boxed()))
}

impl Conversation {
    /// `None` when the client has no more requests; an error ends the connection.
    async fn next(&mut self) -> Option<Result<AppendRowsResponse, Status>> {
        match self.request().await {
            Ok(request) => Some(self.serve(request?).await),
            Err(refusal) => {
                self.record(&mut self.shared.world(), None, (refusal.code, None));
                Some(Err(refusal.end()))
            }
        }
    }

    async fn request(&mut self) -> Result<Option<AppendRowsRequest>, Refusal> {
        loop {
            let limit = self.shared.world().faults.idle_limit(&self.call(0)).unwrap_or(IDLE_LIMIT);
            let now = self.shared.now();
            let idle = Duration::try_from(now.duration_since(self.last_request));
            let left = limit.saturating_sub(idle.unwrap_or_default());
            tokio::select! {
                request = self.requests.message() => {
                    self.last_request = self.shared.now();
                    // A client that breaks off wants no answer.
                    return Ok(request.ok().flatten());
                }
                () = tokio::time::sleep(left) => {
                    let seconds = limit.as_secs_f64();
                    let message = format!("Closing the stream because it was inactive for {seconds} seconds");
                    return Err(Refusal::new(Code::Aborted, message));
                }
                _ = self.faults_changed.changed() => {}
            }
        }
    }

    async fn serve(&mut self, request: AppendRowsRequest) -> Result<AppendRowsResponse, Status> {
        let append = self.connection.complete(request);
        let action = match &append {
            Ok(append) => self.shared.take_fault(&self.call(append.rows.len())),
            Err(_) => None,
        };
        inflict::before(action.as_ref(), &self.wire).await;
        let outcome = self.apply(append, action.as_ref());
        let lost = inflict::after(action.as_ref(), &self.wire).await;
        lost.map_err(|inflict::Lost| Status::unavailable("the answer was lost on request"))?;
        match outcome {
            Err(refusal) if refusal.ends_connection => Err(refusal.end()),
            outcome => Ok(self.connection.answer(outcome)),
        }
    }

    /// Applied and noted at once, so that the log has the order in which calls took effect.
    fn apply(
        &mut self,
        append: Result<Append, Refusal>,
        action: Option<&Action>,
    ) -> Result<Appended, Refusal> {
        let shared = self.shared.clone();
        let mut world = shared.world();
        let noted = append.as_ref().ok().cloned();
        let outcome = append.and_then(|append| self.apply_to(&mut world, append, action));
        let code = outcome.as_ref().map_or_else(|refusal| refusal.code, |_| Code::Ok);
        self.record(&mut world, noted.as_ref(), (code, action));
        outcome
    }

    fn apply_to(
        &mut self,
        world: &mut World,
        mut append: Append,
        action: Option<&Action>,
    ) -> Result<Appended, Refusal> {
        let now = self.shared.now();
        let moment = world.moment(now);
        let name = append.stream.clone();
        match action {
            Some(Action::ForgetStream) => world.warehouse.forget_stream(&name),
            Some(Action::LateEnd { .. }) => append.sees_late = true,
            Some(action) => {
                if let Some(refusal) = action.refusal(&name.to_string()) {
                    return Err(refusal);
                }
            }
            None => {}
        }
        if let Ok(table) = world.warehouse.table(&name.table) {
            self.connection.begin_with(table.known_columns(now, moment.schema_lag).0);
        }
        world.note_stream(self.number, &name);
        world.warehouse.set_trace_id(&name, self.connection.trace_id());
        let is_too_large = append.request_bytes > REQUEST_BYTES_MAX;
        let ends = is_too_large && world.settings.too_large_ends_connection;
        let outcome = world.warehouse.append(append, moment);
        outcome.map_err(|refusal| if ends { refusal.ending_the_connection() } else { refusal })
    }

    fn call(&self, rows: usize) -> Call {
        let stream = self.connection.stream().cloned();
        Call {
            rpc: "AppendRows",
            table: stream.as_ref().map(|stream| stream.table.clone()),
            stream,
            rows: rows as u64,
            opened: self.connection.opened,
        }
    }

    fn record(
        &self,
        world: &mut World,
        append: Option<&Append>,
        (code, action): (Code, Option<&Action>),
    ) {
        let stream = self.connection.stream();
        world.journal.record(Event {
            time: self.shared.now(),
            rpc: "AppendRows",
            connection: Some(self.number),
            table: stream.map(|stream| stream.table.to_string()),
            stream: stream.map(ToString::to_string),
            offset: append.and_then(|append| append.offset),
            rows: append.map(|append| append.rows.len()),
            bytes: append.map(|append| append.request_bytes),
            params: self.params.clone(),
            code: code_name(code).into(),
            fault: action.map(Action::name),
            ..Event::default()
        });
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        self.shared.world().disconnect(self.number);
    }
}
