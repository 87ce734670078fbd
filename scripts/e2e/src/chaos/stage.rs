//! IO. Everything that faults are done to: broker, proxy, services, folders, topics.

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, anyhow};
use common::chain::Chain;
use common::kafka::config::KafkaConfig;
use common::kafka::config_file;
use rustix::fs::{FlockOperation, flock};

use super::crew::Crew;
use super::fault::{Kind, SinkKind};
use super::leftovers;
use super::letters::Letters;
use super::proxy::Proxy;
use super::room::Room;
use super::sight::Sight;
use crate::bigquery::history::History;
use crate::clients::create_topic;
use crate::harness::bigquery::LocalBigQuery;
use crate::harness::kafka::LocalKafka;
use crate::harness::system::SystemPlan;
use crate::watch::follow::Follower;

/// Neither those that `kafka.sh` chooses from, nor those that the kernel gives to whoever asks.
const PORTS: std::ops::Range<u16> = 23_000..32_000;
/// The broker's own, its controller's, and the one behind the proxy.
const PORTS_NEEDED: u16 = 3;

/// What runs before any consumer does.
pub struct Ground {
    pub kafka: LocalKafka,
    pub config: KafkaConfig,
    pub proxy: Proxy,
    /// For volumes, and for the lake; `None` where mounts are not permitted.
    pub rooms: Option<(Room, Room)>,
    pub refused: Option<String>,
    pub sink: SinkKind,
    /// With what its log said so far; `None` where rows go to the lake.
    bigquery: Option<(LocalBigQuery, Mutex<History>)>,
    _ports: File,
}

/// The whole system, and what is known of it. Fields are dropped in this order.
pub struct Stage {
    pub plan: SystemPlan,
    pub crew: Mutex<Crew>,
    pub follower: Follower<Sight>,
    pub letters: Letters,
    /// Processes that something is being done to.
    pub busy: Mutex<BTreeSet<u32>>,
    pub left_out: Mutex<Vec<(Kind, String)>>,
    pub ground: Ground,
}

impl Ground {
    /// Starts the broker with a second listener, which it advertises as the proxy.
    pub fn prepare(folder: &Path, sink: SinkKind) -> anyhow::Result<Self> {
        let (state, lake) = (folder.join("state"), folder.join("lake"));
        for folder in [&state, &lake, &folder.join("crash-points")] {
            fs::create_dir_all(folder)
                .with_context(|| format!("failed to create {}", folder.display()))?;
        }
        let (rooms, refused) = match rooms(&state, &lake) {
            Ok(rooms) => (Some(rooms), None),
            Err(error) => (None, Some(Chain(&*error).to_string())),
        };
        let bigquery = match sink {
            SinkKind::Parquet => None,
            SinkKind::BigQuery => Some(LocalBigQuery::start(folder, "chaos")?),
        };
        let bigquery = bigquery.map(|local| (local, Mutex::default()));
        let (port, ports) = free_ports()?;
        let behind = SocketAddr::from(([127, 0, 0, 1], port + 2));
        let proxy = Proxy::start(behind).context("failed to start the proxy")?;
        let extra = folder.join("broker.properties");
        fs::write(&extra, listeners(port, proxy.address().port()))?;
        let run = folder.join("kafka");
        let kafka = LocalKafka::start(&run, &port.to_string(), Some(&extra))?;
        let config = config_file::load(kafka.servers(), None)?;
        Ok(Self { kafka, config, proxy, rooms, refused, sink, bigquery, _ports: ports })
    }

    /// What the services are given as the broker.
    pub fn services_servers(&self) -> String {
        self.proxy.address().to_string()
    }

    /// The kinds of faults that can be done here.
    pub fn kinds(&self) -> Vec<Kind> {
        let can_be = |kind: &Kind| self.rooms.is_some() || !kind.needs_mounts();
        let ours = Kind::ALL.into_iter().filter(|kind| kind.is_of(self.sink));
        ours.filter(can_be).collect()
    }

