//! Every kind of message keeps its bytes for ever: what an earlier release wrote, this one reads.
//!
//! `tests/golden/` holds one file per message, its bytes in hexadecimal. The corpus only grows.
//! A new sample is written by running this test with `UPDATE_GOLDEN=1`; existing files are never
//! rewritten.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use common::identity::{ConsumerId, Incarnation, Nonce, TableId, TopicId};
use common::messages::codec::{DecodeError, decode};
use common::messages::command::{
    Assign, AssignedPartition, AssignedTopic, LeaderAlive, LeaderStarted, Source,
};
use common::messages::event::{
    Answer, Heartbeat, Marker, Notice, NoticeClass, PartitionAnswer, PartitionReport,
    PartitionState, RefusalClass, Refused, Report,
};
use common::messages::request::{
    Approve, Drain, DryRun, Pause, Resume, Scaling, StartConsuming, StateQuery, StopConsuming,
    Unpin,
};
use common::messages::snapshot::{
    Ownership, Snapshot, SnapshotConsumer, SnapshotPartition, StandingRequest,
};
use common::messages::{Extra, Kind, Message};
use common::partition::TopicPartition;
use common::position::{HandOver, Position, ReleaseId};
use common::term::{Generation, Sequence, Term};
use proptest::prelude::*;
use uuid::Uuid;

const INCARNATION: Incarnation = Incarnation(0x00ff);

fn extra() -> Extra {
    BTreeMap::from([("note".into(), "größer".into())])
}

fn topic_id() -> TopicId {
    TopicId(Uuid::from_u128(0x11))
}

fn hand_over() -> HandOver {
    HandOver {
        position: Some(Position {
            offset: 1 << 40,
            leader_epoch: Some(3),
            topic_id: topic_id(),
            table_id: Some(TableId(Uuid::from_u128(0x22))),
        }),
        clean: true,
        tokens: vec!["stream-1".into()],
        release: Some(ReleaseId { incarnation: INCARNATION, number: 4 }),
    }
}

fn assign() -> Assign {
    Assign {
        term: Term::new(17, 3),
        incarnation: INCARNATION,
        answer_read: 5,
        end: false,
        topics: vec![AssignedTopic {
            topic: "orders".into(),
            topic_id: topic_id(),
            source: Source {
                table: "orders".into(),
                format: "json".into(),
                sink: "parquet".into(),
                options: BTreeMap::from([("headers".into(), "true".into())]),
            },
            partitions: vec![
                AssignedPartition {
                    partition: 0,
                    since: Term::new(16, 1),
                    hand_over: None,
                    new_table: false,
                },
                AssignedPartition {
                    partition: 7,
                    since: Term::new(17, 3),
                    hand_over: Some(hand_over()),
                    new_table: true,
                },
            ],
        }],
        extra: extra(),
    }
}

fn partition_answer(state: PartitionState) -> PartitionAnswer {
    PartitionAnswer {
        partition: TopicPartition::new("orders", 7),
        state,
        since: Term::new(17, 3),
        position: hand_over().position,
        tokens: vec!["stream-2".into()],
        hand_over: Some(hand_over()),
        reason: Some("the folder is read-only".into()),
        polled_at_ms: Some(1_700_000_000_000),
    }
}

fn snapshot() -> Snapshot {
    Snapshot {
        generation: Generation(17),
        sequence: Sequence(3),
        query: Some(Nonce(9)),
        requests_offset: 18,
        events_offset: 1000,
        controller_offsets: BTreeMap::from([("1".into(), 30)]),
        consumers: vec![SnapshotConsumer {
            consumer: ConsumerId(1),
            incarnation: INCARNATION,
            assign: Some(assign()),
            answer_read: 5,
        }],
        partitions: vec![SnapshotPartition {
            partition: TopicPartition::new("orders", 7),
            topic_id: topic_id(),
            source: Some(assign().topics[0].source.clone()),
            ownership: Ownership::Revoking,
            consumer: Some(ConsumerId(1)),
            incarnation: Some(INCARNATION),
            since: Some(Term::new(17, 3)),
            hand_over: Some(hand_over()),
            tokens: vec!["stream-2".into()],
            reason: None,
        }],
        requests: vec![StandingRequest {
            topic: "orders".into(),
            partitions: vec![7],
            pinned_to: Some(ConsumerId(1)),
        }],
        extra: extra(),
    }
}

