//! Pure. Who leads: the author of the highest `LeaderStarted` on partition 0 of the controller topic.
//!
//! ```text
//!            silence of 10 s and a bit,       own record read back,
//!            or nobody can be leading         and no other's up to the marker
//!  Standby ─────────────────────────> Candidate ────────────────> Leader
//!     ^                                   │                          │
//!     └───── a higher LeaderStarted ──────┴──────────────────────────┘
//! ```
//!
//! Where orchestrators share a Lease only its holder stands; who leads without it goes on leading.
//!
//! The log's order decides, so no clock and no lock is trusted with it. A leader whose last record that it read back
//! is older than the silence after which others stand may have been deposed by a record that it has yet to read.

use std::time::Duration;

use common::identity::Nonce;
use common::moment::Moment;
use common::term::Generation;
use rand::{Rng, RngExt as _};

/// Without a `LeaderAlive` for this long, and up to half as long again at random, a standby
/// becomes a candidate.
const SILENCE: Duration = Duration::from_secs(10);
const ALIVE_INTERVAL: Duration = Duration::from_secs(2);
/// A candidacy whose records do not come back is begun anew.
const CANDIDACY_PATIENCE: Duration = Duration::from_secs(10);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// `LeaderStarted` was read on partition 0.
    Started { nonce: Nonce, generation: Generation },
    /// `LeaderAlive` was read on partition 0.
    Alive { nonce: Nonce, generation: Generation },
    /// A marker of ours was read on partition 0.
    Marker(Nonce),
    /// The log was read to its end, and it is known that no other orchestrator can be leading.
    Alone,
    /// The own reign is to begin anew.
    Renew,
    /// Whether the Lease is held that allows to stand.
    Lease { is_held: bool },
    /// The main loop went round.
    Tick,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    WriteStarted(Nonce),
    WriteMarker(Nonce),
    WriteAlive {
        generation: Generation,
        nonce: Nonce,
    },
    /// From here on this process leads.
    Lead(Generation),
    /// Another leads: a standby again.
    Deposed {
        by: Generation,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Role {
    Standby {
        patience: Duration,
    },
    Candidate {
        started: Nonce,
        generation: Option<Generation>,
        marker: Nonce,
        since: Moment,
    },
    /// Up to `confirmed` nobody else led: it wrote then what it has read back.
    Leader {
        generation: Generation,
        alive: Option<Nonce>,
        alive_written: Moment,
        confirmed: Moment,
    },
}

/// One orchestrator's part in the election.
#[derive(Clone, Debug)]
pub struct Leadership {
    role: Role,
    /// The highest `LeaderStarted` read so far.
    highest: Option<Generation>,
    /// When the last sign of a leader was read.
    heard: Moment,
    lease: Lease,
    /// Nobody else can be leading, as far as was read.
    is_alone: bool,
}

/// Whether standing for leader takes a Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lease {
    NotNeeded,
    Held,
    NotHeld,
}

impl Leadership {
    pub fn new(lease: Lease, now: Moment, rng: &mut impl Rng) -> Self {
        Self { role: standby(rng), highest: None, heard: now, lease, is_alone: false }
    }

