//! Whatever level of the log is asked for, no token gets into it.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::io;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::HeaderMap;
use bigquery_double::run::{Double, Options};
use common::crypto::install_crypto_provider;
use common::telemetry::without_secrets;
use consumer::sink::bigquery::client::{BigQueryOptions, Client, Credentials};
use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use serde_json::json;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

const TOKEN: &str = "ya29.very-private";

#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

async fn give(headers: HeaderMap) -> String {
    assert_eq!(headers["metadata-flavor"], "Google");
    json!({"access_token": TOKEN, "expires_in": 3_600, "token_type": "Bearer"}).to_string()
}

#[tokio::test]
async fn tokens_stay_out_of_the_log() {
    install_crypto_provider();
    let page = Page::default();
    let writer = page.clone();
    let filter: Targets = "trace,yup_oauth2::authenticator=trace".parse().unwrap();
    let lines = fmt::layer().with_ansi(false).with_writer(move || writer.clone());
    let lines = lines.with_filter(without_secrets(&filter));
    tracing_subscriber::registry().with(lines).init();

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = Some(listener.local_addr().unwrap().to_string());
    let server = axum::serve(listener, Router::new().fallback(give));
    let server = tokio::spawn(server.into_future());
    let double = Double::start(Options::default()).await.unwrap();
    let options = BigQueryOptions {
        rest_url: Some(double.rest_url().parse().unwrap()),
        grpc_url: Some(double.grpc_url().parse().unwrap()),
        ..BigQueryOptions::new("p", "d", Credentials::Metadata { host })
    };
    let client = Client::connect(options, ChaCha8Rng::seed_from_u64(7)).await.unwrap();
    let mut told = format!("{client:?}");
    told += &client.dataset().await.unwrap_err().to_string();
    told += &client.patch_table("t", "e", &json!({})).await.unwrap_err().to_string();
    told += &client.create_stream("t").await.unwrap_err().to_string();
    server.abort();

    let log = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("hyper_util"), "what libraries write is there");
    for text in [log, told] {
        let shown = text.lines().filter(|line| line.contains(TOKEN)).collect::<Vec<_>>();
        assert!(shown.is_empty(), "{shown:#?}");
    }
}
