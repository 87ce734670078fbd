//! IO. One turn: asks the brokers, measures and publishes.

use std::collections::BTreeSet;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use common::chain::Chain;
use common::http::Readiness;
use common::messages::measurement::PartitionMeasurement;
use common::moment::{Moment, Timestamp};
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::brokers::{Brokers, Change};
use crate::catalog::{BrokerId, Catalog};
use crate::follow::Catalogs;
use crate::log_dirs::{Answer, BrokerClient, LogDirsError};
use crate::measure::{Meters, Noticed, Reading, Volume};
use crate::metrics::{CatalogSeries, MonitorMetrics};
use crate::offsets::{self, OffsetsClient};
use crate::publish::Publisher;
use crate::report::{Reporter, bytes_per_day};

/// A monitor that cannot publish for so long is not ready.
const LATE_AFTER: Duration = Duration::from_secs(3);

/// What the turns work with.
pub struct Turns {
    pub sources: Sources,
    pub meters: Meters,
    pub reporter: Reporter,
    pub publisher: Publisher,
    pub outlook: Outlook,
    pub interval: Duration,
}

/// Whom to ask, and how they fared so far.
pub struct Sources {
    pub catalogs: Catalogs,
    pub client: Arc<BrokerClient>,
    pub offsets: OffsetsClient,
    pub brokers: Brokers,
    /// Bytes that a record is taken for where sizes may not be asked for.
    pub record_bytes: u64,
    /// Reads the clock.
    pub now: fn() -> Moment,
}

/// What the outside sees beside the measurements.
pub struct Outlook {
    pub metrics: MonitorMetrics,
    pub series: CatalogSeries,
    pub readiness: watch::Sender<Readiness>,
    /// Whether the last turn got all offsets.
    pub has_offsets: bool,
    /// Whether the last measurement was published; nothing before the first.
    pub has_published: Option<bool>,
}

impl Turns {
    /// Goes over to the topics, partitions and leaders last told of, if they changed.
    pub fn follow(&mut self, is_first: bool) {
        if !is_first && !self.sources.catalogs.has_changed().unwrap_or(false) {
            return;
        }
        let catalog = Arc::clone(&self.sources.catalogs.borrow_and_update());
        self.sources.brokers.retain(&catalog.by_leader().into_keys().collect());
        self.outlook.series.adopt(&catalog);
        self.meters.adopt(catalog);
    }

    /// Asks, measures and publishes once.
    pub async fn turn(&mut self, measured_at: Timestamp) {
        let catalog = Arc::clone(self.meters.catalog());
        let (offsets, sizes) = self.sources.ask(&catalog).await;
        let volumes = self.sources.volumes(&catalog, sizes, &self.outlook);
        self.outlook.note_offsets(&offsets);
        for (index, volume) in volumes.into_iter().enumerate() {
            let reading = Reading { volume, offsets: offsets.offsets[index] };
            match self.meters.take(index, &reading) {
                Some(Noticed::Shrunk) => self.outlook.metrics.log_shrinks.inc(),
                Some(Noticed::LeaderChanged) => self.outlook.metrics.leader_changes.inc(),
                None => 0,
            };
        }
        self.publish(measured_at).await;
    }

    async fn publish(&mut self, measured_at: Timestamp) {
        let measured: Vec<PartitionMeasurement> = self.meters.measurements().collect();
        self.outlook.series.show(measured.iter());
        let chunks = self.reporter.report(measured_at, measured.into_iter());
        let publishing = pin!(self.publisher.publish(&chunks));
        match self.outlook.watch_over(publishing).await {
            Ok(bytes) => self.outlook.published(bytes, self.interval),
            Err(error) => self.outlook.unpublished(&Chain(&error)),
        }
    }
}

impl Sources {
    async fn ask(&mut self, catalog: &Arc<Catalog>) -> (offsets::Answer, Vec<Answer>) {
        let now = (self.now)();
        let leaders = catalog.by_leader().into_keys();
        let (resting, asked): (Vec<BrokerId>, Vec<BrokerId>) =
            leaders.partition(|broker| self.brokers.is_resting(*broker, now));
        // One that only refuses to tell sizes answers all else.
        let is_away = |broker: &BrokerId| !self.brokers.is_refused(*broker);
        let away: BTreeSet<BrokerId> = resting.into_iter().filter(is_away).collect();
        tokio::join!(self.offsets.read(catalog, away), self.client.sizes(&asked, self.now))
    }

