//! Where a new owner goes on, and when it must not.

use std::sync::Arc;

use common::identity::{TableId, TopicId};
use common::position::{CommitMetadata, HandOver, Position};
use common::term::Term;
use consumer::sink::{
    BlockedReason, Committed, OpenRequest, Opened, SealedBatch, SinkError, Table,
};
use futures::FutureExt as _;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStoreExt as _, PutPayload};
use uuid::Uuid;

use crate::faulty::{Faults, Faulty};
use crate::lake::{check_chain, objects};
use crate::owner::{batch, lapsed, request, table, topic_id, write};

struct Scene {
    objects: Arc<InMemory>,
    table: Arc<Table>,
}

async fn scene() -> Scene {
    let objects = Arc::new(InMemory::new());
    let store = Faulty::new(Arc::clone(&objects), Faults::default(), 0);
    Scene { objects, table: table(store, 1).await }
}

impl Scene {
    async fn open(&self, request: OpenRequest) -> Result<Opened, SinkError> {
        self.table.open(request).await
    }

    async fn blocked(&self, request: OpenRequest) -> BlockedReason {
        match self.open(request).await {
            Err(SinkError::Blocked { reason, .. }) => reason,
            other => panic!("expected a blocked partition, got {other:?}"),
        }
    }

    /// Stores the offsets 0 to 9 in two objects.
    async fn with_ten(self) -> Self {
        let mut opened = self.open(request(Term::new(1, 0))).await.unwrap();
        for offsets in [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]] {
            write(&self.table, &mut opened.writer, offsets[0], &offsets).await.unwrap();
        }
        self
    }

    fn position(&self, offset: u64) -> Position {
        Position { offset, leader_epoch: Some(4), topic_id: topic_id(), table_id: self.table.id() }
    }

    fn handed_over(&self, offset: u64, clean: bool) -> OpenRequest {
        let position = Some(self.position(offset));
        let hand_over = Some(HandOver { position, clean, ..HandOver::default() });
        OpenRequest { hand_over, ..request(Term::new(2, 0)) }
    }

    fn committed(&self, offset: u64, object: Option<u64>) -> OpenRequest {
        let metadata = Some(CommitMetadata::new(&self.position(offset), object));
        let committed = Some(Committed { offset, metadata });
        OpenRequest { committed, ..request(Term::new(2, 0)) }
    }

    async fn remove(&self, from: u64) {
        let path = format!("t/partition=3/orders+3+{from:020}.parquet");
        self.objects.delete(&Path::from(path)).await.unwrap();
    }
}

fn by_person(offset: u64) -> Option<Committed> {
    Some(Committed { offset, metadata: None })
}

/// Without any position reading starts at the beginning, and what the log lost before is nobody's gap.
#[tokio::test(start_paused = true)]
async fn the_first_owner_starts_at_the_beginning() {
    let scene = scene().await;
    let opened = scene.open(request(Term::new(1, 0))).await.unwrap();
    assert_eq!((opened.position.offset, opened.gap, opened.newest_object), (0, None, None));
    let late = OpenRequest { log_start: 7, ..request(Term::new(1, 0)) };
    let opened = scene.open(late).await.unwrap();
    assert_eq!((opened.position.offset, opened.gap), (7, None));
    let objects = objects(&scene.objects).await;
    assert_eq!(check_chain(&objects), 7);
    assert!(objects[0].offsets.is_empty());
}

/// The chain's end is the start, found by listing or told by a clean hand-over.
#[tokio::test(start_paused = true)]
async fn the_next_owner_goes_on_at_the_end() {
    let scene = scene().await.with_ten().await;
    for request in [
        request(Term::new(2, 0)),
        scene.handed_over(10, true),
        scene.handed_over(5, false),
        scene.committed(10, Some(5)),
        scene.committed(5, Some(0)),
        scene.committed(5, None),
    ] {
        let opened = scene.open(request).await.unwrap();
        assert_eq!(opened.position, scene.position(10));
        assert_eq!((opened.gap, opened.overruled), (None, None));
    }
}

/// A listing begins at the object that a commit names: older ones may be gone.
#[tokio::test(start_paused = true)]
async fn old_objects_may_be_removed() {
    let scene = scene().await.with_ten().await;
    scene.remove(0).await;
    for request in [scene.committed(10, Some(5)), scene.handed_over(10, true)] {
        assert_eq!(scene.open(request).await.unwrap().position.offset, 10);
    }
}

