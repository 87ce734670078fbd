//! IO. Does a fault to the system, waits as long as it lasts, and lifts it.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use common::clock::Clock;
use rustix::process::Signal;

use super::crash::crash;
use super::crew::Seat;
use super::fault::Kind;
use super::leftovers::volume_of;
use super::proxy::Cut;
use super::schedule::Planned;
use super::sink_faults::list;
use super::stage::Stage;
use crate::harness::patience::wait_until;
use crate::harness::process::signal_process;

/// How long a victim is looked for, and how long something may take to be put right again.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
const GARBAGE: &[u8] = b"garbage\0\x01";

/// Carries out one fault from its beginning to its end.
pub fn inflict(stage: &Stage, fault: &Planned) -> anyhow::Result<()> {
    let Planned { kind, pick, .. } = *fault;
    match kind {
        Kind::ConsumerKill => strike(stage, kind, pick, |_| Ok(())),
        Kind::VolumeWiped => strike(stage, kind, pick, wipe),
        Kind::VolumeCorrupted => strike(stage, kind, pick, corrupt),
        Kind::ConsumerTerm => ask_to_end(stage, pick),
        Kind::ConsumerFreeze => freeze(stage, pick),
        Kind::CutHold => cut(stage, kind, pick, Cut::Hold),
        Kind::CutReset => cut(stage, kind, pick, Cut::Reset),
        Kind::CutOneWay => cut(stage, kind, pick, Cut::Answers),
        Kind::LeaderKill | Kind::LeaderRestart => kill_leader(stage, kind),
        Kind::LeaderAndConsumerKill => leader_and_consumer(stage, pick),
        Kind::LeaderFreeze => freeze_leader(stage),
        Kind::ConsumerCrashPoint | Kind::LeaderCrashPoint => crash(stage, kind, pick),
        Kind::MonitorKill => {
            let kill = || stage.crew().kill(Seat::Monitor, kind.absence());
            for_a_while(stage, kind, kill, || Ok(()))
        }
        Kind::BrokerRestart => {
            let kafka = &stage.ground.kafka;
            let restart = || Ok(kafka.kill().and_then(|()| kafka.start_again())?);
            for_a_while(stage, kind, restart, || Ok(()))
        }
        Kind::VolumeFull => {
            let room = stage.ground.volumes()?;
            for_a_while(stage, kind, || Ok(room.fill()?), || Ok(room.make_room()?))
        }
        Kind::VolumeReadOnly => {
            let room = stage.ground.volumes()?;
            for_a_while(stage, kind, || Ok(room.seal()?), || Ok(room.unseal()?))
        }
        Kind::SinkFull => {
            let room = stage.ground.sink()?;
            for_a_while(stage, kind, || Ok(room.fill()?), || Ok(room.make_room()?))
        }
        Kind::SinkReadOnly => {
            let room = stage.ground.sink()?;
            for_a_while(stage, kind, || Ok(room.seal()?), || Ok(room.unseal()?))
        }
        Kind::SinkLoses
        | Kind::SinkHangs
        | Kind::SinkResets
        | Kind::SinkRefuses
        | Kind::SinkThrottles
        | Kind::SinkForgets
        | Kind::SinkLags => {
            let faults = list(kind).context("nothing is known to be done for it")?;
            let local = stage.ground.bigquery()?;
            for_a_while(stage, kind, || Ok(local.inflict(&faults)?), || Ok(local.lift()?))
        }
        Kind::DeadLettersGone => {
            let letters = &stage.letters;
            letters.keep()?;
            for_a_while(stage, kind, || letters.remove_topic(), || letters.restore_topic())
        }
        Kind::DeadLettersRefused => {
            let letters = &stage.letters;
            for_a_while(stage, kind, || letters.refuse(), || letters.allow())
        }
    }
}

pub(super) fn now_ms() -> i64 {
    Clock.timestamp().0
}

/// Begins, lasts, ends. What could not be begun did not happen; what cannot be ended is tried again.
fn for_a_while(
    stage: &Stage,
    kind: Kind,
    begin: impl FnOnce() -> anyhow::Result<()>,
    end: impl Fn() -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let fault = stage.follower.seen().begin(kind, now_ms());
    let begun = begin();
    if begun.is_ok() {
        sleep(kind.lasts());
    }
    // Also after a failure: half of it may have been done.
    let ended = wait_until(&format!("{kind} is over"), PATIENCE, || {
        end().map_err(|error| format!("{error:#}"))
    });
    stage.follower.seen().lift(fault, now_ms(), begun.is_ok());
    begun?;
    Ok(ended?)
}

/// Does something to a consumer's volume, and kills it.
fn strike(
    stage: &Stage,
    kind: Kind,
    pick: u64,
    prepare: fn(&Path) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let pid = victim(stage, pick)?;
    let volume = volume_of(pid, &stage.plan).context("the consumer has gone")?;
    let struck = {
        let mut seen = stage.follower.seen();
        let fault = seen.begin(kind, now_ms());
        let struck = prepare(&volume).and_then(|()| Ok(signal_process(pid, Signal::KILL)?));
        if struck.is_ok() {
            seen.owners.kill(pid, now_ms(), fault);
        }
        seen.lift(fault, now_ms(), struck.is_ok());
        struck
    };
    release(stage, pid);
    struck
}

