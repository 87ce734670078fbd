//! Tokens: kept while they are good, asked for anew when they are not, and never shown.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use bigquery_double::run::{Double, Options};
use common::crypto::install_crypto_provider;
use consumer::sink::bigquery::client::credentials::token_source;
use consumer::sink::bigquery::client::tokens::Tokens;
use consumer::sink::bigquery::client::{Credentials, Kind, Patience};
use serde_json::json;

use super::scene::{PATIENT, SHORT, client};

/// A metadata server that gives another token each time, good for so many seconds.
#[derive(Clone)]
pub(crate) struct Metadata(Arc<Mutex<Given>>);

struct Given {
    tokens: u32,
    good_for_secs: u32,
    is_down: bool,
}

impl Metadata {
    async fn start(good_for_secs: u32) -> (Self, Credentials) {
        let given = Given { tokens: 0, good_for_secs, is_down: false };
        let metadata = Self(Arc::new(Mutex::new(given)));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = Some(listener.local_addr().unwrap().to_string());
        let router = Router::new().fallback(answer).with_state(metadata.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (metadata, Credentials::Metadata { host })
    }

    fn asked(&self) -> u32 {
        self.0.lock().unwrap().tokens
    }
}

async fn answer(State(metadata): State<Metadata>) -> String {
    let mut given = metadata.0.lock().unwrap();
    if given.is_down {
        return "<html>".into();
    }
    given.tokens += 1;
    let token = format!("secret-{}", given.tokens);
    json!({"access_token": token, "expires_in": given.good_for_secs, "token_type": "Bearer"})
        .to_string()
}

/// A token is asked for once however many calls wait for it, and again in the last minute of its life.
#[tokio::test]
async fn a_token_is_kept_until_shortly_before_its_end() {
    install_crypto_provider();
    for (good_for_secs, asked) in [(3_600, 1), (30, 21)] {
        let (metadata, credentials) = Metadata::start(good_for_secs).await;
        let tokens = Tokens::new(token_source(&credentials).await.unwrap());
        let all = futures::future::join_all((0..20).map(|_| tokens.token())).await;
        assert!(all.iter().all(|token| token.as_ref().unwrap().is_some()));
        tokens.token().await.unwrap();
        assert_eq!(metadata.asked(), asked);
    }
}

/// A token that is not accepted is replaced: by the next attempt of the call itself.
#[tokio::test]
async fn a_refused_token_is_replaced() {
    install_crypto_provider();
    let (metadata, credentials) = Metadata::start(3_600).await;
    let double = Double::start(Options::default()).await.unwrap();
    double
        .shared
        .world()
        .warehouse
        .create_dataset("p", &json!({"datasetReference": {"datasetId": "d"}}))
        .unwrap();
    let client = client(&double, PATIENT, credentials).await;
    assert_eq!(metadata.asked(), 0, "nobody is asked before there is something to ask BigQuery");
    client.dataset().await.unwrap();
    client.dataset().await.unwrap();
    assert_eq!(metadata.asked(), 1);
    let unauthenticated = json!([{"action": {"refuse": {"code": "UNAUTHENTICATED"}}}]);
    let refuse =
        || double.shared.add_faults(serde_json::from_value(unauthenticated.clone()).unwrap());
    refuse();
    client.dataset().await.unwrap();
    assert_eq!(metadata.asked(), 2);
    refuse();
    client.finalize("projects/p/datasets/d/tables/t/streams/s").await.unwrap_err();
    assert_eq!(metadata.asked(), 3);
    client.dataset().await.unwrap();
    assert_eq!(metadata.asked(), 3, "the new one is kept");
}

/// Without a token nothing is sent, and a person is told where to look.
#[tokio::test]
async fn without_a_token_nothing_is_sent() {
    install_crypto_provider();
    let (metadata, credentials) = Metadata::start(3_600).await;
    metadata.0.lock().unwrap().is_down = true;
    let double = Double::start(Options::default()).await.unwrap();
    let client = client(&double, Patience { retries: SHORT, ..PATIENT }, credentials).await;
    let told = client.dataset().await.unwrap_err();
    assert_eq!(told.kind, Kind::Unauthenticated);
    assert!(told.to_string().contains("--bigquery-credentials"), "{told}");
    let told = client.create_stream("t").await.unwrap_err();
    assert_eq!(told.kind, Kind::Unauthenticated);
    assert_eq!(double.shared.world().journal.events().count(), 0);
}
