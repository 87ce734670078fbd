//! Owners of one partition as a simulation drives them: they open, announce themselves, write, freeze and come back.

use std::collections::BTreeSet;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use common::identity::TopicId;
use common::messages::command::Source;
use common::partition::TopicPartition;
use common::position::{CommitMetadata, HandOver, Position};
use common::term::Term;
use consumer::decode::Decoder;
use consumer::lease_watch::lease_channel;
use consumer::record::RawRecord;
use consumer::sink::{
    Committed, OpenRequest, Opened, SealedBatch, SinkError, Stored, Table, Writer,
};
use futures::FutureExt as _;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::yield_now;
use uuid::Uuid;

use crate::scene::Scene;

/// One owner's fate: how much it writes, and whether it ends in order.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fate {
    pub(crate) term: Term,
    pub(crate) batches: usize,
    /// It stops in order, and its hand-over is clean if its sink is.
    pub(crate) is_planned: bool,
    pub(crate) seed: u64,
}

pub(crate) enum Life {
    Over,
    Frozen,
}

pub(crate) fn partition() -> TopicPartition {
    TopicPartition::new("orders", 3)
}

pub(crate) fn topic_id() -> TopicId {
    TopicId(Uuid::from_u128(1 << 100))
}

pub(crate) fn source() -> Source {
    Source { table: "t".into(), format: "json".into(), sink: "bigquery".into(), options: [].into() }
}

pub(crate) fn decoder() -> Decoder {
    Decoder::new(&source(), partition(), topic_id(), &Arc::default()).unwrap()
}

/// Lets the owner live until the service has had so many calls more, from anybody.
pub(crate) async fn live<F: Future<Output = ()>>(
    scene: &Scene,
    owner: &mut Pin<Box<F>>,
    calls: u64,
) -> Life {
    let until = scene.calls().saturating_add(calls);
    while scene.calls() < until {
        if owner.as_mut().now_or_never().is_some() {
            return Life::Over;
        }
        yield_now().await;
    }
    Life::Frozen
}

/// Calls again until the outcome is certain.
pub(crate) async fn retry<T>(
    mut call: impl AsyncFnMut() -> Result<T, SinkError>,
) -> Result<T, SinkError> {
    loop {
        match call().await {
            Err(error) if error.is_transient() => yield_now().await,
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
        lease: lease_channel().1,
    }
}

/// One record per offset, with that value.
pub(crate) fn records(
    offsets: impl IntoIterator<Item = u64>,
    value: impl Fn(u64) -> String,
) -> Arc<Vec<RawRecord>> {
    let record = |offset| RawRecord {
        offset,
        timestamp_ms: Some(1_700_000_000_000),
        value: Some(Bytes::from(value(offset))),
        leader_epoch: Some(4),
        ..RawRecord::default()
    };
    Arc::new(offsets.into_iter().map(record).collect())
}

/// The batch of `offsets` behind `from`; nothing between them was ever committed to the log.
pub(crate) async fn batch(
    table: &Table,
    from: u64,
    records: Arc<Vec<RawRecord>>,
) -> Result<SealedBatch, SinkError> {
    let to = records.last().unwrap().offset + 1;
    let decoded = table.decode(&decoder(), records, &Arc::default()).await?;
    let (rows, schema) = (vec![decoded.rows], decoded.schema);
    Ok(SealedBatch { from, to, leader_epoch: Some(4), rows, schema })
}

/// Writes the records, in one batch.
pub(crate) async fn write(
    table: &Table,
    writer: &mut Writer,
    from: u64,
    records: Arc<Vec<RawRecord>>,
) -> Result<Stored, SinkError> {
    let batch = retry(async || batch(table, from, Arc::clone(&records)).await).await?;
    retry(async || writer.write(&batch).await).await
}

/// Owns the partition until its fate or a later owner ends it.
pub(crate) async fn own(scene: &Scene, log: &BTreeSet<u64>, fate: Fate) {
    let mut rng = ChaCha8Rng::seed_from_u64(fate.seed);
    let (number, known) = {
        let mut known = scene.known.lock().unwrap();
        known.owner += 1;
        (known.owner, known.clone())
    };
    let table = scene.table(fate.seed).await;
    let (committed, hand_over) = (known.committed, known.hand_over.clone());
    let request = OpenRequest { committed, hand_over, ..request(fate.term) };
    let opened = retry(async || table.open(request.clone()).await).await;
    let Ok(Opened { mut writer, mut position, tokens, .. }) = opened else {
        return check_ended(opened.map(drop));
    };
    {
        // The answer that names the stream: whoever is not the owner any more gets it not acknowledged.
        let mut now = scene.known.lock().unwrap();
        if now.owner != number {
            return;
        }
        let given = known.hand_over.unwrap_or_default();
        now.hand_over = Some(given.after_unclean_end(&tokens));
    }
    for _ in 0..fate.batches {
        let size = rng.random_range(1..8_usize);
        let offsets: Vec<u64> = log.range(position.offset..).take(size).copied().collect();
        if offsets.is_empty() {
            break;
        }
        let records = records(offsets.iter().copied(), |offset| format!("{{\"n\":{offset}}}"));
        let stored = match write(&table, &mut writer, position.offset, records).await {
            Ok(stored) => stored,
            Err(error) => return check_ended(Err(error)),
        };
        assert_eq!(stored.position.offset, offsets.last().unwrap() + 1);
        position = stored.position;
        if rng.random_bool(0.5) {
            // Commits may come late, also behind those of a later owner.
            commit(scene, position);
        }
    }
    let clean = writer.close();
    let is_owner = scene.known.lock().unwrap().owner == number;
    if fate.is_planned && is_owner {
        commit(scene, position);
        let hand_over = HandOver { position: Some(position), clean, tokens, release: None };
        scene.known.lock().unwrap().hand_over = Some(hand_over);
    }
}

fn commit(scene: &Scene, position: Position) {
    let metadata = Some(CommitMetadata::new(&position, None));
    let committed = Committed { offset: position.offset, metadata };
    scene.known.lock().unwrap().committed = Some(committed);
}

/// An owner may end by being fenced, and by nothing else.
fn check_ended(outcome: Result<(), SinkError>) {
    if let Err(error) = outcome {
        let is_expected = matches!(error, SinkError::StreamFinalized { .. });
        assert!(is_expected, "{}", common::chain::Chain(&error));
    }
}
