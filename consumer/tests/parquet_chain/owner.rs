//! Owners of one partition as a simulation drives them: they open, write, retry, freeze and come back.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use common::identity::TopicId;
use common::messages::command::Source;
use common::partition::TopicPartition;
use common::position::{CommitMetadata, HandOver, Position};
use common::term::Term;
use consumer::decode::Decoder;
use consumer::lease_watch::{Lease, LeaseWatch, lease_channel};
use consumer::record::RawRecord;
use consumer::sink::store::Store;
use consumer::sink::tables::Tables;
use consumer::sink::{
    Committed, OpenRequest, Opened, SealedBatch, SinkError, Stored, Table, Writer,
};
use consumer::table::claim::Owner;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};
use uuid::Uuid;

use crate::faulty::Faulty;

pub(crate) fn partition() -> TopicPartition {
    TopicPartition::new("orders", 3)
}

pub(crate) fn topic_id() -> TopicId {
    TopicId(Uuid::from_u128(1 << 100))
}

pub(crate) fn source() -> Source {
    let (format, sink) = ("json".into(), "parquet".into());
    Source { table: "t".into(), format, sink, options: [].into() }
}

pub(crate) fn decoder(id: TopicId) -> Decoder {
    Decoder::new(&source(), partition(), id, &Arc::default()).unwrap()
}

/// The table as a new process sees it.
pub(crate) async fn table(store: Faulty, seed: u64) -> Arc<Table> {
    let owner = Owner { group: "g".into(), cluster_id: "c".into() };
    let rng = ChaCha8Rng::seed_from_u64(seed);
    let tables = Tables::over(Store::over(Arc::new(store)), owner, rng);
    retry(async || tables.get(&source()).await).await.unwrap()
}

/// Calls again until the outcome is certain.
pub(crate) async fn retry<T>(
    mut call: impl AsyncFnMut() -> Result<T, SinkError>,
) -> Result<T, SinkError> {
    loop {
        match call().await {
            Err(error) if error.is_transient() => {
                tokio::time::sleep(Duration::from_millis(50)).await
            }
            outcome => return outcome,
        }
    }
}

/// A request of the first owner there ever was.
pub(crate) fn request(term: Term) -> OpenRequest {
    OpenRequest {
        partition: partition(),
        topic_id: topic_id(),
        controller_topic_id: TopicId(Uuid::from_u128(2)),
        term,
        hand_over: None,
        committed: None,
        log_start: 0,
        has_changed_table: false,
        begin_at: None,
        lease: beating(),
    }
}

/// A lease that is renewed as long as the runtime lives.
pub(crate) fn beating() -> LeaseWatch {
    let (sender, lease) = lease_channel();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            sender.send_modify(|lease| {
                lease.sent += 1;
                lease.acknowledged = lease.sent;
            });
        }
    });
    lease
}

/// A lease that nobody can confirm any more.
pub(crate) fn lapsed() -> LeaseWatch {
    let (sender, lease) = lease_channel();
    sender.send_replace(Lease { sent: 1, acknowledged: 1, until: None, lapsed: true });
    lease
}

/// One JSON record per offset.
pub(crate) fn records(offsets: impl IntoIterator<Item = u64>) -> Arc<Vec<RawRecord>> {
    let record = |offset| RawRecord {
        offset,
        timestamp_ms: Some(1_700_000_000_000),
        value: Some(Bytes::from(format!("{{\"n\":{offset}}}"))),
        leader_epoch: Some(4),
        ..RawRecord::default()
    };
    Arc::new(offsets.into_iter().map(record).collect())
}

/// The batch of `offsets` behind `from`; nothing between them was ever committed to the log.
pub(crate) async fn batch(
    table: &Table,
    from: u64,
    offsets: &[u64],
) -> Result<SealedBatch, SinkError> {
    let decoded = table
        .decode(&decoder(topic_id()), records(offsets.iter().copied()), &Arc::default())
        .await?;
    Ok(SealedBatch {
        from,
        to: offsets.last().unwrap() + 1,
        leader_epoch: Some(4),
        rows: vec![decoded.rows],
        schema: decoded.schema,
    })
}

/// Writes all of `offsets` that the writer has not stored, in one batch.
pub(crate) async fn write(
    table: &Table,
    writer: &mut Writer,
    from: u64,
    offsets: &[u64],
) -> Result<Stored, SinkError> {
    let batch = retry(async || batch(table, from, offsets).await).await?;
    loop {
        match writer.write(&batch).await {
            Err(error) if error.is_transient() => {
                tokio::time::sleep(Duration::from_millis(50)).await
            }
            outcome => return outcome,
        }
    }
}

/// What Kafka and the orchestrator know of the partition.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) committed: Option<Committed>,
    pub(crate) hand_over: Option<HandOver>,
}

/// One owner's fate: when it loses the partition, and how.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fate {
    pub(crate) term: Term,
    /// Batches until it is asked to stop; a frozen one goes on with what it has.
    pub(crate) batches: usize,
    /// It stops in order, and its hand-over is clean if its sink is.
    pub(crate) is_planned: bool,
    pub(crate) seed: u64,
}

/// Owns the partition until its fate or a later owner ends it.
pub(crate) async fn own(
    store: Faulty,
    log: Arc<BTreeSet<u64>>,
    known: Arc<Mutex<Known>>,
    fate: Fate,
    lease: LeaseWatch,
) {
    let mut rng = ChaCha8Rng::seed_from_u64(fate.seed);
    let table = table(store, fate.seed).await;
    let Known { committed, hand_over } = known.lock().unwrap().clone();
    let request = OpenRequest { committed, hand_over, lease, ..request(fate.term) };
    let opened = retry(async || table.open(request.clone()).await).await;
    let Ok(Opened { mut writer, mut position, newest_object, .. }) = opened else {
        return check_ended(opened.map(drop));
    };
    let mut newest = newest_object;
    for _ in 0..fate.batches {
        let size = rng.random_range(1..6_usize);
        let offsets: Vec<u64> = log.range(position.offset..).take(size).copied().collect();
        if offsets.is_empty() {
            break;
        }
        let stored = match write(&table, &mut writer, position.offset, &offsets).await {
            Ok(stored) => stored,
            Err(error) => return check_ended(Err(error)),
        };
        assert!(stored.position.offset >= *offsets.last().unwrap(), "{stored:?}");
        (position, newest) = (stored.position, stored.newest_object);
        if rng.random_bool(0.5) {
            // Commits may come late, also behind those of a later owner.
            commit(&known, position, newest);
        }
    }
    let is_clean = writer.close();
    if fate.is_planned {
        commit(&known, position, newest);
        let hand_over =
            HandOver { position: Some(position), clean: is_clean, ..HandOver::default() };
        known.lock().unwrap().hand_over = Some(hand_over);
    }
}

fn commit(known: &Mutex<Known>, position: Position, newest: Option<u64>) {
    let metadata = Some(CommitMetadata::new(&position, newest));
    known.lock().unwrap().committed = Some(Committed { offset: position.offset, metadata });
}

/// An owner may end by being fenced or by losing its lease, and by nothing else.
fn check_ended(outcome: Result<(), SinkError>) {
    if let Err(error) = outcome {
        let is_expected = matches!(error, SinkError::Fenced { .. } | SinkError::Lease { .. });
        assert!(is_expected, "{}", common::chain::Chain(&error));
    }
}
