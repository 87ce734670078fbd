//! IO. What a run leaves behind: consumers that nobody leads any more, logs, the lake.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::Signal;

use crate::harness::patience::wait_until;
use crate::harness::process::signal_process;
use crate::harness::system::SystemPlan;

/// How long consumers are given to end.
const END_WITHIN: Duration = Duration::from_secs(40);
const KEPT: &str = "kept";

/// The folder of a consumer of this run.
pub fn volume_of(pid: u32, plan: &SystemPlan) -> Option<PathBuf> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words = line.split(|byte| *byte == 0).filter_map(|word| str::from_utf8(word).ok());
    let folder = PathBuf::from(words.skip_while(|word| *word != "--state-dir").nth(1)?);
    let is_ours = folder.starts_with(plan.folder.join("state"));
    let is_consumers = folder.parent()?.ends_with("consumers");
    (is_ours && is_consumers).then_some(folder)
}

/// Asks every consumer to end that outlived its orchestrator, and insists after a while.
pub fn end(plan: &SystemPlan) -> anyhow::Result<()> {
    signal_all(plan, &[Signal::TERM, Signal::CONT]);
    let gone = || match consumers(plan).len() {
        0 => Ok(()),
        count => Err(format!("{count} consumers run")),
    };
    let ended = wait_until("all consumers have ended", END_WITHIN, gone);
    if ended.is_err() {
        kill(plan);
    }
    Ok(ended?)
}

pub fn kill(plan: &SystemPlan) {
    signal_all(plan, &[Signal::KILL]);
}

/// Copies logs and lake from file systems that go away to one that stays.
pub fn keep(plan: &SystemPlan) -> anyhow::Result<()> {
    let kept = plan.folder.join(KEPT);
    fs::create_dir_all(&kept)?;
    copy(&plan.folder.join("state"), &kept)?;
    copy(&plan.lake(), &kept)
}

fn copy(folder: &Path, into: &Path) -> anyhow::Result<()> {
    let status = Command::new("cp").arg("-r").args([folder, into]).status();
    if !status.context("`cp` cannot be run")?.success() {
        bail!("{} was not copied", folder.display());
    }
    Ok(())
}

/// The consumers of this run that live, by their pids.
pub fn consumers(plan: &SystemPlan) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| volume_of(*pid, plan).is_some()).collect()
}

fn signal_all(plan: &SystemPlan, signals: &[Signal]) {
    for pid in consumers(plan) {
        for signal in signals {
            // It may have ended by itself a moment ago.
            let _ = signal_process(pid, *signal);
        }
    }
}
