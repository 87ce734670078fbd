//! What the writers of a table must agree on: that names are given once, whose it is, and its columns.

use std::sync::Arc;

use common::identity::TableId;
use consumer::sink::SinkError;
use consumer::sink::probe::{ProbeError, probe};
use consumer::sink::store::Store;
use consumer::table::claim::{Owner, claim};
use consumer::table::schema::{Column, ColumnType};
use consumer::table::schema_chain::SchemaChain;
use futures::TryStreamExt as _;
use object_store::memory::InMemory;
use object_store::{ObjectMeta, ObjectStore as _};
use uuid::Uuid;

use crate::faulty::{Faults, Faulty};
use crate::owner::retry;

fn owner(group: &str) -> Owner {
    Owner { group: group.into(), cluster_id: "c".into() }
}

fn id(number: u128) -> TableId {
    TableId(Uuid::from_u128(number))
}

fn column(name: &str, kind: ColumnType) -> Column {
    Column { name: name.into(), field: Some(name.into()), kind }
}

/// A store that ignores the condition of a put is no sink; one that honours it is left as it was.
#[tokio::test(start_paused = true)]
async fn a_store_that_overwrites_is_refused() {
    let objects = Arc::new(InMemory::new());
    let store = Faulty::new(Arc::clone(&objects), Faults::default(), 0);
    probe(&Store::over(Arc::new(store.clone())), "n").await.unwrap();
    let left: Vec<ObjectMeta> = objects.list(None).try_collect().await.unwrap();
    assert!(left.is_empty(), "{left:?}");
    let mut careless = store;
    careless.overwrites = true;
    let refused = probe(&Store::over(Arc::new(careless)), "n").await.unwrap_err();
    assert!(matches!(refused, ProbeError::Unconditional { winners: 8 }), "{refused:?}");
}

/// The first group's claim holds for good, and names itself to the others.
#[tokio::test(start_paused = true)]
async fn a_table_belongs_to_the_first_group() {
    let faults = Faults { answer_lost: 100, ..Faults::default() };
    let objects = Arc::new(InMemory::new());
    let losing = Store::over(Arc::new(Faulty::new(Arc::clone(&objects), faults, 0)));
    claim(&losing, "t", &owner("one"), id(1)).await.unwrap_err();
    let store = Store::over(Arc::new(Faulty::new(objects, Faults::default(), 0)));
    assert_eq!(claim(&store, "t", &owner("one"), id(2)).await.unwrap(), id(1));
    let refused = claim(&store, "t", &owner("two"), id(3)).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "table `t` cannot be used: it was claimed by the group `one` of the Kafka cluster `c`, not by `two` of `c`"
    );
}

/// Two processes that widen a table at once end with the same columns, each with its first type.
#[tokio::test(start_paused = true)]
async fn schemas_that_grow_apart_meet_again() {
    for seed in 0..50 {
        let objects = Arc::new(InMemory::new());
        let faults = Faults { refused: 20, answer_lost: 30, delayed: 20 };
        let chain = async |seed| {
            let store = Store::over(Arc::new(Faulty::new(Arc::clone(&objects), faults, seed)));
            retry(async || SchemaChain::load("t", store.clone()).await).await
        };
        let (one, other) = (chain(2 * seed).await.unwrap(), chain(2 * seed + 1).await.unwrap());
        let grow = async |chain: &SchemaChain, name: &str, kind: ColumnType| {
            for number in 0..3 {
                let wanted = [
                    column("same", kind.clone()),
                    column(&format!("{name}{number}"), kind.clone()),
                ];
                retry(async || chain.widen(&wanted).await).await.unwrap();
            }
        };
        tokio::join!(grow(&one, "a", ColumnType::Text), grow(&other, "b", ColumnType::Integer));
        let last = chain(99).await.unwrap().current();
        assert_eq!(last.columns.len(), 7, "seed {seed}: {last:?}");
        let same = last.columns.iter().filter(|column| column.name.starts_with("same")).count();
        assert_eq!(same, 1, "seed {seed}: {last:?}");
        let versions: Vec<ObjectMeta> = objects.list(None).try_collect().await.unwrap();
        assert_eq!(versions.len(), usize::try_from(last.version).unwrap(), "seed {seed}");
        for chain in [one, other] {
            let known = chain.current();
            assert_eq!(known.columns[..], last.columns[..known.columns.len()], "seed {seed}");
        }
    }
}

/// A schema that was damaged by hand is refused, not overwritten.
#[tokio::test(start_paused = true)]
async fn a_damaged_schema_is_refused() {
    let store = Store::over(Arc::new(InMemory::new()));
    store.put_new("t/_schema/1.json", r#"{"version":2,"columns":[]}"#.into()).await.unwrap();
    let refused = SchemaChain::load("t", store).await.unwrap_err();
    assert!(matches!(refused, SinkError::Refused { .. }), "{refused:?}");
    assert!(
        refused.to_string().contains("`t/_schema/1.json` says that it is version 2"),
        "{refused}"
    );
}
