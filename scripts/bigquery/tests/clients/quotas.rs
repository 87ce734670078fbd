//! Limits that are set: too many streams, too many connections.

use bigquery_double::world::Settings;
use gcp_bigquery_client::google::cloud::bigquery::storage::v1::write_stream::Type;
use tonic::Code;

use super::scene::{Outcome, Scene};

#[tokio::test]
async fn an_hour_has_so_many_streams_and_a_project_so_many_connections() {
    let settings = Settings {
        create_streams_per_hour_max: Some(1),
        connections_max: Some(1),
        ..Settings::default()
    };
    let mut scene = Scene::with(settings).await;
    let stream = scene.committed().await;
    let refused = scene.create(Type::Committed).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let mut first = scene.append_to(&stream).await;
    assert_eq!(first.append(&[0], Some(0)).await, Outcome::Stored(Some(0)));
    let mut second = scene.append_to(&stream).await;
    assert_eq!(second.append(&[1], Some(1)).await, Outcome::Ended(Code::ResourceExhausted));
    drop(first);
    let closed = |scene: &Scene| scene.double.shared.world().state()["connections"] == 0;
    scene.until("the first connection to close", closed).await;
    let mut third = scene.append_to(&stream).await;
    assert_eq!(third.append(&[1], Some(1)).await, Outcome::Stored(Some(1)));
}