fn commands() -> Vec<Message> {
    vec![
        Message::from(LeaderStarted {
            nonce: Nonce(1),
            author: "host/42".into(),
            generation: Some(Generation(17)),
            controller_topic_id: topic_id(),
            extra: extra(),
        }),
        Message::from(LeaderAlive {
            generation: Generation(17),
            nonce: Nonce(2),
            snapshot: Some(12),
            extra: extra(),
        }),
        Message::from(assign()),
        Message::from(snapshot()),
        Message::from(StartConsuming {
            topic: "orders".into(),
            partitions: vec![3],
            consumer: Some(ConsumerId(2)),
            extra: extra(),
        }),
        Message::from(StopConsuming { topic: "orders".into(), partitions: vec![], extra: extra() }),
        Message::from(StateQuery { nonce: Some(Nonce(9)), extra: extra() }),
        Message::from(Marker { nonce: Nonce(4), author: "host/42".into(), extra: extra() }),
    ]
}

fn operations() -> Vec<Message> {
    let extra = extra();
    vec![
        Unpin { topic: "orders".into(), partitions: vec![3], extra: extra.clone() }.into(),
        Pause { scaling: Scaling::Out, extra: extra.clone() }.into(),
        Resume { scaling: Scaling::All, extra: extra.clone() }.into(),
        Drain { consumer: ConsumerId(2), lift: true, extra: extra.clone() }.into(),
        DryRun { extra: extra.clone() }.into(),
        Approve { proposal: "5f1c09aa".into(), extra }.into(),
    ]
}

fn states() -> Vec<Message> {
    let consumer = ConsumerId(3);
    vec![
        Message::from(Heartbeat {
            consumer,
            incarnation: INCARNATION,
            number: 8,
            process_started_ms: 1_700_000_000_000,
            pid: 4242,
            pod_uid: Some("uid".into()),
            ttl_ms: 10_000,
            margin_ms: 1_000,
            lock_held: true,
            command_read: Some(Term::new(17, 3)),
            address: Some("127.0.0.1:9999".into()),
            draining: false,
            extra: extra(),
        }),
        Message::from(Answer {
            consumer,
            incarnation: INCARNATION,
            number: 6,
            term: Term::new(17, 3),
            draining: true,
            partitions: vec![
                partition_answer(PartitionState::Opening),
                partition_answer(PartitionState::Held),
                partition_answer(PartitionState::Stopping),
                partition_answer(PartitionState::Failed),
                partition_answer(PartitionState::Released),
            ],
            extra: extra(),
        }),
    ]
}

fn reports() -> Vec<Message> {
    let consumer = ConsumerId(3);
    vec![
        Message::from(Report {
            consumer,
            incarnation: INCARNATION,
            reported_at_ms: 1_700_000_000_000,
            interval_ms: 1_000,
            busy_permille: 250,
            buffered_bytes: 1 << 20,
            partitions: vec![PartitionReport {
                partition: TopicPartition::new("orders", 7),
                position: 12,
                stored: 10,
                high_watermark: Some(13),
                records: 4,
                bytes: 1_200,
                rows_stored: 10,
                dead_letters: 1,
                latency_max_ms: Some(900),
            }],
            extra: extra(),
        }),
        Message::from(Notice {
            consumer,
            incarnation: INCARNATION,
            class: NoticeClass::Gap,
            partition: Some(TopicPartition::new("orders", 7)),
            from: Some(3),
            to: Some(9),
            text: "retention removed 6 offsets".into(),
            extra: extra(),
        }),
        Message::from(Refused {
            consumer,
            incarnation: INCARNATION,
            class: RefusalClass::StaleGeneration,
            event_type: "Assign".into(),
            controller_partition: 3,
            controller_offset: 99,
            text: "generation 16 is over".into(),
            extra: extra(),
        }),
    ]
}

fn samples() -> Vec<Message> {
    [commands(), operations(), states(), reports()].concat()
}