/// A lake that lost its end, or is another one, stops the partition.
#[tokio::test(start_paused = true)]
async fn positions_ahead_of_the_chain_stop_it() {
    let scene = scene().await.with_ten().await;
    let ahead = |what, offset| BlockedReason::AheadOfChain { what, offset, end: 10 };
    assert_eq!(scene.blocked(scene.committed(12, None)).await, ahead("the committed offset", 12));
    assert_eq!(scene.blocked(scene.handed_over(11, false)).await, ahead("the hand-over", 11));
    scene.remove(5).await;
    let reason = scene.blocked(scene.committed(10, Some(5))).await;
    let object = "t/partition=3/orders+3+00000000000000000005.parquet".into();
    assert_eq!(reason, BlockedReason::ChainMissing { object });
    let reason = scene.blocked(scene.committed(10, None)).await;
    assert!(matches!(reason, BlockedReason::AheadOfChain { end: 5, .. }), "{reason:?}");
}

/// A position of another table stops the partition, unless the change was ordered.
#[tokio::test(start_paused = true)]
async fn another_table_counts_only_by_order() {
    let scene = scene().await;
    let mut request = scene.handed_over(8, true);
    let other = Some(TableId(Uuid::from_u128(9)));
    request.hand_over.as_mut().unwrap().position.as_mut().unwrap().table_id = other;
    let reason = scene.blocked(request.clone()).await;
    assert!(matches!(reason, BlockedReason::OtherTable { what: "the hand-over", .. }));
    let opened = scene.open(OpenRequest { has_changed_table: true, ..request }).await.unwrap();
    assert_eq!((opened.position.offset, opened.gap), (8, None));
    assert_eq!(check_chain(&objects(&scene.objects).await), 8);
}

/// The first owner after a change of tables ended without a word: the next one is handed what that one was. It stands
/// in the table before, and says nothing any more once something was committed in this one.
#[tokio::test(start_paused = true)]
async fn what_was_committed_in_a_table_counts_more_than_a_hand_over_of_the_one_before() {
    let scene = scene().await.with_ten().await;
    let other = Some(TableId(Uuid::from_u128(9)));
    for (offset, clean) in [(8, true), (8, false), (12, false)] {
        let mut request = scene.handed_over(offset, clean);
        request.hand_over.as_mut().unwrap().position.as_mut().unwrap().table_id = other;
        let reason = scene.blocked(request.clone()).await;
        assert!(matches!(reason, BlockedReason::OtherTable { what: "the hand-over", .. }));
        let committed = scene.committed(10, Some(5)).committed;
        let opened = scene.open(OpenRequest { committed, ..request.clone() }).await.unwrap();
        assert_eq!((opened.position.offset, opened.gap), (10, None), "{offset} {clean}");
        let mut foreign = committed;
        foreign.as_mut().unwrap().metadata.as_mut().unwrap().table_id = other;
        let reason = scene.blocked(OpenRequest { committed: foreign, ..request }).await;
        assert!(matches!(reason, BlockedReason::OtherTable { .. }));
    }
}

/// Whatever was read into another table, the rows of a new one begin where they are asked to; once they have
/// begun, the chain's end counts, before and after a release, and nothing is left out.
#[tokio::test(start_paused = true)]
async fn a_new_table_begins_where_it_is_asked_to_and_goes_on_at_its_end() {
    let other = Some(TableId(Uuid::from_u128(9)));
    for (begin_at, log_start, expected) in [(0, 0, 0), (0, 3, 3), (4, 0, 4), (4, 6, 6)] {
        let scene = scene().await;
        let mut request = scene.handed_over(8, true);
        request.hand_over.as_mut().unwrap().position.as_mut().unwrap().table_id = other;
        let order = OpenRequest { has_changed_table: true, log_start, ..request };
        let asked = OpenRequest { begin_at: Some(begin_at), ..order };
        for has_changed_table in [true, false] {
            // The order may have been lost on the way; where the rows begin says as much.
            let asked = OpenRequest { has_changed_table, ..asked.clone() };
            let opened = scene.open(asked).await.unwrap();
            assert_eq!((opened.position.offset, opened.gap), (expected, None));
        }
        let mut opened = scene.open(asked.clone()).await.unwrap();
        let offsets = [expected, expected + 1];
        write(&scene.table, &mut opened.writer, expected, &offsets).await.unwrap();
        let opened = scene.open(asked.clone()).await.unwrap();
        assert_eq!(opened.position.offset, expected + 2, "the old table's end is not jumped to");
        let own = OpenRequest { begin_at: Some(begin_at), ..scene.handed_over(expected + 2, true) };
        assert_eq!(scene.open(own).await.unwrap().position.offset, expected + 2);
        assert_eq!(check_chain(&objects(&scene.objects).await), expected + 2);
    }
}

