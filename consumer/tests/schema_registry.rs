//! The schema registry is asked once for each schema; while it does not answer, records wait.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use common::crypto::install_crypto_provider;
use common::moment::Moment;
use common::settings::Settings;
use consumer::decode::schemas::Registered;
use consumer::schema_registry::settings::RegistrySettings;
use consumer::schema_registry::{RegistryError, SchemaRegistry};
use serde_json::json;

/// A registry that answers as it is told, and remembers what it was asked.
#[derive(Clone, Default)]
struct Double(Arc<Mutex<Script>>);

#[derive(Default)]
struct Script {
    answers: BTreeMap<String, (u16, String)>,
    asked: Vec<String>,
    authorization: Option<String>,
}

impl Double {
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}/apis/v7/")
    }

    fn answers(&self, path: &str, status: u16, body: impl ToString) {
        let answers = &mut self.0.lock().unwrap().answers;
        answers.insert(format!("/apis/v7/{path}"), (status, body.to_string()));
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().asked)
    }
}

async fn answer(
    State(double): State<Double>,
    uri: Uri,
    headers: HeaderMap,
) -> (StatusCode, String) {
    let mut script = double.0.lock().unwrap();
    script.asked.push(uri.path().trim_start_matches("/apis/v7/").to_owned());
    let authorization = headers.get("authorization").and_then(|value| value.to_str().ok());
    script.authorization = authorization.map(str::to_owned);
    let unknown = (404, json!({"error_code": 40403, "message": "Schema not found"}).to_string());
    let (status, body) = script.answers.get(uri.path()).cloned().unwrap_or(unknown);
    (StatusCode::from_u16(status).unwrap(), body)
}

fn registry(url: &str, settings: &[(&str, &str)]) -> SchemaRegistry {
    install_crypto_provider();
    let settings: Settings =
        settings.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    let settings = RegistrySettings::new(url.parse().unwrap(), &settings).unwrap();
    SchemaRegistry::new(Some(settings)).unwrap()
}

fn at(seconds: u64) -> Moment {
    Moment::since_boot(Duration::from_secs(seconds))
}

fn ids(ids: &[u32]) -> BTreeSet<u32> {
    ids.iter().copied().collect()
}

fn schema(fields: &str) -> String {
    let schema = format!(r#"{{"type": "record", "name": "m.r", "fields": [{fields}]}}"#);
    json!({"schema": schema}).to_string()
}

#[tokio::test]
async fn a_schema_is_asked_for_once() {
    let double = Double::default();
    let registry = registry(&double.start().await, &[("basic.auth.user.info", "me:secret")]);
    double.answers("schemas/ids/7", 200, schema(r#"{"name": "a", "type": "int"}"#));
    for seconds in [0, 100] {
        registry.learn(&ids(&[7]), at(seconds)).await.unwrap();
    }
    assert!(matches!(registry.cache().get(7), Some(Registered::Avro(_))));
    assert_eq!(double.asked(), ["schemas/ids/7"]);
    let authorization = double.0.lock().unwrap().authorization.clone();
    assert_eq!(authorization.as_deref(), Some("Basic bWU6c2VjcmV0"));
}

#[tokio::test]
async fn references_are_looked_up_with_all_that_they_refer_to() {
    let double = Double::default();
    let registry = registry(&double.start().await, &[]);
    let refers = |schema: &str, references: serde_json::Value| json!({"schema": schema, "references": references});
    let order = r#"{"type": "record", "name": "m.Order", "fields": [{"name": "price", "type": "m.Money"}]}"#;
    let money = r#"{"type": "record", "name": "m.Money", "fields": [{"name": "in", "type": "m.Currency"}]}"#;
    let currency = r#"{"type": "enum", "name": "m.Currency", "symbols": ["EUR"]}"#;
    let reference = |subject: &str| json!([{"name": subject, "subject": subject, "version": 2}]);
    double.answers("schemas/ids/7", 200, refers(order, reference("a/money")));
    double.answers("subjects/a%2Fmoney/versions/2", 200, refers(money, reference("currency")));
    double.answers("subjects/currency/versions/2", 200, refers(currency, json!([])));
    registry.learn(&ids(&[7]), at(0)).await.unwrap();
    assert!(matches!(registry.cache().get(7), Some(Registered::Avro(_))), "{:?}", registry.cache());
    assert_eq!(double.asked().len(), 3);
}

/// Whatever is wrong, nothing is given up, and what is answered later is taken.
#[tokio::test]
async fn records_wait_while_the_registry_does_not_answer() {
    let double = Double::default();
    let registry = registry(&double.start().await, &[]);
    for (status, body) in
        [(500, "{}"), (401, "no"), (429, "slow"), (503, "<html>"), (200, "<html>"), (404, "<html>")]
    {
        double.answers("schemas/ids/7", status, body);
        let error = registry.learn(&ids(&[7]), at(1_000_000)).await.unwrap_err();
        assert!(error.is_transient(), "{status}: {error}");
        assert!(registry.cache().get(7).is_none());
    }
    double.answers("schemas/ids/7", 200, schema(r#"{"name": "a", "type": "int"}"#));
    registry.learn(&ids(&[7]), at(0)).await.unwrap();
    let away = registry_that_is_away();
    let error = away.learn(&ids(&[7]), at(0)).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable(_)) && error.is_transient());
}

fn registry_that_is_away() -> SchemaRegistry {
    // The port of a listener that is gone.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    registry(&format!("http://{}", listener.local_addr().unwrap()), &[])
}

#[tokio::test]
async fn an_id_that_is_not_there_is_asked_for_again_before_it_is_given_up() {
    let double = Double::default();
    let registry = registry(&double.start().await, &[]);
    for seconds in [0, 10, 29] {
        let error = registry.learn(&ids(&[7]), at(seconds)).await.unwrap_err();
        assert!(matches!(error, RegistryError::Missing { id: 7 }) && error.is_transient());
    }
    registry.learn(&ids(&[7]), at(30)).await.unwrap();
    assert!(matches!(registry.cache().get(7), Some(Registered::Missing)));
    assert_eq!(double.asked().len(), 4);
    registry.learn(&ids(&[7]), at(89)).await.unwrap();
    assert_eq!(double.asked(), [""; 0], "it was asked for a while ago");
    double.answers("schemas/ids/7", 200, schema(r#"{"name": "a", "type": "int"}"#));
    registry.learn(&ids(&[7]), at(90)).await.unwrap();
    assert!(matches!(registry.cache().get(7), Some(Registered::Avro(_))));
}

#[tokio::test]
async fn ids_without_a_registry_are_nobodys_to_wait_for() {
    let none = SchemaRegistry::new(None).unwrap();
    none.learn(&ids(&[]), at(0)).await.unwrap();
    let error = none.learn(&ids(&[7]), at(0)).await.unwrap_err();
    assert!(!error.is_transient() && error.to_string().contains("--schema-registry-url"));
}

/// Building the client for https is what fails where no crypto provider is installed.
#[tokio::test]
async fn https_can_be_spoken() {
    let away = registry("https://127.0.0.1:9", &[("bearer.auth.token", "t")]);
    let error = away.learn(&ids(&[7]), at(0)).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable(_)), "{error}");
}
