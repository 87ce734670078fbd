//! Writes a table's partitions as consumers do.

use std::sync::Arc;

use bytes::Bytes;
use common::identity::TopicId;
use common::messages::command::Source;
use common::partition::TopicPartition;
use common::term::Term;
use consumer::decode::Decoder;
use consumer::lease_watch::lease_channel;
use consumer::record::RawRecord;
use consumer::sink::store::Store;
use consumer::sink::tables::Tables;
use consumer::sink::{OpenRequest, Opened, SealedBatch, Table};
use consumer::table::claim::Owner;
use object_store::ObjectStore;
use rand::SeedableRng as _;
use rand::rngs::ChaCha8Rng;
use uuid::Uuid;

/// One partition that is being written.
pub(crate) struct PartitionWriter {
    table: Arc<Table>,
    decoder: Decoder,
    opened: Opened,
    pub(crate) end: u64,
}

impl PartitionWriter {
    pub(crate) async fn open(objects: Arc<dyn ObjectStore>, partition: u32) -> Self {
        let (format, sink) = ("json".into(), "parquet".into());
        let source = Source { table: "t".into(), format, sink, options: [].into() };
        let owner = Owner { group: "g".into(), cluster_id: "c".into() };
        let rng = ChaCha8Rng::seed_from_u64(u64::from(partition));
        let tables = Tables::over(Store::over(objects), owner, rng);
        let table = tables.get(&source).await.unwrap();
        let (topic_id, name) =
            (TopicId(Uuid::from_u128(1)), TopicPartition::new("orders", partition));
        let decoder = Decoder::new(&source, name.clone(), topic_id, &Arc::default()).unwrap();
        let (_heart, lease) = lease_channel();
        let request = OpenRequest {
            partition: name,
            topic_id,
            controller_topic_id: TopicId(Uuid::from_u128(2)),
            term: Term::new(1, 1),
            hand_over: None,
            committed: None,
            log_start: 0,
            has_changed_table: false,
            begin_at: None,
            lease,
        };
        let opened = table.open(request).await.unwrap();
        let end = opened.position.offset;
        Self { table, decoder, opened, end }
    }

    /// Stores `count` records as one object.
    pub(crate) async fn write(&mut self, count: u64, value: impl Fn(u64) -> (i64, String)) {
        let record = |offset| {
            let (timestamp_ms, value) = value(offset);
            let value = Some(Bytes::from(value));
            let timestamp_ms = Some(timestamp_ms);
            RawRecord { offset, timestamp_ms, value, ..RawRecord::default() }
        };
        let (from, to) = (self.end, self.end + count);
        let records = Arc::new((from..to).map(record).collect::<Vec<_>>());
        let decoded = self.table.decode(&self.decoder, records, &Arc::default()).await.unwrap();
        let rows = vec![decoded.rows];
        let batch = SealedBatch { from, to, leader_epoch: None, rows, schema: decoded.schema };
        self.opened.writer.write(&batch).await.unwrap();
        self.end = to;
    }
}