    pub fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader { .. })
    }

    /// Another may lead that has waited for a sign of life, and was not read of.
    pub fn may_be_deposed(&self, now: Moment) -> bool {
        match self.role {
            Role::Leader { confirmed, .. } => now.saturating_since(confirmed) >= SILENCE,
            Role::Standby { .. } | Role::Candidate { .. } => false,
        }
    }

    /// The generation that leads, as far as was read.
    pub fn highest(&self) -> Option<Generation> {
        self.highest
    }

    pub fn handle(&mut self, event: Event, now: Moment, rng: &mut impl Rng) -> Vec<Action> {
        match event {
            Event::Started { nonce, generation } => self.started(nonce, generation, now, rng),
            Event::Alive { nonce, generation } => {
                self.alive(nonce, generation, now);
                vec![]
            }
            Event::Marker(nonce) => self.marker(nonce, now),
            Event::Alone => {
                self.is_alone = true;
                self.stand_if_alone(now, rng)
            }
            Event::Lease { is_held } => {
                self.lease = match (self.lease, is_held) {
                    (Lease::NotNeeded, _) => Lease::NotNeeded,
                    (_, true) => Lease::Held,
                    (_, false) => Lease::NotHeld,
                };
                self.stand_if_alone(now, rng)
            }
            // Whoever holds the Lease by now begins the next reign.
            Event::Renew => match self.role {
                Role::Leader { .. } => {
                    (self.role, self.heard, self.is_alone) = (standby(rng), now, true);
                    self.stand_if_alone(now, rng)
                }
                Role::Standby { .. } | Role::Candidate { .. } => vec![],
            },
            Event::Tick => self.tick(now, rng),
        }
    }

    fn stand_if_alone(&mut self, now: Moment, rng: &mut impl Rng) -> Vec<Action> {
        let is_standby = matches!(self.role, Role::Standby { .. });
        if is_standby && self.is_alone && self.may_stand() {
            self.is_alone = false;
            self.stand(now, rng)
        } else {
            vec![]
        }
    }

    fn may_stand(&self) -> bool {
        self.lease != Lease::NotHeld
    }

    fn started(
        &mut self,
        nonce: Nonce,
        read: Generation,
        now: Moment,
        rng: &mut impl Rng,
    ) -> Vec<Action> {
        if self.highest >= Some(read) {
            return vec![];
        }
        self.highest = Some(read);
        self.heard = now;
        self.is_alone = false;
        match &mut self.role {
            Role::Standby { .. } => vec![],
            // Of two copies of the own record the later one.
            Role::Candidate { started, generation, .. } if *started == nonce => {
                *generation = Some(read);
                vec![]
            }
            // Another's record before the own one is outdone by it; one after it wins.
            Role::Candidate { generation: None, .. } => vec![],
            Role::Candidate { .. } => {
                self.role = standby(rng);
                vec![]
            }
            Role::Leader { .. } => {
                self.role = standby(rng);
                vec![Action::Deposed { by: read }]
            }
        }
    }

    fn alive(&mut self, nonce: Nonce, generation: Generation, now: Moment) {
        if self.highest > Some(generation) {
            return; // A deposed leader's.
        }
        // It stands for a `LeaderStarted` that retention removed.
        self.highest = Some(generation);
        self.heard = now;
        self.is_alone = false;
        if let Role::Leader { alive, alive_written, confirmed, .. } = &mut self.role
            && *alive == Some(nonce)
        {
            (*alive, *confirmed) = (None, *alive_written);
        }
    }

    fn marker(&mut self, nonce: Nonce, now: Moment) -> Vec<Action> {
        match self.role {
            Role::Candidate { generation: Some(generation), marker, since, .. }
                if marker == nonce =>
            {
                let (alive_written, confirmed) = (now - ALIVE_INTERVAL, since);
                self.role = Role::Leader { generation, alive: None, alive_written, confirmed };
                vec![Action::Lead(generation)]
            }
            Role::Standby { .. } | Role::Candidate { .. } | Role::Leader { .. } => vec![],
        }
    }

    fn stand(&mut self, now: Moment, rng: &mut impl Rng) -> Vec<Action> {
        let (started, marker) = (Nonce::from_rng(rng), Nonce::from_rng(rng));
        self.role = Role::Candidate { started, generation: None, marker, since: now };
        vec![Action::WriteStarted(started), Action::WriteMarker(marker)]
    }

    fn tick(&mut self, now: Moment, rng: &mut impl Rng) -> Vec<Action> {
        let may_stand = self.may_stand();
        match &mut self.role {
            Role::Standby { patience } => {
                // Whoever holds the Lease has no rival to stand in step with.
                let patience = if self.lease == Lease::Held { SILENCE } else { *patience };
                let is_silent = now.saturating_since(self.heard) > patience;
                if is_silent && may_stand { self.stand(now, rng) } else { vec![] }
            }
            Role::Candidate { since, .. } if now.saturating_since(*since) > CANDIDACY_PATIENCE => {
                if may_stand {
                    return self.stand(now, rng);
                }
                self.role = standby(rng);
                vec![]
            }
            Role::Candidate { .. } => vec![],
            // The next sign of life only after the one before was read back.
            Role::Leader { generation, alive: alive @ None, alive_written, .. }
                if now.saturating_since(*alive_written) >= ALIVE_INTERVAL =>
            {
                let nonce = Nonce::from_rng(rng);
                *alive = Some(nonce);
                *alive_written = now;
                vec![Action::WriteAlive { generation: *generation, nonce }]
            }
            // One that was lost is written again.
            Role::Leader { alive, alive_written, .. }
                if now.saturating_since(*alive_written) >= SILENCE =>
            {
                *alive = None;
                vec![]
            }
            Role::Leader { .. } => vec![],
        }
    }
}