    /// The others, and why not.
    pub fn left_out(&self) -> Vec<(Kind, String)> {
        let refused = self.refused.iter();
        let of = |why: &String| {
            let kinds =
                Kind::ALL.into_iter().filter(|kind| kind.is_of(self.sink) && kind.needs_mounts());
            kinds.map(|kind| (kind, why.clone())).collect::<Vec<_>>()
        };
        refused.flat_map(of).collect()
    }

    pub fn create_topic(&self, topic: &str, partitions: u32) -> anyhow::Result<()> {
        create_topic(&self.config, topic, partitions)
    }

    pub fn volumes(&self) -> anyhow::Result<&Room> {
        self.rooms.as_ref().map(|(volumes, _)| volumes).context("mounts are not permitted here")
    }

    pub fn bigquery(&self) -> anyhow::Result<&LocalBigQuery> {
        self.bigquery.as_ref().map(|(local, _)| local).context("rows go to the lake")
    }

    /// What BigQuery's log said so far.
    pub fn history(&self) -> anyhow::Result<MutexGuard<'_, History>> {
        let (_, history) = self.bigquery.as_ref().context("rows go to the lake")?;
        Ok(history.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads what BigQuery's log has that is new, where there is one.
    pub fn follow_sink(&self) -> anyhow::Result<()> {
        if self.sink == SinkKind::BigQuery {
            self.bigquery()?.follow(&mut *self.history()?)?;
        }
        Ok(())
    }

    pub fn sink(&self) -> anyhow::Result<&Room> {
        self.rooms.as_ref().map(|(_, sink)| sink).context("mounts are not permitted here")
    }
}

impl Stage {
    pub fn crew(&self) -> MutexGuard<'_, Crew> {
        self.crew.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn busy(&self) -> MutexGuard<'_, BTreeSet<u32>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn left_out(&self) -> MutexGuard<'_, Vec<(Kind, String)>> {
        self.left_out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn leave_out(&self, kind: Kind, why: String) {
        self.left_out().push((kind, why));
    }
}

/// A run that was broken off leaves nobody behind.
impl Drop for Stage {
    fn drop(&mut self) {
        self.crew().abandon();
        leftovers::kill(&self.plan);
    }
}

fn rooms(state: &Path, lake: &Path) -> anyhow::Result<(Room, Room)> {
    let rooms = (Room::open(state)?, Room::open(lake)?);
    // What cannot be undone later is found out now.
    rooms.1.seal()?;
    rooms.1.unseal()?;
    rooms.1.make_room()?;
    Ok(rooms)
}

fn listeners(port: u16, proxy: u16) -> String {
    let (controller, behind) = (port + 1, port + 2);
    let all = |services: u16| {
        format!(
            "PLAINTEXT://127.0.0.1:{port},SERVICES://127.0.0.1:{services},CONTROLLER://127.0.0.1:{controller}"
        )
    };
    let protocols = "PLAINTEXT:PLAINTEXT,SERVICES:PLAINTEXT,CONTROLLER:PLAINTEXT";
    format!(
        "listeners={}\nadvertised.listeners={}\nlistener.security.protocol.map={protocols}\n",
        all(behind),
        all(proxy)
    )
}

/// The first of some ports in a row that nobody listens on. They are this run's while it holds the
/// file: when its broker is down they look free to another run.
fn free_ports() -> anyhow::Result<(u16, File)> {
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    for first in PORTS.step_by(10) {
        let path = env::temp_dir().join(format!("stowage-chaos-{first}.lock"));
        let lock =
            File::create(&path).with_context(|| format!("failed to create {}", path.display()))?;
        let is_ours = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
        if is_ours && (first..first + PORTS_NEEDED).all(is_free) {
            return Ok((first, lock));
        }
    }
    Err(anyhow!("no port is free from {} on", PORTS.start))
}
