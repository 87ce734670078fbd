//! IO. Has a process die at a chosen place: names the place, lures somebody there, and waits.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use common::clock::Clock;
use common::partition::TopicPartition;
use rustix::process::Signal;

use super::crash_points::{Lure, choose};
use super::fault::Kind;
use super::inflict::{PATIENCE, leading, now_ms, release, victim};
use super::run::TOPIC;
use super::stage::Stage;
use crate::harness::patience::wait_until;
use crate::harness::process::signal_process;

/// Whom nobody followed is lured again.
const LURE_EVERY: Duration = Duration::from_secs(5);

/// Carries out one death from beginning to end.
pub(super) fn crash(stage: &Stage, kind: Kind, pick: u64) -> anyhow::Result<()> {
    let (point, place) = choose(kind, stage.ground.sink, pick).context("there is no such place")?;
    let folder = stage.plan.crash_points();
    let named = folder.join(&place);
    let fault = stage.follower.seen().begin(kind, now_ms());
    let begun = fs::write(&named, "").with_context(|| named.display().to_string());
    let died = begun.and_then(|()| wait_for_death(stage, point.lure, (pick, fault), &place));
    // Whoever comes there later is not meant.
    let _ = fs::remove_file(&named);
    let mut seen = stage.follower.seen();
    if let Ok(pid) = died {
        seen.owners.kill(pid, now_ms(), fault);
    }
    seen.lift(fault, now_ms(), died.is_ok());
    drop(seen);
    if point.lure == Lure::Move {
        stage.plan.tell(&["unpin", TOPIC])?;
    }
    died.map(drop)
}

fn wait_for_death(
    stage: &Stage,
    lure_by: Lure,
    (pick, fault): (u64, usize),
    place: &str,
) -> anyhow::Result<u32> {
    let mut lured = None;
    let died = || {
        if let Some(pid) = who_died(&stage.plan.crash_points(), place) {
            return Ok(Ok(pid));
        }
        let now = Clock.now();
        if lured.is_none_or(|at| now.saturating_since(at) >= LURE_EVERY) {
            lured = Some(now);
            if let Err(error) = lure(stage, lure_by, pick, fault) {
                return Ok(Err(error));
            }
        }
        Err("nobody has come there")
    };
    wait_until(&format!("somebody dies at {place}"), PATIENCE, died)?
}

/// The process whose number stands behind the name of the place.
fn who_died(folder: &Path, place: &str) -> Option<u32> {
    let names =
        fs::read_dir(folder).ok()?.filter_map(|file| file.ok()?.file_name().into_string().ok());
    let mut numbers =
        names.filter_map(|name| name.strip_prefix(place)?.strip_prefix('.')?.parse().ok());
    let pid = numbers.next()?;
    // The same place may have its turn again.
    let _ =
        fs::rename(folder.join(format!("{place}.{pid}")), folder.join(format!("{pid}.{place}")));
    Some(pid)
}

fn lure(stage: &Stage, lure: Lure, pick: u64, fault: usize) -> anyhow::Result<()> {
    match lure {
        Lure::None => Ok(()),
        Lure::Move => match another_place(stage) {
            Some((partition, consumer)) => {
                let (partition, consumer) =
                    (partition.partition().to_string(), consumer.to_string());
                let order = ["pin", TOPIC, "--partitions", &partition, "--consumer", &consumer];
                Ok(stage.plan.tell(&order)?)
            }
            // There is one consumer only.
            None => kill_consumer(stage, pick, fault),
        },
        Lure::Query => {
            // Who is asked may not live to answer.
            let _ = stage.plan.tell(&["send", "query"]);
            Ok(())
        }
        Lure::Consumer => kill_consumer(stage, pick, fault),
        Lure::Leader => {
            let seat = leading(stage)?;
            stage.crew().kill(seat, Kind::LeaderCrashPoint.absence())
        }
    }
}

/// A partition, and a consumer that does not have it.
fn another_place(stage: &Stage) -> Option<(TopicPartition, u32)> {
    let seen = stage.follower.seen();
    let mut workers = seen.fleet.workers(now_ms()).map(|(consumer, _)| consumer);
    let partition = TopicPartition::new(TOPIC, 0);
    let owner = seen.fleet.owner(&partition)?;
    let other = workers.find(|consumer| *consumer != owner)?;
    Some((partition, other.0))
}

fn kill_consumer(stage: &Stage, pick: u64, fault: usize) -> anyhow::Result<()> {
    let pid = victim(stage, pick)?;
    let mut seen = stage.follower.seen();
    seen.owners.kill(pid, now_ms(), fault);
    let killed = signal_process(pid, Signal::KILL);
    drop(seen);
    release(stage, pid);
    Ok(killed?)
}