/// A topic that was created again starts again, under names of its own, beside the old one.
#[tokio::test(start_paused = true)]
async fn a_topic_that_was_created_again_starts_again() {
    let scene = scene().await.with_ten().await;
    let new_id = TopicId(Uuid::from_u128(0xabcd_ef01 << 96));
    for (attempt, from) in [(0_u64, 0_u64), (1, 3)] {
        let again = OpenRequest { topic_id: new_id, ..scene.committed(10, Some(5)) };
        let Opened { mut writer, position, .. } = scene.open(again).await.unwrap();
        assert_eq!((position.offset, position.topic_id), (from, new_id), "attempt {attempt}");
        let batch = batch(&scene.table, from, &[from, from + 1, from + 2]).await.unwrap();
        writer.write(&batch).await.unwrap();
    }
    let (new, old): (Vec<_>, Vec<_>) = objects(&scene.objects)
        .await
        .into_iter()
        .partition(|object| object.path.contains("+abcdef01"));
    assert_eq!((check_chain(&old), check_chain(&new)), (10, 6));
    // Clean hand-overs find the right names too.
    let position = Position { topic_id: new_id, ..scene.position(6) };
    let mut request = OpenRequest { topic_id: new_id, ..scene.handed_over(6, true) };
    request.hand_over.as_mut().unwrap().position = Some(position);
    let mut opened = scene.open(request).await.unwrap();
    let batch = batch(&scene.table, 6, &[6]).await.unwrap();
    opened.writer.write(&batch).await.unwrap();
    assert!(
        objects(&scene.objects).await.iter().any(|o| o.path.ends_with("0006+abcdef01.parquet"))
    );
}

/// Of two topic ids that meet at offset 0 one takes the plain names, and the other its own.
#[tokio::test(start_paused = true)]
async fn plain_names_belong_to_whoever_is_first_at_offset_0() {
    let scene = scene().await;
    let new_id = TopicId(Uuid::from_u128(0xabcd_ef01 << 96));
    let old = scene.open(request(Term::new(1, 0))).await.unwrap();
    let new = OpenRequest { topic_id: new_id, ..request(Term::new(1, 1)) };
    let new = scene.open(new).await.unwrap();
    for mut opened in [old, new] {
        write(&scene.table, &mut opened.writer, 0, &[0, 1]).await.unwrap();
    }
    let paths: Vec<_> = objects(&scene.objects).await.into_iter().map(|o| o.path).collect();
    assert_eq!(paths.len(), 2);
    assert!(paths[0].ends_with("+00000000000000000000+abcdef01.parquet"), "{paths:?}");
}

/// What retention removed before it was read is a gap: reported, and covered by an object without rows.
#[tokio::test(start_paused = true)]
async fn a_gap_is_reported_and_covered() {
    let scene = scene().await.with_ten().await;
    let request = OpenRequest { log_start: 15, ..scene.handed_over(10, true) };
    let opened = scene.open(request).await.unwrap();
    assert_eq!((opened.position.offset, opened.gap), (15, Some(10..15)));
    let objects = objects(&scene.objects).await;
    assert_eq!(check_chain(&objects), 15);
    assert_eq!(objects[2].keys["stowage.to"], "15");
}

/// An offset that a person committed is a start only where nobody else knows the partition.
#[tokio::test(start_paused = true)]
async fn a_persons_offset_is_a_start_and_no_rewind() {
    let scene = scene().await;
    let fresh = OpenRequest { committed: by_person(4), ..request(Term::new(1, 0)) };
    let opened = scene.open(fresh).await.unwrap();
    assert_eq!((opened.position.offset, opened.gap, opened.overruled), (4, None, None));
    let again = OpenRequest { committed: by_person(1), ..request(Term::new(1, 0)) };
    let opened = scene.open(again).await.unwrap();
    assert_eq!((opened.position.offset, opened.overruled), (4, Some(1)));
}

/// A later term that wrote the last object fences whoever opens with an earlier one.
#[tokio::test(start_paused = true)]
async fn an_earlier_term_cannot_open() {
    let scene = scene().await.with_ten().await;
    let fenced = scene.open(request(Term::new(0, 9))).await.unwrap_err();
    assert!(matches!(fenced, SinkError::Fenced { by, .. } if by == Term::new(1, 0)), "{fenced:?}");
}

