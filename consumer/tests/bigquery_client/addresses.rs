//! Addresses: encrypted or not, wrong or dead.

use std::net::TcpListener;

use common::crypto::install_crypto_provider;
use consumer::sink::bigquery::client::{BigQueryOptions, Client, Credentials, Kind, Patience};
use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;

use super::scene::{PATIENT, SHORT};

fn options(url: &str) -> BigQueryOptions {
    BigQueryOptions {
        rest_url: Some(format!("{url}/bigquery/v2").parse().unwrap()),
        grpc_url: Some(url.parse().unwrap()),
        patience: Patience { retries: SHORT, ..PATIENT },
        ..BigQueryOptions::new("p", "d", Credentials::None)
    }
}

async fn connect(options: BigQueryOptions) -> Result<Client, String> {
    install_crypto_provider();
    let connected = Client::connect(options, ChaCha8Rng::seed_from_u64(7)).await;
    connected.map_err(|error| error.to_string())
}

/// Encrypted clients are built with the process's cryptography, and what does not answer, or not in TLS,
/// is trouble that may pass.
#[tokio::test]
async fn an_encrypted_client_can_be_built_and_used() {
    connect(BigQueryOptions::new("p", "d", Credentials::None)).await.unwrap();
    let dead = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let plain = axum::serve(
        tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap(),
        axum::Router::new(),
    );
    let address = plain.local_addr().unwrap();
    let server = tokio::spawn(plain.into_future());
    for address in [dead, address] {
        let client = connect(options(&format!("https://{address}"))).await.unwrap();
        for error in [
            client.dataset().await.unwrap_err(),
            client.patch_table("t", "e", &serde_json::json!({})).await.map(drop).unwrap_err(),
            client.create_stream("t").await.map(drop).unwrap_err(),
        ] {
            assert_eq!(error.kind, Kind::Unknown, "{error}");
        }
    }
    server.abort();
}

/// What can be no name is refused before anything is asked.
#[tokio::test]
async fn wrong_options_are_refused_at_the_start() {
    let refused = connect(BigQueryOptions::new("p", "a.b", Credentials::None)).await.unwrap_err();
    assert!(refused.contains("--bigquery-dataset"), "{refused}");
    let missing = Credentials::File("/no/such/key.json".into());
    let refused = connect(BigQueryOptions::new("p", "d", missing)).await.unwrap_err();
    assert!(refused.contains("/no/such/key.json"), "{refused}");
}
