//! IO. Which method a request is for; the messages are those of the public client crate.

use axum::Router;
use axum::body::Body;
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{Request, State};
use axum::response::Response;
use futures::stream::BoxStream;
use gcp_bigquery_client::google::cloud::bigquery::storage::v1 as storage;
use prost::Message;
use storage::{AppendRowsRequest, AppendRowsResponse};
use tonic::codec::CompressionEncoding;
use tonic::server::{Grpc, StreamingService, UnaryService};
use tonic::{Status, Streaming};
use tonic_prost::ProstCodec;

use super::appends::append_rows;
use super::unary::Unary;
use crate::shared_world::Shared;
use crate::socket::Wire;

const SERVICE: &str = "/google.cloud.bigquery.storage.v1.BigQueryWrite/";

/// More than a legal request, so that one that is too large is refused by the service's own rule.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// What a stream of answers is made of.
pub type Answers = BoxStream<'static, Result<AppendRowsResponse, Status>>;

pub fn router(shared: Shared) -> Router {
    Router::new().fallback(dispatch).with_state(shared)
}

async fn dispatch(
    State(shared): State<Shared>,
    ConnectInfo(wire): ConnectInfo<Wire>,
    request: Request,
) -> Response {
    let path = request.uri().path().to_owned();
    let unary = Unary { shared: shared.clone(), wire: wire.clone() };
    match path.strip_prefix(SERVICE) {
        Some("CreateWriteStream") => call(move |request| unary.create(request), request).await,
        Some("GetWriteStream") => call(move |request| unary.get(request), request).await,
        Some("FinalizeWriteStream") => call(move |request| unary.finalize(request), request).await,
        Some("BatchCommitWriteStreams") => {
            call(move |request| unary.commit(request), request).await
        }
        Some("FlushRows") => call(move |request| unary.flush(request), request).await,
        Some("AppendRows") => {
            let method = Method(Some(move |request| append_rows(shared, wire, request)));
            grpc().streaming(method, request).await.map(Body::new)
        }
        _ => Status::unimplemented(path).into_http(),
    }
}

async fn call<M, A, F, Fut>(method: F, request: Request) -> Response
where
    M: Message + Default + 'static,
    A: Message + Default + 'static,
    F: FnOnce(tonic::Request<M>) -> Fut,
    Fut: Future<Output = Result<tonic::Response<A>, Status>>,
{
    grpc().unary(Method(Some(method)), request).await.map(Body::new)
}

fn grpc<A, M>() -> Grpc<ProstCodec<A, M>>
where
    A: Message + Default + 'static,
    M: Message + Default + 'static,
{
    Grpc::new(ProstCodec::default())
        .accept_compressed(CompressionEncoding::Gzip)
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
}

/// A function in the form that tonic's server wants; it is called once.
struct Method<F>(Option<F>);

impl<F, M, A, Fut> UnaryService<M> for Method<F>
where
    F: FnOnce(tonic::Request<M>) -> Fut,
    Fut: Future<Output = Result<tonic::Response<A>, Status>>,
{
    type Response = A;
    type Future = Fut;

    fn call(&mut self, request: tonic::Request<M>) -> Fut {
        (self.0.take().expect("one request, one call"))(request)
    }
}

impl<F, Fut> StreamingService<AppendRowsRequest> for Method<F>
where
    F: FnOnce(tonic::Request<Streaming<AppendRowsRequest>>) -> Fut,
    Fut: Future<Output = Result<tonic::Response<Answers>, Status>>,
{
    type Response = AppendRowsResponse;
    type ResponseStream = Answers;
    type Future = Fut;

    fn call(&mut self, request: tonic::Request<Streaming<AppendRowsRequest>>) -> Fut {
        (self.0.take().expect("one request, one call"))(request)
    }
}
