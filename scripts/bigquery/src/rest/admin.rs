//! IO. The double's own pages: faults to come, what is stored, what happened.

use std::fmt::Write as _;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::calls::{answer, parse};
use crate::fault::Fault;
use crate::refusal::RestRefusal;
use crate::shared_world::Shared;

#[derive(Clone, Debug, Deserialize)]
struct Asked {
    table: String,
}

#[derive(Clone, Debug, Deserialize)]
struct Since {
    /// The number of a call.
    #[serde(default)]
    after: u64,
}

pub fn router() -> Router<Shared> {
    Router::new()
        .route("/admin/faults", post(add_faults).delete(clear_faults))
        .route("/admin/settings", post(set))
        .route("/admin/reset", post(reset))
        .route(
            "/admin/state",
            get(async |State(shared): State<Shared>| axum::Json(shared.world().state())),
        )
        .route("/admin/rows", get(rows))
        .route("/admin/log", get(log))
}

/// A list, which comes after those that are left.
async fn add_faults(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    let faults: Result<Vec<Fault>, _> = parse(&headers, &body);
    answer(faults.map(|faults| {
        shared.add_faults(faults);
        json!({"faults": shared.world().faults.left().collect::<Vec<_>>()})
    }))
}

async fn clear_faults(State(shared): State<Shared>) -> StatusCode {
    shared.clear_faults();
    StatusCode::NO_CONTENT
}

/// What is left out is as without any settings.
async fn set(State(shared): State<Shared>, headers: HeaderMap, body: Bytes) -> Response {
    answer(parse(&headers, &body).map(|settings| {
        shared.world().settings = settings;
        json!({"settings": shared.world().settings})
    }))
}

async fn reset(State(shared): State<Shared>) -> StatusCode {
    shared.reset();
    StatusCode::NO_CONTENT
}

async fn rows(State(shared): State<Shared>, Query(Asked { table }): Query<Asked>) -> Response {
    match shared.world().rows(&table) {
        Some(rows) => lines(rows.into_iter()),
        None => answer(Err(RestRefusal::not_found(&format!("Table {table}")))),
    }
}

async fn log(State(shared): State<Shared>, Query(Since { after }): Query<Since>) -> Response {
    lines(shared.world().journal.events_after(after).map(|event| json!(event)))
}

/// An object a line.
fn lines(objects: impl Iterator<Item = Json>) -> Response {
    let mut text = String::new();
    for object in objects {
        let _ = writeln!(text, "{object}");
    }
    text.into_response()
}
