//! IO. Datasets and tables: which function serves which path.

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path};
use axum::http::{HeaderMap, header};
use axum::response::Response;
use axum::routing::{get, post};
use serde_json::{Value as Json, json};

use super::calls::{Rest, Subject, answer, parse};
use super::{admin, rows};
use crate::names::{DatasetName, TableName};
use crate::refusal::RestRefusal;
use crate::shared_world::Shared;
use crate::world::World;

pub fn router(shared: Shared) -> Router {
    let tables = "/projects/{project}/datasets/{dataset}/tables";
    let table = &format!("{tables}/{{table}}");
    let service = Router::new()
        .route("/projects/{project}/datasets", get(list_datasets).post(create_dataset))
        .route("/projects/{project}/datasets/{dataset}", get(get_dataset))
        .route(tables, get(list_tables).post(create_table))
        .route(table, get(get_table).patch(patch_table).delete(delete_table))
        .route(&format!("{table}/insertAll"), post(rows::insert_all))
        .route(&format!("{table}/data"), get(rows::list))
        .route("/projects/{project}/queries", post(rows::query))
        .route("/projects/{project}/queries/{job}", get(rows::query_results));
    Router::new()
        .nest("/bigquery/v2", service)
        .merge(admin::router())
        .fallback(async || answer(Err(RestRefusal::not_found("URL"))))
        .layer(DefaultBodyLimit::disable())
        .with_state(shared)
}

pub fn about(rpc: &'static str, table: Option<&TableName>) -> Subject {
    Subject { rpc, table: table.cloned(), ..Subject::default() }
}

async fn create_dataset(
    rest: Rest,
    Path(project): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let create =
        |world: &mut World, _| world.warehouse.create_dataset(&project, &parse(&headers, &body)?);
    rest.apply(about("datasets.insert", None), create).await
}

async fn list_datasets(rest: Rest, Path(project): Path<String>) -> Response {
    let list = about("datasets.list", None);
    rest.apply(list, |world, _| Ok(world.warehouse.datasets(&project))).await
}

async fn get_dataset(rest: Rest, Path((project, dataset)): Path<(String, String)>) -> Response {
    let name = DatasetName { project, dataset };
    rest.apply(about("datasets.get", None), |world, _| world.warehouse.dataset(&name)).await
}

async fn list_tables(rest: Rest, Path((project, dataset)): Path<(String, String)>) -> Response {
    let name = DatasetName { project, dataset };
    let list = |world: &mut World, _| {
        world.warehouse.dataset(&name)?;
        let own = world.warehouse.tables().filter(|(table, _)| table.dataset == name);
        let tables: Vec<_> = own.map(|(_, table)| table.resource()).collect();
        Ok(json!({"kind": "bigquery#tableList", "totalItems": tables.len(), "tables": tables}))
    };
    rest.apply(about("tables.list", None), list).await
}

async fn create_table(
    rest: Rest,
    Path((project, dataset)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let name = DatasetName { project, dataset };
    let body = parse::<Json>(&headers, &body);
    let table = body.as_ref().ok().and_then(|body| body.pointer("/tableReference/tableId"));
    let table = table.and_then(Json::as_str);
    let table = table.map(|table| TableName::new(&name.project, &name.dataset, table));
    let insert = about("tables.insert", table.as_ref());
    rest.apply(insert, |world, now| world.warehouse.create_table(&name, &body?, now)).await
}

async fn get_table(rest: Rest, Path(path): Path<(String, String, String)>) -> Response {
    let name = table_name(&path);
    let get = about("tables.get", Some(&name));
    rest.apply(get, |world, _| Ok(world.warehouse.table(&name)?.resource())).await
}

async fn patch_table(
    rest: Rest,
    Path(path): Path<(String, String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let name = table_name(&path);
    let etag = headers.get(header::IF_MATCH).and_then(|etag| etag.to_str().ok());
    let patch = |world: &mut World, now| {
        let table = world.warehouse.table_mut(&name)?;
        table.patch(&parse(&headers, &body)?, etag, now)?;
        Ok(table.resource())
    };
    rest.apply(about("tables.patch", Some(&name)), patch).await
}

async fn delete_table(rest: Rest, Path(path): Path<(String, String, String)>) -> Response {
    let name = table_name(&path);
    let delete = about("tables.delete", Some(&name));
    rest.apply(delete, |world, _| world.warehouse.delete_table(&name).map(|()| Json::Null)).await
}

pub fn table_name((project, dataset, table): &(String, String, String)) -> TableName {
    TableName::new(project, dataset, table)
}