fn standby(rng: &mut impl Rng) -> Role {
    Role::Standby { patience: SILENCE + SILENCE.mul_f64(rng.random_range(0.0..0.5)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand::rngs::ChaCha8Rng;

    fn at(seconds: u64) -> Moment {
        Moment::since_boot(Duration::from_secs(100 + seconds))
    }

    struct Candidate {
        leadership: Leadership,
        rng: ChaCha8Rng,
    }

    impl Candidate {
        fn new(seed: u64) -> Self {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            Self { leadership: Leadership::new(Lease::NotNeeded, at(0), &mut rng), rng }
        }

        fn under_lease(seed: u64) -> Self {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            Self { leadership: Leadership::new(Lease::NotHeld, at(0), &mut rng), rng }
        }

        fn handle(&mut self, event: Event, seconds: u64) -> Vec<Action> {
            self.leadership.handle(event, at(seconds), &mut self.rng)
        }

        /// Stands at once and returns its two nonces.
        fn stand(&mut self) -> (Nonce, Nonce) {
            match self.handle(Event::Alone, 0)[..] {
                [Action::WriteStarted(started), Action::WriteMarker(marker)] => (started, marker),
                ref other => panic!("{other:?}"),
            }
        }

        fn lead(&mut self, generation: u64) {
            let (nonce, marker) = self.stand();
            self.handle(Event::Started { nonce, generation: Generation(generation) }, 0);
            let lead = self.handle(Event::Marker(marker), 0);
            assert_eq!(lead, [Action::Lead(Generation(generation))]);
        }
    }

    #[test]
    fn of_two_candidates_the_later_record_leads() {
        let (mut one, mut two) = (Candidate::new(1), Candidate::new(2));
        let (one_nonce, one_marker) = one.stand();
        let (two_nonce, two_marker) = two.stand();
        // The log: one's record, two's record, one's marker, two's marker.
        let log = [
            Event::Started { nonce: one_nonce, generation: Generation(4) },
            Event::Started { nonce: two_nonce, generation: Generation(5) },
            Event::Marker(one_marker),
            Event::Marker(two_marker),
        ];
        let one_does: Vec<_> = log.iter().flat_map(|event| one.handle(event.clone(), 1)).collect();
        let two_does: Vec<_> = log.iter().flat_map(|event| two.handle(event.clone(), 1)).collect();
        assert_eq!(one_does, []);
        assert_eq!(two_does, [Action::Lead(Generation(5))]);
    }

    /// Whoever stands for leader has waited for so long since it read what is read back here.
    #[test]
    fn a_leader_may_be_deposed_until_it_reads_itself_back() {
        let mut leader = Candidate::new(1);
        leader.lead(4);
        let may_be = |leader: &Candidate, seconds| leader.leadership.may_be_deposed(at(seconds));
        assert!(!may_be(&leader, 9) && may_be(&leader, 10));
        let written = leader.handle(Event::Tick, 8);
        let [Action::WriteAlive { generation, nonce }] = written[..] else { panic!("{written:?}") };
        leader.handle(Event::Alive { nonce: Nonce(!nonce.0), generation }, 12);
        assert!(may_be(&leader, 12), "it was another's");
        leader.handle(Event::Alive { nonce, generation }, 13);
        assert!(!may_be(&leader, 17) && may_be(&leader, 18), "it counts from its writing");
        leader.handle(Event::Started { nonce: Nonce(1), generation: Generation(9) }, 19);
        assert!(!may_be(&leader, 99), "it leads no more");
    }

    #[test]
    fn only_who_holds_the_lease_stands() {
        let mut standby = Candidate::under_lease(1);
        assert_eq!(standby.handle(Event::Alone, 0), []);
        assert_eq!(standby.handle(Event::Tick, 60), []);
        assert_eq!(standby.handle(Event::Lease { is_held: true }, 61).len(), 2, "it is alone");
        let mut other = Candidate::under_lease(2);
        other.handle(Event::Lease { is_held: true }, 0);
        assert_eq!(other.handle(Event::Tick, 10), []);
        assert_eq!(other.handle(Event::Tick, 11).len(), 2, "at once after the silence");
    }

    #[test]
    fn whoever_hears_a_leader_waits_for_its_silence_although_it_holds_the_lease() {
        let mut standby = Candidate::under_lease(1);
        standby.handle(Event::Alone, 0);
        standby.handle(Event::Alive { nonce: Nonce(1), generation: Generation(3) }, 5);
        assert_eq!(standby.handle(Event::Lease { is_held: true }, 6), []);
        assert_eq!(standby.handle(Event::Tick, 15), []);
        assert_eq!(standby.handle(Event::Tick, 16).len(), 2);
    }

    #[test]
    fn losing_the_lease_deposes_nobody() {
        let mut leader = Candidate::under_lease(1);
        leader.handle(Event::Lease { is_held: true }, 0);
        leader.lead(4);
        assert_eq!(leader.handle(Event::Lease { is_held: false }, 1), []);
        assert!(leader.leadership.is_leader());
        assert!(matches!(leader.handle(Event::Tick, 2)[..], [Action::WriteAlive { .. }]));
    }

    #[test]
    fn a_candidate_that_lost_the_lease_does_not_stand_again() {
        let mut candidate = Candidate::under_lease(1);
        candidate.handle(Event::Lease { is_held: true }, 0);
        candidate.stand();
        candidate.handle(Event::Lease { is_held: false }, 1);
        assert_eq!(candidate.handle(Event::Tick, 11), []);
        assert_eq!(candidate.handle(Event::Tick, 60), []);
    }

    #[test]
    fn a_leader_that_reads_a_higher_record_is_deposed_at_once() {
        let mut leader = Candidate::new(1);
        leader.lead(4);
        let other = Event::Started { nonce: Nonce(9), generation: Generation(7) };
        assert_eq!(leader.handle(other, 1), [Action::Deposed { by: Generation(7) }]);
        assert!(!leader.leadership.is_leader());
    }

    #[test]
    fn of_two_copies_of_the_own_record_the_later_one_counts() {
        let mut candidate = Candidate::new(1);
        let (nonce, marker) = candidate.stand();
        candidate.handle(Event::Started { nonce, generation: Generation(4) }, 0);
        candidate.handle(Event::Started { nonce, generation: Generation(6) }, 0);
        assert_eq!(candidate.handle(Event::Marker(marker), 0), [Action::Lead(Generation(6))]);
    }

    #[test]
    fn a_standby_waits_for_a_silence() {
        let mut standby = Candidate::new(1);
        let alive = |nonce| Event::Alive { nonce: Nonce(nonce), generation: Generation(3) };
        assert_eq!(standby.handle(alive(1), 5), []);
        assert_eq!(standby.handle(Event::Tick, 15), []);
        assert_eq!(standby.handle(Event::Tick, 21).len(), 2, "at the latest after 15 s");
    }

    #[test]
    fn a_deposed_leaders_sign_of_life_is_no_sign_of_life() {
        let mut standby = Candidate::new(1);
        standby.handle(Event::Started { nonce: Nonce(1), generation: Generation(8) }, 0);
        standby.handle(Event::Alive { nonce: Nonce(2), generation: Generation(7) }, 14);
        assert_eq!(standby.handle(Event::Tick, 16).len(), 2);
    }

    #[test]
    fn a_sign_of_life_is_written_only_after_the_one_before_was_read_back() {
        let mut leader = Candidate::new(1);
        leader.lead(4);
        let [Action::WriteAlive { nonce, generation }] = leader.handle(Event::Tick, 0)[..] else {
            panic!("a new leader says at once that it lives");
        };
        assert_eq!(leader.handle(Event::Tick, 4), []);
        leader.handle(Event::Alive { nonce, generation }, 4);
        assert!(matches!(leader.handle(Event::Tick, 4)[..], [Action::WriteAlive { .. }]));
    }
}
