//! Each deliberate corruption of a correct lake is found, and called by its name.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod small;
#[path = "small/topics.rs"]
mod topics;

use std::fs;
use std::time::Duration;

use e2e::latency;
use e2e::verify::check::Request;
use e2e::verify::compare::Counts;
use e2e::verify::report::TopicReport;
use e2e::verify::wait::until_stored;
use small::{Object, Small};
use topics::{DEAD, TOPIC, timestamp};

const SOUND: Counts = Counts {
    produced: 11,
    stored: 10,
    dead_lettered: 1,
    unparsed: 1,
    lost: 0,
    pending: 0,
    duplicated: 0,
    out_of_order: 0,
    corrupted: 0,
    beyond: 0,
    expired: 0,
};

/// The report after `corrupt` changed what is written, or what it is compared with.
fn after(corrupt: impl FnOnce(&mut Small)) -> TopicReport {
    let mut small = Small::new();
    corrupt(&mut small);
    small.write();
    small.verify()
}

fn assert_found(report: &TopicReport, counts: Counts, problem: &str) {
    assert_eq!(report.counts, counts, "{report:?}");
    assert!(!report.is_sound());
    match problem {
        "" => assert_eq!(report.chain_problems, Vec::<String>::new()),
        _ => {
            let found = report.chain_problems.iter().any(|found| found.contains(problem));
            assert!(found, "{problem}: {:?}", report.chain_problems);
        }
    }
}

#[test]
fn a_correct_lake_is_sound() {
    let report = after(|_| ());
    assert_eq!(report.counts, SOUND, "{report:?}");
    assert!(report.is_sound(), "{report:?}");
    assert_eq!(report.objects, 3);
}

#[test]
fn a_deleted_object_is_found() {
    let middle = after(|small| drop(small.objects.remove(1)));
    assert_found(
        &middle,
        Counts { stored: 7, lost: 3, pending: 3, unparsed: 0, ..SOUND },
        "a hole after 4",
    );
    let last = after(|small| drop(small.objects.remove(2)));
    assert_found(&last, Counts { stored: 7, lost: 3, pending: 3, ..SOUND }, "");
    let first = after(|small| drop(small.objects.remove(0)));
    assert_found(&first, Counts { stored: 6, lost: 4, pending: 4, ..SOUND }, "chain begins at 4");
}

#[test]
fn a_duplicated_row_is_found() {
    let within = after(|small| {
        let row = small.objects[0].rows[1].clone();
        small.objects[0].rows.insert(1, row);
    });
    assert_found(&within, Counts { duplicated: 1, ..SOUND }, "");
    let elsewhere = after(|small| {
        let row = small.objects[0].rows[1].clone();
        small.objects[2].rows.push(row);
    });
    assert_found(&elsewhere, Counts { duplicated: 1, ..SOUND }, "1 rows outside its range");
}

#[test]
fn a_whole_object_stored_twice_is_found() {
    let overlap = after(|small| {
        let rows = small.objects[0].rows[2..].to_vec();
        small.objects.push(Object { from: 2, rows, ..small.objects[0].clone() });
    });
    assert_found(&overlap, Counts { duplicated: 2, ..SOUND }, "overlaps what ends at 4");
}

#[test]
fn every_changed_part_of_a_row_is_found() {
    type Change = fn(&mut small::Row);
    let changes: [(&str, Change); 10] = [
        ("a float", |row| row.amount = Some(9.500_000_000_000_002)),
        ("an integer", |row| row.count = row.count.map(|count| count - 1)),
        ("a nested text", |row| row.city = Some("Zoe 9".into())),
        ("an absent struct", |row| row.city = None),
        ("an element of a list", |row| row.prices = Some(vec![Some(10.0), Some(0.0), Some(2.25)])),
        ("a shorter list", |row| row.prices = Some(vec![Some(10.0), None])),
        ("a key", |row| row.key = Some(b"k90".to_vec())),
        ("no key", |row| row.key = None),
        ("a time", |row| row.time_shift = 1),
        ("a partition", |row| row.partition = 1),
    ];
    for (what, change) in changes {
        let report = after(|small| change(&mut small.objects[2].rows[0]));
        assert_eq!(report.counts, Counts { corrupted: 1, ..SOUND }, "{what}: {report:?}");
    }
}

