//! IO. One call of REST: its body read, applied between what its fault does before and after, and noted.

use std::io::Read as _;

use axum::body::Bytes;
use axum::extract::connect_info::ConnectInfo;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Response};
use flate2::read::GzDecoder;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use tonic::Code;

use crate::fault::{Action, Call, HttpBody};
use crate::inflict;
use crate::journal::Event;
use crate::names::TableName;
use crate::refusal::RestRefusal;
use crate::shared_world::Shared;
use crate::socket::Wire;
use crate::warehouse::insert::REQUEST_BYTES_MAX;
use crate::world::World;

/// What every call needs.
#[derive(Clone, Debug)]
pub struct Rest {
    shared: Shared,
    wire: Wire,
}

/// What a call is about, for its fault and the log.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    pub rpc: &'static str,
    pub table: Option<TableName>,
    pub rows: Option<usize>,
    pub bytes: Option<usize>,
    pub query: Option<String>,
    pub use_query_cache: Option<bool>,
}

impl FromRequestParts<Shared> for Rest {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, shared: &Shared) -> Result<Self, Response> {
        let State(shared) = State::<Shared>::from_request_parts(parts, shared)
            .await
            .map_err(|never| match never {})?;
        let wire = ConnectInfo::<Wire>::from_request_parts(parts, &shared).await;
        let ConnectInfo(wire) = wire.map_err(|missing| missing.into_response())?;
        Ok(Self { shared, wire })
    }
}

impl Rest {
    pub async fn apply(
        &self,
        subject: Subject,
        apply: impl FnOnce(&mut World, Timestamp) -> Result<Json, RestRefusal>,
    ) -> Response {
        let call = Call {
            rpc: subject.rpc,
            table: subject.table.clone(),
            stream: None,
            rows: subject.rows.unwrap_or(0) as u64,
            opened: self.shared.now(),
        };
        let action = self.shared.take_fault(&call);
        inflict::before(action.as_ref(), &self.wire).await;
        let response = self.apply_now(subject, action.as_ref(), apply);
        match inflict::after(action.as_ref(), &self.wire).await {
            Ok(()) => response,
            Err(inflict::Lost) => refused(&RestRefusal::of_code(Code::Unavailable)),
        }
    }

    fn apply_now(
        &self,
        subject: Subject,
        action: Option<&Action>,
        apply: impl FnOnce(&mut World, Timestamp) -> Result<Json, RestRefusal>,
    ) -> Response {
        let now = self.shared.now();
        let mut world = self.shared.world();
        let response = match action.and_then(forced) {
            Some(response) => response,
            None => answer(apply(&mut world, now)),
        };
        let Subject { rpc, table, rows, bytes, query, use_query_cache } = subject;
        world.journal.record(Event {
            time: now,
            rpc,
            table: table.as_ref().map(ToString::to_string),
            rows,
            bytes,
            query,
            use_query_cache,
            code: response.status().as_u16().to_string(),
            fault: action.map(Action::name),
            ..Event::default()
        });
        response
    }
}

/// The response of a fault that takes the place of the call.
fn forced(action: &Action) -> Option<Response> {
    match action {
        Action::Http { status, body, reason } => {
            let code = StatusCode::from_u16(*status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
            Some(match body {
                HttpBody::Json => refused(&RestRefusal::new(*status, reason, "refused on request")),
                HttpBody::Html => {
                    let page = format!("<html><title>Error {status}</title><h1>{code}</h1></html>");
                    (code, Html(page)).into_response()
                }
                HttpBody::Empty => code.into_response(),
            })
        }
        Action::Refuse { code, .. } | Action::RefuseInBand { code, .. } => {
            Some(refused(&RestRefusal::of_code(code.0)))
        }
        Action::Throttle { .. } => Some(refused(&RestRefusal::of_code(Code::ResourceExhausted))),
        _ => None,
    }
}

pub fn answer(outcome: Result<Json, RestRefusal>) -> Response {
    match outcome {
        Ok(Json::Null) => StatusCode::NO_CONTENT.into_response(),
        Ok(json) => axum::Json(json).into_response(),
        Err(refusal) => refused(&refusal),
    }
}

fn refused(refusal: &RestRefusal) -> Response {
    let status = StatusCode::from_u16(refusal.status);
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, axum::Json(refusal.body())).into_response()
}

/// A body in JSON, perhaps gzipped.
pub fn parse<T: DeserializeOwned>(headers: &HeaderMap, body: &Bytes) -> Result<T, RestRefusal> {
    let wrong = |message: String| RestRefusal::new(400, "parseError", message);
    let encoding = headers.get(header::CONTENT_ENCODING).map(|value| value.as_bytes());
    let mut unzipped = Vec::new();
    let plain = if encoding == Some(b"gzip") {
        let read = GzDecoder::new(&body[..]).read_to_end(&mut unzipped);
        read.map_err(|error| wrong(error.to_string()))?;
        &unzipped[..]
    } else {
        body
    };
    if plain.len() > REQUEST_BYTES_MAX {
        let message = format!("Request payload size exceeds the limit: {REQUEST_BYTES_MAX} bytes.");
        return Err(RestRefusal::new(413, "uploadTooLarge", message));
    }
    serde_json::from_slice(plain).map_err(|error| wrong(error.to_string()))
}