fn wipe(volume: &Path) -> anyhow::Result<()> {
    for entry in fs::read_dir(volume)? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}

fn corrupt(volume: &Path) -> anyhow::Result<()> {
    Ok(fs::write(volume.join("state.json"), GARBAGE)?)
}

fn ask_to_end(stage: &Stage, pick: u64) -> anyhow::Result<()> {
    let pid = victim(stage, pick)?;
    let mut seen = stage.follower.seen();
    let fault = seen.begin(Kind::ConsumerTerm, now_ms());
    seen.owners.ask(pid, fault);
    let asked = signal_process(pid, Signal::TERM);
    seen.lift(fault, now_ms(), asked.is_ok());
    drop(seen);
    release(stage, pid);
    Ok(asked?)
}

fn freeze(stage: &Stage, pick: u64) -> anyhow::Result<()> {
    let stop = |pid| Ok(signal_process(pid, Signal::STOP)?);
    let go_on = |pid| {
        // The kernel ends a stopped process whose parent died meanwhile.
        let _ = signal_process(pid, Signal::CONT);
    };
    suspend(stage, Kind::ConsumerFreeze, pick, stop, go_on)
}

fn cut(stage: &Stage, kind: Kind, pick: u64, cut: Cut) -> anyhow::Result<()> {
    let proxy = &stage.ground.proxy;
    let apart = |pid| {
        proxy.cut(pid, cut);
        Ok(())
    };
    suspend(stage, kind, pick, apart, |pid| proxy.heal(pid))
}

/// A consumer that cannot read for a while, and then finds out.
fn suspend(
    stage: &Stage,
    kind: Kind,
    pick: u64,
    begin: impl FnOnce(u32) -> anyhow::Result<()>,
    end: impl FnOnce(u32),
) -> anyhow::Result<()> {
    let pid = victim(stage, pick)?;
    let (fault, begun) = {
        let mut seen = stage.follower.seen();
        let fault = seen.begin(kind, now_ms());
        let begun = begin(pid);
        seen.owners.suspend(pid, now_ms(), fault);
        (fault, begun)
    };
    if begun.is_ok() {
        sleep(kind.lasts());
    }
    let mut seen = stage.follower.seen();
    if volume_of(pid, &stage.plan).is_some() {
        seen.owners.resume(pid, now_ms(), fault);
    } else {
        seen.owners.kill(pid, now_ms(), fault);
    }
    end(pid);
    seen.lift(fault, now_ms(), begun.is_ok());
    drop(seen);
    release(stage, pid);
    begun
}

fn kill_leader(stage: &Stage, kind: Kind) -> anyhow::Result<()> {
    let seat = leading(stage)?;
    for_a_while(stage, kind, || stage.crew().kill(seat, kind.absence()), || Ok(()))
}

fn leader_and_consumer(stage: &Stage, pick: u64) -> anyhow::Result<()> {
    let (seat, pid) = (leading(stage)?, victim(stage, pick)?);
    let kind = Kind::LeaderAndConsumerKill;
    let fault = stage.follower.seen().begin(kind, now_ms());
    let killed = stage.crew().kill(seat, kind.absence());
    let struck = signal_process(pid, Signal::KILL);
    stage.follower.seen().owners.kill(pid, now_ms(), fault);
    stage.follower.seen().lift(fault, now_ms(), killed.is_ok() && struck.is_ok());
    release(stage, pid);
    killed?;
    Ok(struck?)
}

fn freeze_leader(stage: &Stage) -> anyhow::Result<()> {
    let seat = leading(stage)?;
    let (freeze, thaw) = (|| stage.crew().freeze(seat), || stage.crew().thaw(seat));
    for_a_while(stage, Kind::LeaderFreeze, freeze, thaw)
}

/// Who leads, once there is another that could.
pub(super) fn leading(stage: &Stage) -> anyhow::Result<Seat> {
    let found = || {
        let mut crew = stage.crew();
        if !crew.has_standby() {
            return Err("there is no standby");
        }
        crew.leader().map(|(seat, _)| seat).ok_or("nobody says so")
    };
    Ok(wait_until("somebody leads and somebody stands by", PATIENCE, found)?)
}

/// A consumer that owns something and that nothing is being done to: nobody else gets it meanwhile.
pub(super) fn victim(stage: &Stage, pick: u64) -> anyhow::Result<u32> {
    let found = || {
        let seen = stage.follower.seen();
        let mut busy = stage.busy();
        let workers = seen.fleet.workers(now_ms());
        let is_free = |pid: &u32| !busy.contains(pid) && volume_of(*pid, &stage.plan).is_some();
        let pids: Vec<u32> = workers.map(|(_, life)| life.pid).filter(is_free).collect();
        let count = u64::try_from(pids.len()).unwrap_or(1).max(1);
        let chosen = usize::try_from(pick % count).ok().and_then(|index| pids.get(index)).copied();
        busy.extend(chosen);
        chosen.ok_or("there is none")
    };
    wait_until("a consumer owns something", PATIENCE, found).map_err(|error| anyhow!(error))
}

pub(super) fn release(stage: &Stage, pid: u32) {
    stage.busy().remove(&pid);
}
