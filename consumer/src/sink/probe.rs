//! IO. Finds out at start whether the store refuses to write a name twice: everything rests on it.

use futures::future::join_all;

use super::store::{Put, Store, StoreError};

/// Writers that race for one name.
const WRITERS: usize = 8;

/// Why a store cannot be a sink.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("the sink cannot be written")]
    Store(#[source] StoreError),
    #[error(
        "{winners} of {WRITERS} writers of one object were told that they were the only one: this store ignores conditional writes"
    )]
    Unconditional { winners: usize },
}

/// Lets several writers race for the fresh name `_probe/<name>`; exactly one must win.
pub async fn probe(store: &Store, name: &str) -> Result<(), ProbeError> {
    let path = format!("_probe/{name}");
    let puts = (0..WRITERS).map(|writer| store.put_new(&path, writer.to_string().into()));
    let puts = join_all(puts).await;
    let found = store.read(&path).await;
    let removed = store.remove(&path).await;
    let mut winners = 0;
    for put in puts {
        winners += usize::from(put.map_err(ProbeError::Store)? == Put::Stored);
    }
    // The winner's answer was lost, and when the client asked again its own object was in the way.
    let is_unheard = winners == 0 && found.map_err(ProbeError::Store)?.is_some();
    if winners != 1 && !is_unheard {
        return Err(ProbeError::Unconditional { winners });
    }
    if let Err(error) = removed {
        tracing::debug!(path, error = %common::chain::Chain(&error), "left the probe behind");
    }
    Ok(())
}
