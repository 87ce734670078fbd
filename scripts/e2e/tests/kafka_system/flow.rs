//! A load that goes on until the test has seen what it waits for.

use std::thread::{JoinHandle, spawn};

use common::clock::Clock;
use common::shutdown::Shutdown;
use e2e::load::produce::{Load, LoadPlan, Summary};

use crate::stage::{Stage, steady};

pub(crate) struct Flow {
    shutdown: Shutdown,
    thread: Option<JoinHandle<Summary>>,
}

impl Flow {
    /// Writes `rate` bytes per second to the first `partitions` of the topic.
    pub(crate) fn start(stage: &Stage, topic: &str, partitions: u32, rate: u64) -> Self {
        Self::of(stage, steady(topic, partitions, rate, 30))
    }

    /// Writes as planned, but until it is ended.
    pub(crate) fn of(stage: &Stage, plan: LoadPlan) -> Self {
        let plan = LoadPlan { duration: None, ..plan };
        let load = Load::new(stage.kafka(), plan).unwrap();
        let shutdown = Shutdown::manual();
        let until = shutdown.clone();
        let thread = spawn(move || load.run(Clock, &until).unwrap());
        Self { shutdown, thread: Some(thread) }
    }

    /// Ends it; every record was acknowledged.
    pub(crate) fn stop(mut self) -> Summary {
        self.shutdown.request();
        let summary = self.thread.take().unwrap().join().unwrap();
        assert_eq!((summary.failed, summary.acknowledged), (0, summary.records), "{summary:?}");
        summary
    }
}

/// A test that failed writes no more.
impl Drop for Flow {
    fn drop(&mut self) {
        self.shutdown.request();
        if let Some(thread) = self.thread.take() {
            // The test has failed already.
            let _ = thread.join();
        }
    }
}
