//! IO. What a fault does to a call before and after it is applied: waits, silence, resets.

use std::future::pending;
use std::time::Duration;

use tokio::time::sleep;

use crate::fault::Action;
use crate::socket::Wire;

/// The call was applied, and its answer is not to arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost;

pub async fn before(action: Option<&Action>, wire: &Wire) {
    match action {
        Some(Action::Delay { ms }) => sleep(Duration::from_millis(*ms)).await,
        Some(Action::ResetBefore) => cut(wire).await,
        _ => {}
    }
}

pub async fn after(action: Option<&Action>, wire: &Wire) -> Result<(), Lost> {
    match action {
        Some(Action::DelayAfter { ms }) => sleep(Duration::from_millis(*ms)).await,
        Some(Action::Hang) => pending().await,
        Some(Action::Reset) => cut(wire).await,
        Some(Action::Lose) => return Err(Lost),
        _ => {}
    }
    Ok(())
}

/// Ends with the connection.
async fn cut(wire: &Wire) {
    wire.cut();
    pending().await
}