    /// What each partition holds, as far as its leader said so, by index.
    fn volumes(
        &mut self,
        catalog: &Catalog,
        answers: Vec<Answer>,
        outlook: &Outlook,
    ) -> Vec<Option<Volume>> {
        let mut volumes = vec![None; catalog.len()];
        for Answer { broker, at, sizes } in answers {
            let change = match &sizes {
                Ok(_) => self.brokers.answered(broker),
                Err(LogDirsError::Refused { .. }) => self.brokers.refused(broker, at),
                Err(_) => self.brokers.failed(broker, at),
            };
            outlook.note_broker(broker, change, sizes.as_ref().err());
            for (partition, bytes) in sizes.into_iter().flat_map(|log_dirs| log_dirs.sizes) {
                let index = catalog.index(partition.topic(), partition.partition());
                let is_led = |index: &usize| catalog.entry(*index).leader == Some(broker);
                if let Some(index) = index.filter(is_led) {
                    volumes[index] = Some(Volume::Measured { at, bytes });
                }
            }
        }
        let counted = Volume::Counted { at: (self.now)(), record_bytes: self.record_bytes };
        for (volume, entry) in volumes.iter_mut().zip(catalog.entries()) {
            if entry.leader.is_some_and(|leader| self.brokers.is_refused(leader)) {
                *volume = Some(counted);
            }
        }
        volumes
    }
}

impl Outlook {
    /// Waits for a measurement to be published, and says so when it takes long: a broker that is
    /// away is waited for.
    async fn watch_over<T>(&self, mut publishing: Pin<&mut impl Future<Output = T>>) -> T {
        match timeout(LATE_AFTER, publishing.as_mut()).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let reason = format!("a measurement waits for more than {LATE_AFTER:?}");
                self.readiness.send_replace(Readiness::not_ready(reason));
                publishing.await
            }
        }
    }

    fn note_broker(&self, broker: BrokerId, change: Change, error: Option<&LogDirsError>) {
        let is_refused = matches!(error, Some(LogDirsError::Refused { .. }));
        if error.is_some() && !is_refused {
            self.metrics.sizes_failed(broker);
        }
        match (change, error) {
            (Change::Failed, Some(error)) => {
                warn!(error = %Chain(error), "partitions of a broker are stale");
            }
            (Change::Refused, Some(error)) => {
                self.metrics.set_refused(broker, true);
                let error = Chain(error);
                warn!(%error, "rates are estimated by offsets, as sizes may not be asked for");
            }
            (Change::Recovered, _) => {
                self.metrics.set_refused(broker, false);
                info!(broker = broker.0, "a broker told sizes again");
            }
            (Change::None | Change::Failed | Change::Refused, _) => {}
        }
    }

    fn note_offsets(&mut self, offsets: &offsets::Answer) {
        let failures = u64::try_from(offsets.errors.len()).unwrap_or(u64::MAX);
        self.metrics.offsets_failures.inc_by(failures);
        let has_offsets = offsets.errors.is_empty();
        match offsets.errors.first() {
            Some(error) if self.has_offsets => {
                warn!(error = %Chain(error), failures, "lag counts on from the last known offsets");
            }
            None if !self.has_offsets => info!("all offsets were answered again"),
            Some(_) | None => {}
        }
        self.has_offsets = has_offsets;
    }

    fn published(&mut self, bytes: usize, interval: Duration) {
        self.metrics.published.inc();
        self.metrics.published_bytes.inc_by(u64::try_from(bytes).unwrap_or(u64::MAX));
        match self.has_published {
            None => {
                let bytes_per_day = bytes_per_day(bytes, interval);
                info!(bytes, bytes_per_day, "published; so much a day at most, uncompressed");
            }
            Some(false) => info!("published again"),
            Some(true) => {}
        }
        self.has_published = Some(true);
        self.readiness.send_replace(Readiness::Ready);
    }

    fn unpublished(&mut self, error: &Chain<'_>) {
        self.metrics.publish_failures.inc();
        if self.has_published != Some(false) {
            warn!(%error, "a measurement was left out");
        }
        self.has_published = self.has_published.map(|_| false);
        self.readiness.send_replace(Readiness::not_ready(error.to_string()));
    }
}
