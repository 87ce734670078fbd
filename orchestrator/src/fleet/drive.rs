//! IO. Passes commands to a fleet driver and what it sees to the main loop, until both end.

use common::shutdown::Shutdown;
use tokio::sync::mpsc;

use super::{FleetCommand, FleetDriver, FleetEvent};

/// Runs until `commands` closes, or until `stop` is requested: then every workload is ended first.
pub async fn drive<D: FleetDriver>(
    mut driver: D,
    mut commands: mpsc::Receiver<FleetCommand>,
    events: mpsc::Sender<FleetEvent>,
    stop: Shutdown,
) {
    loop {
        // Commands first: a consumer that was told to end must not be taken for one that crashed.
        tokio::select! {
            biased;
            () = stop.requested() => {
                driver.shut_down().await;
                return;
            }
            command = commands.recv() => match command {
                Some(command) => driver.command(command).await,
                None => return,
            },
            event = driver.observe() => {
                // Nobody listens any more: the process ends, and so do its consumers.
                if events.send(event).await.is_err() {
                    stop.request();
                }
            }
        }
    }
}