fn golden_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Vec<u8> {
    let digits = text.trim().as_bytes();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

#[test]
fn every_kind_keeps_its_bytes() {
    let samples = samples();
    for kind in Kind::ALL {
        assert!(samples.iter().any(|sample| sample.kind() == *kind), "{kind:?} has no sample");
    }
    for sample in samples {
        let path = golden_folder().join(format!("{}.1.hex", sample.kind().name()));
        if std::env::var_os("UPDATE_GOLDEN").is_some() && !path.exists() {
            fs::write(&path, to_hex(&sample.encode()) + "\n").unwrap();
        }
        let golden = fs::read_to_string(&path).unwrap_or_else(|_| panic!("{path:?} is missing"));
        assert_eq!(to_hex(&sample.encode()), golden.trim(), "{:?} changed", sample.kind());
        let decoded = decode(Some(sample.kind().name()), &from_hex(&golden)).unwrap();
        assert_eq!(decoded, sample);
    }
}

#[test]
fn the_schema_alone_names_the_kind_but_a_header_may_not_contradict_it() {
    let bytes = commands()[0].encode();
    assert_eq!(decode(None, &bytes).unwrap(), commands()[0]);
    let error = decode(Some("Assign"), &bytes).unwrap_err();
    assert!(matches!(error, DecodeError::Mismatch { .. }), "{error}");
}

#[test]
fn people_may_write_json() {
    let json = br#"{"event_type": "StopConsuming", "topic": "orders", "partitions": [3]}"#;
    let expected =
        StopConsuming { topic: "orders".into(), partitions: vec![3], extra: Extra::new() };
    assert_eq!(decode(None, json).unwrap(), Message::from(expected.clone()));
    let pause = Pause { scaling: Scaling::In, extra: Extra::new() };
    let json_pause = br#"{"event_type": "Pause", "scaling": "In"}"#;
    assert_eq!(decode(None, json_pause).unwrap(), Message::from(pause));
    let all = Resume { scaling: Scaling::All, extra: Extra::new() };
    assert_eq!(decode(None, br#"{"event_type": "Resume"}"#).unwrap(), Message::from(all));
    let with_header = br#" {"topic": "orders", "partitions": [3]}"#;
    assert_eq!(decode(Some("StopConsuming"), with_header).unwrap(), Message::from(expected));
}

#[test]
fn what_is_no_message_is_refused_by_name() {
    let said = |event_type, payload: &[u8]| decode(event_type, payload).unwrap_err().to_string();
    assert_eq!(said(None, b""), "a message without a value");
    assert_eq!(said(None, br#"{"event_type":"Dance"}"#), "unknown kind `Dance`");
    assert!(said(None, b"{}").contains("needs its kind"));
    assert!(said(None, b"\xC3\x01").contains("neither Avro"));
    assert!(said(None, b"\xC3\x0100000000").contains("fingerprint 3030303030303030"));
    assert!(
        said(Some("StopConsuming"), br#"{"tropic":"orders"}"#).contains("StopConsuming as JSON")
    );
    let mut long = commands()[0].encode();
    long.push(0);
    assert_eq!(said(None, &long), "1 bytes follow the end of LeaderStarted");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Bytes damaged in any way end as a message or an error, never as a panic.
    #[test]
    fn damaged_bytes_never_panic(
        index in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let samples = samples();
        let mut bytes = index.get(&samples).encode();
        let at = 10 + at.index(bytes.len() - 10);
        bytes[at] = byte;
        let _ = decode(None, &bytes);
        bytes.truncate(cut.index(bytes.len() + 1));
        prop_assert!(bytes.len() >= 10 || decode(None, &bytes).is_err());
        let _ = decode(None, &bytes);
    }

    /// Arbitrary bytes after a valid header never panic either, and never allocate what they claim.
    #[test]
    fn arbitrary_bytes_never_panic(
        index in any::<prop::sample::Index>(),
        tail in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let samples = samples();
        let mut bytes = index.get(&samples).encode()[..10].to_vec();
        bytes.extend(tail);
        let _ = decode(None, &bytes);
    }
}
