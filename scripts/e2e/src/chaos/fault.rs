//! Pure. The kinds of faults: what each is done to, how long it lasts, and what is promised about it.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// What is done to the running system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// SIGKILL to a consumer.
    ConsumerKill,
    /// SIGSTOP to a consumer for longer than its lease; then it goes on where it was.
    ConsumerFreeze,
    /// SIGTERM to a consumer.
    ConsumerTerm,
    /// SIGKILL to the broker, which is started again at once.
    BrokerRestart,
    /// SIGKILL to the orchestrator that leads; it stays away until another one does.
    LeaderKill,
    /// SIGKILL to the orchestrator that leads, which is started again at once.
    LeaderRestart,
    /// SIGSTOP to the orchestrator that leads, until another one does.
    LeaderFreeze,
    /// SIGKILL to the orchestrator that leads and to a consumer.
    LeaderAndConsumerKill,
    /// SIGKILL to the monitor.
    MonitorKill,
    /// Everything on a consumer's volume is removed, and the consumer killed.
    VolumeWiped,
    /// A consumer's state file is overwritten with garbage, and the consumer killed.
    VolumeCorrupted,
    /// No byte more can be written to any volume for a while.
    VolumeFull,
    /// Volumes cannot be written for a while.
    VolumeReadOnly,
    SinkFull,
    SinkReadOnly,
    /// BigQuery does what it is asked for, and the answers are lost.
    SinkLoses,
    /// BigQuery does what it is asked for, and does not answer.
    SinkHangs,
    /// BigQuery's connections are reset, again and again.
    SinkResets,
    /// BigQuery refuses everything, REST with a page in HTML.
    SinkRefuses,
    /// BigQuery takes few rows for a while.
    SinkThrottles,
    /// BigQuery forgets a write stream.
    SinkForgets,
    /// BigQuery's connections are reset, and new ones see the ends of streams late.
    SinkLags,
    /// The topic of dead letters is deleted while some are due, and created again.
    DeadLettersGone,
    /// No write to the topic of dead letters is acknowledged for a while.
    DeadLettersRefused,
    /// Nothing passes between a consumer and the broker, which notice nothing; then it all does.
    CutHold,
    /// All connections between a consumer and the broker are reset, again and again.
    CutReset,
    /// A consumer's requests reach the broker, and no answer comes back until the end.
    CutOneWay,
    /// A consumer dies at a chosen place: before or after a write, a put, a commit.
    ConsumerCrashPoint,
    /// The orchestrator that leads, or is about to, dies before or after one of its messages.
    LeaderCrashPoint,
}

/// Where rows go, by its name in service entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum SinkKind {
    /// A lake, which is a folder
    #[default]
    Parquet,
    /// The double of BigQuery
    #[value(name = "bigquery")]
    BigQuery,
}

/// What cannot have two faults at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    Consumer,
    Broker,
    Leader,
    Monitor,
    Volumes,
    Sink,
    DeadLetters,
}

impl Kind {
    pub const ALL: [Self; 29] = [
        Self::ConsumerKill,
        Self::ConsumerFreeze,
        Self::ConsumerTerm,
        Self::BrokerRestart,
        Self::LeaderKill,
        Self::LeaderRestart,
        Self::LeaderFreeze,
        Self::LeaderAndConsumerKill,
        Self::MonitorKill,
        Self::VolumeWiped,
        Self::VolumeCorrupted,
        Self::VolumeFull,
        Self::VolumeReadOnly,
        Self::SinkFull,
        Self::SinkReadOnly,
        Self::SinkLoses,
        Self::SinkHangs,
        Self::SinkResets,
        Self::SinkRefuses,
        Self::SinkThrottles,
        Self::SinkForgets,
        Self::SinkLags,
        Self::DeadLettersGone,
        Self::DeadLettersRefused,
        Self::CutHold,
        Self::CutReset,
        Self::CutOneWay,
        Self::ConsumerCrashPoint,
        Self::LeaderCrashPoint,
    ];

