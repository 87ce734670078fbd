//! IO. The calls with one request and one answer, each applied between what its fault does before and after.

use gcp_bigquery_client::google::cloud::bigquery::storage::v1 as storage;
use storage::{
    BatchCommitWriteStreamsRequest, BatchCommitWriteStreamsResponse, CreateWriteStreamRequest,
    FinalizeWriteStreamRequest, FinalizeWriteStreamResponse, FlushRowsRequest, FlushRowsResponse,
    GetWriteStreamRequest, WriteStream, WriteStreamView,
};
use tonic::{Code, Request, Response, Status};

use crate::fault::{Action, Call};
use crate::inflict;
use crate::journal::Event;
use crate::names::{StreamName, TableName};
use crate::refusal::{Refusal, code_name};
use crate::shared_world::Shared;
use crate::socket::Wire;
use crate::warehouse::streams::{Moment, no_such_stream, timestamp};
use crate::world::World;

#[derive(Clone, Debug)]
pub struct Unary {
    pub shared: Shared,
    pub wire: Wire,
}

/// What a call is about, for its fault and the log.
struct Subject {
    rpc: &'static str,
    table: Option<TableName>,
    stream: Option<StreamName>,
    params: Option<String>,
}

impl Unary {
    pub async fn create(
        self,
        request: Request<CreateWriteStreamRequest>,
    ) -> Result<Response<WriteStream>, Status> {
        let params = params(&request);
        let CreateWriteStreamRequest { parent, write_stream } = request.into_inner();
        let kind = write_stream.unwrap_or_default().r#type();
        let table = TableName::parse(&parent);
        let subject = Subject { rpc: "CreateWriteStream", table, stream: None, params };
        let create = |world: &mut World, moment: Moment| {
            let most = world.settings.create_streams_per_hour_max;
            world.warehouse.create_stream(&parent, kind, most, moment)
        };
        self.apply(subject, create).await
    }

    pub async fn get(
        self,
        request: Request<GetWriteStreamRequest>,
    ) -> Result<Response<WriteStream>, Status> {
        let subject = about("GetWriteStream", &request.get_ref().name, params(&request));
        let request = request.into_inner();
        let is_full = request.view() == WriteStreamView::Full;
        let get = |world: &mut World, moment: Moment| {
            let name = stream_name(&request.name)?;
            world.warehouse.shown(&name, is_full, moment)
        };
        self.apply(subject, get).await
    }

    pub async fn finalize(
        self,
        request: Request<FinalizeWriteStreamRequest>,
    ) -> Result<Response<FinalizeWriteStreamResponse>, Status> {
        let subject = about("FinalizeWriteStream", &request.get_ref().name, params(&request));
        let request = request.into_inner();
        let finalize = |world: &mut World, _: Moment| {
            let row_count = world.warehouse.finalize(&stream_name(&request.name)?)?;
            Ok(FinalizeWriteStreamResponse { row_count })
        };
        self.apply(subject, finalize).await
    }

    pub async fn flush(
        self,
        request: Request<FlushRowsRequest>,
    ) -> Result<Response<FlushRowsResponse>, Status> {
        let subject = about("FlushRows", &request.get_ref().write_stream, params(&request));
        let request = request.into_inner();
        let flush = |world: &mut World, _: Moment| {
            let name = stream_name(&request.write_stream)?;
            Ok(FlushRowsResponse { offset: world.warehouse.flush(&name, request.offset)? })
        };
        self.apply(subject, flush).await
    }

    pub async fn commit(
        self,
        request: Request<BatchCommitWriteStreamsRequest>,
    ) -> Result<Response<BatchCommitWriteStreamsResponse>, Status> {
        let params = params(&request);
        let BatchCommitWriteStreamsRequest { parent, write_streams } = request.into_inner();
        let table = TableName::parse(&parent);
        let subject = Subject { rpc: "BatchCommitWriteStreams", table, stream: None, params };
        let commit = |world: &mut World, moment: Moment| {
            Ok(match world.warehouse.commit(&parent, &write_streams) {
                Ok(()) => BatchCommitWriteStreamsResponse {
                    commit_time: Some(timestamp(moment.now)),
                    stream_errors: Vec::new(),
                },
                Err(stream_errors) => {
                    BatchCommitWriteStreamsResponse { commit_time: None, stream_errors }
                }
            })
        };
        self.apply(subject, commit).await
    }

    async fn apply<T>(
        &self,
        subject: Subject,
        apply: impl FnOnce(&mut World, Moment) -> Result<T, Refusal>,
    ) -> Result<Response<T>, Status> {
        let Subject { rpc, table, stream, params } = subject;
        let opened = self.shared.now();
        let call = Call { rpc, table, stream, rows: 0, opened };
        let action = self.shared.take_fault(&call);
        inflict::before(action.as_ref(), &self.wire).await;
        let outcome = self.apply_now(&call, action.as_ref(), params, apply);
        let lost = inflict::after(action.as_ref(), &self.wire).await;
        lost.map_err(|inflict::Lost| Status::unavailable("the answer was lost on request"))?;
        outcome.map(Response::new).map_err(|refusal| refusal.end())
    }

    fn apply_now<T>(
        &self,
        call: &Call,
        action: Option<&Action>,
        params: Option<String>,
        apply: impl FnOnce(&mut World, Moment) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let now = self.shared.now();
        let mut world = self.shared.world();
        let moment = world.moment(now);
        let stream = call.stream.as_ref();
        if let (Some(Action::ForgetStream), Some(stream)) = (action, stream) {
            world.warehouse.forget_stream(stream);
        }
        let stream = stream.map(ToString::to_string);
        let refusal = action.and_then(|action| action.refusal(stream.as_deref().unwrap_or("")));
        let outcome = match refusal {
            Some(refusal) => Err(refusal),
            None => apply(&mut world, moment),
        };
        let code = outcome.as_ref().map_or_else(|refusal| refusal.code, |_| Code::Ok);
        world.journal.record(Event {
            time: now,
            rpc: call.rpc,
            table: call.table.as_ref().map(ToString::to_string),
            stream,
            params,
            code: code_name(code).into(),
            fault: action.map(Action::name),
            ..Event::default()
        });
        outcome
    }
}

fn about(rpc: &'static str, stream: &str, params: Option<String>) -> Subject {
    let stream = StreamName::parse(stream);
    let table = stream.as_ref().map(|stream| stream.table.clone());
    Subject { rpc, table, stream, params }
}

fn stream_name(text: &str) -> Result<StreamName, Refusal> {
    StreamName::parse(text).ok_or_else(|| no_such_stream(text))
}

/// The header by which the service routes a call.
pub fn params<T>(request: &Request<T>) -> Option<String> {
    let value = request.metadata().get("x-goog-request-params")?;
    value.to_str().ok().map(str::to_owned)
}
