//! Clients whose broker describes, now and then, a cluster without brokers: made up, byte by byte.

#![expect(clippy::unwrap_used, reason = "a test")]

use std::time::Duration;

use common::kafka::client_events::ClientMetrics;
use common::kafka::clients::{ClientNames, KafkaClients};
use common::kafka::config::{KafkaConfig, Properties};
use common::kafka::reader::{Start, TopicReader};
use common::partition::TopicPartition;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

const METADATA: u8 = 3;
const API_VERSIONS: u8 = 18;
const TOPIC: &str = "orders";

/// One description in so many has a topic and no brokers.
const EMPTY_EVERY: u32 = 3;
/// How often each client is told of no broker. Left to itself, librdkafka is lost for good once in
/// about fifteen times.
const EMPTY: u32 = 12;
const CLIENTS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(120);

/// Answers requests for metadata, and leaves brokers out again and again.
struct Broker {
    port: u16,
    answers: watch::Receiver<u32>,
}

impl Broker {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (count, answers) = watch::channel(0);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, port, count.clone()));
            }
        });
        Self { port, answers }
    }
}

/// Until the client closes the connection.
async fn serve(mut stream: TcpStream, port: u16, answers: watch::Sender<u32>) {
    while let Ok(size) = stream.read_u32().await {
        let mut request = vec![0; usize::try_from(size).unwrap()];
        if stream.read_exact(&mut request).await.is_err() {
            return;
        }
        let answer = match request[1] {
            API_VERSIONS => api_versions(),
            METADATA => {
                answers.send_modify(|count| *count += 1);
                let is_empty = answers.borrow().is_multiple_of(EMPTY_EVERY);
                metadata((!is_empty).then_some(port))
            }
            other => panic!("request {other}"),
        };
        let correlation = &request[4..8];
        let size = u32::try_from(correlation.len() + answer.len()).unwrap();
        let frame = [&size.to_be_bytes(), correlation, &answer].concat();
        if stream.write_all(&frame).await.is_err() {
            return;
        }
    }
}

/// Version 3: no error; ApiVersions up to version 3, Metadata up to version 4; no throttling.
fn api_versions() -> Vec<u8> {
    let known = [[0, API_VERSIONS, 0, 0, 0, 3, 0], [0, METADATA, 0, 0, 0, 4, 0]].concat();
    [&[0, 0, 3][..], &known, &[0, 0, 0, 0, 0]].concat()
}

/// Version 4: this broker or none, and a topic with a partition that it leads or nobody.
fn metadata(port: Option<u16>) -> Vec<u8> {
    let text =
        |text: &str| [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat();
    let (node, none, nothing) = (1_i32.to_be_bytes(), (-1_i32).to_be_bytes(), [0xff, 0xff]);
    let one = 1_i32.to_be_bytes();
    let broker = match port {
        Some(port) => {
            let port = i32::from(port).to_be_bytes();
            [&one[..], &node, &text("127.0.0.1"), &port, &nothing].concat()
        }
        None => vec![0; 4],
    };
    let (error, leader) = if port.is_some() { ([0, 0], node) } else { ([0, 5], none) };
    let partition = [&error[..], &[0; 4], &leader, &one, &node, &one, &node].concat();
    let topic = [&[0, 0][..], &text(TOPIC), &[0], &one, &partition].concat();
    [&[0; 4][..], &broker, &text("cluster"), &node, &one, &topic].concat()
}

fn reader(port: u16) -> TopicReader {
    let servers = format!("127.0.0.1:{port}");
    let config = KafkaConfig::new(&servers, Properties::new()).unwrap();
    let names = ClientNames { client_id: "test".into(), group: "g".into() };
    let clients = KafkaClients::new(config, names, ClientMetrics::default());
    TopicReader::open(&clients, TopicPartition::new(TOPIC, 0), Start::Offset(0)).unwrap()
}

/// A client that was told of no broker again and again goes on asking: docs/adr/0003.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_was_told_of_no_broker_finds_one_again() {
    let asked = (0..CLIENTS).map(|_| tokio::spawn(ask_on()));
    for (client, asked) in asked.collect::<Vec<_>>().into_iter().enumerate() {
        let answers = asked.await.unwrap();
        let is_enough = answers >= EMPTY_EVERY * EMPTY;
        assert!(is_enough, "client {client} fell silent after {answers} answers");
    }
}

/// Returns how many answers a client has asked for when it has had enough, or is given up.
async fn ask_on() -> u32 {
    let Broker { port, mut answers } = Broker::start().await;
    let reader = reader(port);
    let reading = async { reader.next().await.map(drop) };
    let enough = answers.wait_for(|count| *count >= EMPTY_EVERY * EMPTY);
    let _ = timeout(PATIENCE, async {
        tokio::select! {
            _ = enough => {}
            read = reading => panic!("there is nothing to read: {read:?}"),
        }
    })
    .await;
    *answers.borrow()
}
