//! The wire client against brokers that close, hang or lie: made up, byte by byte.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::chain::Chain;
use common::kafka::config::{KafkaConfig, Properties};
use common::kafka::wire::client::WireClient;
use common::kafka::wire::cluster::Topics;
use rand::SeedableRng;
use rand::rngs::ChaCha8Rng;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const METADATA: u8 = 3;
const API_VERSIONS: u8 = 18;

/// What a broker does with requests after the first one, which asks for the versions it knows.
#[derive(Clone, Copy)]
enum Manner {
    /// Answers so many and then closes the connection.
    Closes { after: usize },
    /// Takes them and says nothing.
    Hangs,
    /// Claims two billion brokers.
    Lies,
}

struct Broker {
    port: u16,
    connections: Arc<AtomicUsize>,
}

impl Broker {
    async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, port, manner));
            }
        });
        Self { port, connections }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

async fn serve(mut stream: TcpStream, port: u16, manner: Manner) {
    let mut answered = 0;
    while let Ok(size) = stream.read_u32().await {
        let mut request = vec![0; usize::try_from(size).unwrap()];
        stream.read_exact(&mut request).await.unwrap();
        let answer = match (request[1], manner) {
            (API_VERSIONS, _) => api_versions(),
            (METADATA, Manner::Closes { after }) if answered == after => return,
            (METADATA, Manner::Closes { .. }) => metadata(port),
            (METADATA, Manner::Lies) => vec![0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x07],
            (METADATA, Manner::Hangs) => continue,
            (other, _) => panic!("request {other}"),
        };
        answered += usize::from(request[1] == METADATA);
        let correlation = &request[4..8];
        let size = u32::try_from(correlation.len() + answer.len()).unwrap();
        let frame = [&size.to_be_bytes(), correlation, &answer].concat();
        // In two parts, as a network may deliver it.
        let (first, second) = frame.split_at(frame.len() / 2);
        stream.write_all(first).await.unwrap();
        stream.flush().await.unwrap();
        stream.write_all(second).await.unwrap();
    }
}

/// No error; one request: Metadata in versions 10 to 12.
fn api_versions() -> Vec<u8> {
    vec![0, 0, 0, 0, 0, 1, 0, METADATA, 0, 10, 0, 12]
}

/// Version 12: one broker, this one, and no topics.
fn metadata(port: u16) -> Vec<u8> {
    let mut answer = vec![0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 10];
    answer.extend_from_slice(b"127.0.0.1");
    answer.extend_from_slice(&u32::from(port).to_be_bytes());
    answer.extend_from_slice(&[0, 0, 0, 0, 0, 0, 1, 1, 0]);
    answer
}

fn wire(brokers: &[&Broker]) -> WireClient {
    let servers: Vec<_> =
        brokers.iter().map(|broker| format!("127.0.0.1:{}", broker.port)).collect();
    let config = KafkaConfig::new(&servers.join(","), Properties::new()).unwrap();
    WireClient::new(&config, "test", ChaCha8Rng::seed_from_u64(1)).unwrap()
}

/// A broker may close a connection whenever it likes: the next request opens another one, and nobody
/// notices.
#[tokio::test]
async fn a_connection_closed_by_the_broker_is_opened_again() {
    let broker = Broker::start(Manner::Closes { after: 2 }).await;
    let wire = wire(&[&broker]);
    for _ in 0..5 {
        let cluster = wire.cluster(Topics::All).await.unwrap();
        assert_eq!(cluster.brokers[&1].port, broker.port);
    }
    assert_eq!(broker.connections(), 3);
}

/// A broker that hangs holds up one request, even if its caller did not wait for the end of it.
#[tokio::test]
async fn a_broker_that_hangs_is_asked_last() {
    let hanging = Broker::start(Manner::Hangs).await;
    let healthy = Broker::start(Manner::Closes { after: 9 }).await;
    let wire = wire(&[&hanging, &healthy]);
    let ask = || timeout(Duration::from_millis(500), wire.cluster(Topics::All));
    assert!(ask().await.is_err());
    for _ in 0..3 {
        ask().await.unwrap().unwrap();
    }
    assert_eq!(hanging.connections(), 1);
}

/// An answer that claims more than it holds is refused, and costs no memory.
#[tokio::test]
async fn a_lie_about_lengths_is_refused() {
    let broker = Broker::start(Manner::Lies).await;
    let error = wire(&[&broker]).cluster(Topics::All).await.unwrap_err();
    let error = Chain(&error).to_string();
    assert!(
        error.ends_with("the answer claims 2147483646 elements, more than its 0 bytes can hold"),
        "{error}"
    );
}

/// A broker that says nothing is given up.
#[tokio::test]
async fn a_request_without_answer_ends() {
    let broker = Broker::start(Manner::Hangs).await;
    let error = wire(&[&broker]).cluster(Topics::All).await.unwrap_err();
    assert!(error.is_transient());
    let error = Chain(&error).to_string();
    assert!(error.ends_with("did not answer Metadata within 10 s"), "{error}");
}