    /// As in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::ConsumerKill => "consumer_kill",
            Self::ConsumerFreeze => "consumer_freeze",
            Self::ConsumerTerm => "consumer_term",
            Self::BrokerRestart => "broker_restart",
            Self::LeaderKill => "leader_kill",
            Self::LeaderRestart => "leader_restart",
            Self::LeaderFreeze => "leader_freeze",
            Self::LeaderAndConsumerKill => "leader_and_consumer_kill",
            Self::MonitorKill => "monitor_kill",
            Self::VolumeWiped => "volume_wiped",
            Self::VolumeCorrupted => "volume_corrupted",
            Self::VolumeFull => "volume_full",
            Self::VolumeReadOnly => "volume_read_only",
            Self::SinkFull => "sink_full",
            Self::SinkReadOnly => "sink_read_only",
            Self::SinkLoses => "sink_loses",
            Self::SinkHangs => "sink_hangs",
            Self::SinkResets => "sink_resets",
            Self::SinkRefuses => "sink_refuses",
            Self::SinkThrottles => "sink_throttles",
            Self::SinkForgets => "sink_forgets",
            Self::SinkLags => "sink_lags",
            Self::DeadLettersGone => "dead_letters_gone",
            Self::DeadLettersRefused => "dead_letters_refused",
            Self::CutHold => "cut_hold",
            Self::CutReset => "cut_reset",
            Self::CutOneWay => "cut_one_way",
            Self::ConsumerCrashPoint => "consumer_crash_point",
            Self::LeaderCrashPoint => "leader_crash_point",
        }
    }

    pub fn target(self) -> Target {
        match self {
            Self::ConsumerKill
            | Self::ConsumerFreeze
            | Self::ConsumerTerm
            | Self::VolumeWiped
            | Self::VolumeCorrupted
            | Self::CutHold
            | Self::CutReset
            | Self::CutOneWay
            | Self::ConsumerCrashPoint => Target::Consumer,
            Self::BrokerRestart => Target::Broker,
            Self::LeaderKill
            | Self::LeaderRestart
            | Self::LeaderFreeze
            | Self::LeaderAndConsumerKill
            | Self::LeaderCrashPoint => Target::Leader,
            Self::MonitorKill => Target::Monitor,
            Self::VolumeFull | Self::VolumeReadOnly => Target::Volumes,
            Self::SinkFull
            | Self::SinkReadOnly
            | Self::SinkLoses
            | Self::SinkHangs
            | Self::SinkResets
            | Self::SinkRefuses
            | Self::SinkThrottles
            | Self::SinkForgets
            | Self::SinkLags => Target::Sink,
            Self::DeadLettersGone | Self::DeadLettersRefused => Target::DeadLetters,
        }
    }

    /// From when it begins until it is lifted, the broker's own start not counted. A lease that ran
    /// out is missed after 11 s, its owner waited for 1 s more, and a leader is missed after up to 15 s.
    pub fn lasts(self) -> Duration {
        Duration::from_millis(match self {
            Self::ConsumerKill
            | Self::ConsumerTerm
            | Self::BrokerRestart
            | Self::LeaderKill
            | Self::LeaderRestart
            | Self::LeaderAndConsumerKill
            | Self::MonitorKill
            | Self::VolumeWiped
            | Self::VolumeCorrupted
            | Self::ConsumerCrashPoint
            | Self::LeaderCrashPoint => 0,
            Self::ConsumerFreeze
            | Self::LeaderFreeze
            | Self::CutHold
            | Self::CutReset
            | Self::CutOneWay => 18_000,
            Self::SinkThrottles => 30_000,
            Self::VolumeFull
            | Self::VolumeReadOnly
            | Self::SinkFull
            | Self::SinkReadOnly
            | Self::SinkLoses
            | Self::SinkHangs
            | Self::SinkResets
            | Self::SinkRefuses
            | Self::SinkForgets
            | Self::SinkLags
            | Self::DeadLettersGone
            | Self::DeadLettersRefused => 7_000,
        })
    }

    /// How long a service that was killed stays away.
    pub fn absence(self) -> Duration {
        let is_until_another_leads = matches!(self, Self::LeaderKill | Self::LeaderAndConsumerKill);
        Duration::from_secs(match self.target() {
            Target::Leader if is_until_another_leads => 18,
            Target::Monitor => 3,
            Target::Leader
            | Target::Consumer
            | Target::Broker
            | Target::Volumes
            | Target::Sink
            | Target::DeadLetters => 1,
        })
    }

    /// Whether somebody outside the system is away while it lasts: that time is not the system's.
    pub fn is_outage(self) -> bool {
        matches!(self.target(), Target::Broker | Target::Sink | Target::DeadLetters)
    }

    /// How long a partition may be without an owner after this alone.
    pub fn limit(self) -> Duration {
        // What leads some leaders to their place is the death of a consumer.
        let are_both_hit = matches!(self, Self::LeaderAndConsumerKill | Self::LeaderCrashPoint);
        Duration::from_secs(if are_both_hit { 30 } else { 15 })
    }

    /// Whether a folder has to be a file system of its own for it.
    pub fn needs_mounts(self) -> bool {
        matches!(self, Self::SinkFull | Self::SinkReadOnly) || self.target() == Target::Volumes
    }

    /// Whether it can be done where rows go to that sink.
    pub fn is_of(self, sink: SinkKind) -> bool {
        let is_of_lakes = matches!(self, Self::SinkFull | Self::SinkReadOnly);
        self.target() != Target::Sink || is_of_lakes == (sink == SinkKind::Parquet)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_names_kinds_as_people_read_them() {
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
    }

    #[test]
    fn each_sink_has_its_own_faults_besides_those_of_all() {
        let count = |sink| Kind::ALL.into_iter().filter(|kind| kind.is_of(sink)).count();
        assert_eq!((count(SinkKind::Parquet), count(SinkKind::BigQuery)), (22, 27));
    }

    #[test]
    fn who_is_frozen_or_cut_off_comes_back_when_others_have_its_place() {
        let missed = Duration::from_secs(15);
        let frozen = [Kind::ConsumerFreeze, Kind::LeaderFreeze];
        for kind in [Kind::CutHold, Kind::CutOneWay, Kind::CutReset].into_iter().chain(frozen) {
            assert!(kind.lasts() > missed, "{kind}");
        }
    }
}