/// Another's object is accepted only under a lease that was confirmed after it was seen.
#[tokio::test(start_paused = true)]
async fn without_a_lease_nothing_of_others_is_accepted() {
    let scene = scene().await;
    let mut late =
        scene.open(OpenRequest { lease: lapsed(), ..request(Term::new(2, 0)) }).await.unwrap();
    let mut first = scene.open(request(Term::new(1, 0))).await.unwrap();
    write(&scene.table, &mut first.writer, 0, &[0, 1]).await.unwrap();
    let batch = batch(&scene.table, 0, &[0, 1, 2]).await.unwrap();
    let refused = late.writer.write(&batch).await.unwrap_err();
    assert!(matches!(refused, SinkError::Lease { .. }), "{refused:?}");
}

/// What an earlier owner stored under the name counts, and only the rest of the batch is written.
#[tokio::test(start_paused = true)]
async fn the_rest_of_a_batch_follows_what_another_stored() {
    let scene = scene().await;
    let mut one = scene.open(request(Term::new(1, 0))).await.unwrap();
    let mut other = scene.open(request(Term::new(2, 0))).await.unwrap();
    write(&scene.table, &mut one.writer, 0, &[0, 1]).await.unwrap();
    let stored = write(&scene.table, &mut other.writer, 0, &[0, 1, 2, 3]).await.unwrap();
    assert_eq!(
        (stored.position, stored.rows, stored.newest_object),
        (scene.position(4), 2, Some(2))
    );
    let fenced = write(&scene.table, &mut one.writer, 2, &[2, 3, 4]).await.unwrap_err();
    assert!(matches!(fenced, SinkError::Fenced { by, .. } if by == Term::new(2, 0)), "{fenced:?}");
    assert_eq!(check_chain(&objects(&scene.objects).await), 4);
}

/// An object that is no object of ours blocks the partition by name.
#[tokio::test(start_paused = true)]
async fn an_unreadable_footer_blocks() {
    let scene = scene().await;
    let mut opened = scene.open(request(Term::new(1, 0))).await.unwrap();
    let path = "t/partition=3/orders+3+00000000000000000000.parquet";
    scene.objects.put(&Path::from(path), PutPayload::from_static(b"garbage")).await.unwrap();
    let batch = batch(&scene.table, 0, &[0]).await.unwrap();
    for error in [
        opened.writer.write(&batch).await.unwrap_err(),
        scene.open(request(Term::new(1, 0))).await.unwrap_err(),
    ] {
        let SinkError::Blocked { reason: BlockedReason::Object { object, .. }, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!(object, path);
    }
}

/// A write that was dropped half-way is repeated with the same bytes, and is no clean end before.
#[tokio::test(start_paused = true)]
async fn a_dropped_write_is_repeated() {
    let objects_in = Arc::new(InMemory::new());
    let slow = Faults { delayed: 100, ..Faults::default() };
    let table = table(Faulty::new(Arc::clone(&objects_in), slow, 3), 1).await;
    let mut opened = table.open(request(Term::new(1, 0))).await.unwrap();
    let batch = batch(&table, 0, &[0, 1]).await.unwrap();
    let dropped =
        tokio::time::timeout(std::time::Duration::from_millis(100), opened.writer.write(&batch));
    assert!(dropped.await.is_err());
    assert!(opened.writer.write(&batch).now_or_never().is_none());
    let stored = opened.writer.write(&batch).await.unwrap();
    assert_eq!(stored.rows, 2);
    assert!(opened.writer.close());
    assert_eq!(check_chain(&objects(&objects_in).await), 2);
    let mut opened = table.open(request(Term::new(1, 0))).await.unwrap();
    let more = SealedBatch { from: 2, to: 3, ..batch };
    assert!(
        tokio::time::timeout(std::time::Duration::from_millis(100), opened.writer.write(&more))
            .await
            .is_err()
    );
    assert!(!opened.writer.close(), "its outcome is unknown");
}

/// A writer knows its own object by the nonce: it counts as its own, needs no lease, and is written once.
#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_made_up_for() {
    let objects_in = Arc::new(InMemory::new());
    let losing = Faults { answer_lost: 60, ..Faults::default() };
    let table = table(Faulty::new(Arc::clone(&objects_in), losing, 5), 1).await;
    let mut opened =
        table.open(OpenRequest { lease: lapsed(), ..request(Term::new(1, 0)) }).await.unwrap();
    for from in 0..20 {
        let stored = write(&table, &mut opened.writer, from, &[from]).await.unwrap();
        assert_eq!((stored.rows, stored.position.offset), (1, from + 1));
    }
    assert_eq!(check_chain(&objects(&objects_in).await), 20);
}
