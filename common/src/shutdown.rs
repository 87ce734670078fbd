//! IO. Ends a process when it is asked to: the first signal asks, the second one does not wait.

use std::io;
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use thiserror::Error;
use tokio::sync::watch;
use tracing::{info, warn};

#[derive(Debug, Error)]
pub enum ShutdownError {
    #[error("failed to install the handlers of SIGTERM and SIGINT")]
    Handlers {
        #[source]
        source: io::Error,
    },
    #[error("failed to start the thread that waits for signals")]
    Thread {
        #[source]
        source: io::Error,
    },
}

/// The request that this process ends. Clones are the same request; once made it stays.
#[derive(Clone, Debug)]
pub struct Shutdown {
    requested: watch::Sender<bool>,
}

impl Shutdown {
    /// A request that only [`Shutdown::request`] makes: for tests and for parts of a process.
    pub fn manual() -> Self {
        Self { requested: watch::Sender::new(false) }
    }

    /// Also listens for SIGTERM and SIGINT. The first signal makes the request; the second ends the
    /// process at once with status 128 + its number. A request made by the program counts as none.
    pub fn install() -> Result<Self, ShutdownError> {
        let mut signals =
            Signals::new([SIGTERM, SIGINT]).map_err(|source| ShutdownError::Handlers { source })?;
        let shutdown = Self::manual();
        let on_signal = shutdown.clone();
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || on_signal.follow(&mut signals))
            .map_err(|source| ShutdownError::Thread { source })?;
        Ok(shutdown)
    }

    pub fn request(&self) {
        self.requested.send_replace(true);
    }

    pub fn is_requested(&self) -> bool {
        *self.requested.borrow()
    }

    /// Completes once the request was made, at once if it was made before.
    pub async fn requested(&self) {
        let waited = self.requested.subscribe().wait_for(|requested| *requested).await.is_ok();
        debug_assert!(waited, "self holds the sender, so that the channel is open");
    }

    fn follow(&self, signals: &mut Signals) {
        let mut signals = signals.forever();
        if let Some(signal) = signals.next() {
            info!(signal, "was asked to end");
            self.request();
        }
        if let Some(signal) = signals.next() {
            warn!(signal, "was asked to end again, ended without waiting");
            exit_by(signal);
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a second signal means: do not wait for main")]
fn exit_by(signal: i32) -> ! {
    std::process::exit(128 + signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_clone_learns_of_a_request_before_and_after_it_is_made() {
        let shutdown = Shutdown::manual();
        let waiting = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.requested().await }
        });
        assert!(!shutdown.is_requested());
        shutdown.clone().request();
        waiting.await.unwrap();
        shutdown.requested().await;
        assert!(shutdown.is_requested());
    }
}