#[test]
fn a_row_of_the_wrong_kind_is_found() {
    let corrupted = Counts { corrupted: 1, ..SOUND };
    let tombstone = after(|small| small.objects[0].rows[3].tombstone = false);
    assert_found(&tombstone, corrupted, "");
    let text =
        after(|small| small.objects[1].rows[2].unparsed = Some("{\"amount\":\"much\"}".into()));
    assert_found(&text, corrupted, "");
    let both = after(|small| small.objects[1].rows[2].amount = Some(1.0));
    assert_found(&both, corrupted, "");
    let dead = after(|small| small.objects[0].rows[0].tombstone = true);
    assert_found(&dead, corrupted, "");
}

#[test]
fn rows_in_another_order_are_found() {
    let report = after(|small| small.objects[0].rows.swap(0, 2));
    assert_found(&report, Counts { out_of_order: 2, ..SOUND }, "");
}

#[test]
fn a_forged_row_is_found() {
    let report = after(|small| {
        let forged = small::Row { offset: 5, ..small.objects[1].rows[0].clone() };
        small.objects[1].rows.insert(1, forged);
    });
    assert_found(&report, Counts { beyond: 1, ..SOUND }, "");
    let mut small = Small::new();
    let path = small.objects[0].write(small.folder.path());
    fs::copy(path, small.folder.path().join("sales/more.parquet")).unwrap();
    assert_found(&small.verify(), SOUND, "sales/more.parquet: belongs to no partition's chain");
}

#[test]
fn a_row_that_is_missing_from_its_object_is_found() {
    let report = after(|small| drop(small.objects[1].rows.remove(0)));
    assert_found(&report, Counts { stored: 9, lost: 1, ..SOUND }, "");
}

#[test]
fn an_object_of_a_fenced_writer_is_found() {
    let report = after(|small| small.objects[1].term = "9.9");
    assert_found(&report, SOUND, "written under term 3.7, after one of term 9.9");
}

#[test]
fn a_damaged_object_is_found() {
    let mut small = Small::new();
    let path = small.folder.path().join(small.objects[1].path());
    let mut bytes = fs::read(&path).unwrap();
    let cut = bytes.len() - 40;
    bytes.truncate(cut);
    fs::write(&path, bytes).unwrap();
    let lost = Counts { stored: 7, lost: 3, pending: 3, unparsed: 0, ..SOUND };
    assert_found(&small.verify(), lost, "no readable Parquet footer");
}

#[test]
fn a_dead_letter_that_is_missing_or_changed_is_found() {
    let key = (DEAD.to_owned(), 0);
    let missing = after(|small| small.topics.partitions.get_mut(&key).unwrap().clear());
    assert_found(&missing, Counts { dead_lettered: 0, lost: 1, ..SOUND }, "");
    let changed = after(|small| {
        small.topics.partitions.get_mut(&key).unwrap()[0].value = Some(b"{not jsom".to_vec());
    });
    assert_found(&changed, Counts { corrupted: 1, ..SOUND }, "");
}

#[test]
fn records_that_retention_removed_are_no_fault() {
    let report = after(|small| {
        let records = small.topics.partitions.get_mut(&(TOPIC.to_owned(), 0)).unwrap();
        records.retain(|record| record.offset >= 4);
        small.topics.log_start = 4;
    });
    assert_eq!(report.counts, Counts { produced: 7, stored: 6, expired: 4, ..SOUND });
    assert!(report.is_sound());
}

#[test]
fn waiting_ends_when_the_chain_covers_every_record_and_not_before() {
    let mut small = Small::new();
    let request = Request { topics: vec![TOPIC.into()], dead_letter_topic: None };
    let lake = small.lake();
    let stored = |small: &mut Small| {
        until_stored(&mut small.topics, &lake, &request, Duration::ZERO).unwrap()
    };
    assert!(stored(&mut small), "the marker after the last record needs no object");
    let last = small.objects.remove(1);
    small.write();
    assert!(!stored(&mut small), "a hole is not covered by what follows it");
    small.objects.insert(1, last);
    small.write();
    assert!(stored(&mut small));
}

#[test]
fn latency_runs_from_the_record_to_its_file() {
    let small = Small::new();
    let latency = latency::measure(&small.lake(), &[TOPIC.to_owned()]).unwrap();
    let path = small.folder.path().join(small.objects[0].path());
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    let modified = modified.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
    let expected = u64::try_from(modified).unwrap() - u64::try_from(timestamp(0)).unwrap();
    assert_eq!(latency.records, 10);
    assert!(latency.max.abs_diff(expected) < 2_000, "{latency:?}, expected about {expected}");
    assert_eq!(latency::measure(&small.lake(), &["other".to_owned()]).unwrap().records, 0);
}
