//! IO. Rows over REST: insertAll, the listing of a table, queries.

use axum::body::Bytes;
use axum::extract::{Path, Query};
use axum::http::HeaderMap;
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::calls::{Rest, Subject, answer, parse};
use super::routes::{about, table_name};
use crate::query::ask::{FormatOptions, QueryRequest};
use crate::refusal::RestRefusal;
use crate::table::Table;
use crate::warehouse::insert::InsertAll;

const PAGE_ROWS: usize = 10_000;

/// Which part of a table is listed.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listing {
    start_index: Option<usize>,
    page_token: Option<usize>,
    max_results: Option<usize>,
    #[serde(rename = "formatOptions.useInt64Timestamp")]
    use_int64_timestamp: Option<String>,
}

pub async fn insert_all(
    rest: Rest,
    Path(path): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let name = table_name(&path);
    let request: Result<InsertAll, _> = parse(&headers, &body);
    let rows = request.as_ref().ok().map(|request| request.rows.len());
    let subject = Subject { rows, bytes: Some(body.len()), ..about("insertAll", Some(&name)) };
    rest.apply(subject, |world, now| {
        let moment = world.moment(now);
        world.warehouse.insert_all(&name, request?, moment)
    })
    .await
}

pub async fn list(
    rest: Rest,
    Path(path): Path<(String, String, String)>,
    listing: Result<Query<Listing>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let name = table_name(&path);
    let Query(listing) = match listing {
        Ok(listing) => listing,
        Err(wrong) => return answer(Err(RestRefusal::invalid(wrong.body_text()))),
    };
    let list = about("tabledata.list", Some(&name));
    rest.apply(list, |world, _| Ok(page(world.warehouse.table(&name)?, &listing))).await
}

fn page(table: &Table, listing: &Listing) -> Json {
    let is_true = listing
        .use_int64_timestamp
        .as_deref()
        .is_some_and(|text| text.eq_ignore_ascii_case("true"));
    let stamps = FormatOptions { use_int64_timestamp: is_true }.stamps();
    let start = listing.page_token.or(listing.start_index).unwrap_or(0);
    let (rows, total) = table.rows_from(start, listing.max_results.unwrap_or(PAGE_ROWS));
    let cells: Vec<_> = rows.iter().map(|row| row.cells(table.columns(), stamps)).collect();
    let mut page = json!({"kind": "bigquery#tableDataList", "etag": table.etag(),
        "totalRows": total.to_string(), "rows": cells});
    let end = start + rows.len();
    if end < total {
        page["pageToken"] = end.to_string().into();
    }
    page
}

pub async fn query(
    rest: Rest,
    Path(project): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let request: Result<QueryRequest, _> = parse(&headers, &body);
    let mut subject = about("jobs.query", None);
    if let Ok(request) = &request {
        subject.query = Some(request.query.clone());
        subject.use_query_cache = request.use_query_cache;
    }
    rest.apply(subject, |world, _| world.query(&project, request?)).await
}

pub async fn query_results(rest: Rest, Path((project, job)): Path<(String, String)>) -> Response {
    let look = about("jobs.getQueryResults", None);
    rest.apply(look, |world, _| world.query_results(&project, &job)).await
}
