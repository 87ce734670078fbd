//! Pure. What people ordered about the group as a whole, and what holds of it by now.

use std::collections::BTreeSet;

use common::identity::ConsumerId;
use common::messages::Message;
use common::messages::request::{Drain, Scaling};
use serde::{Deserialize, Serialize};

/// Orders that hold until they are lifted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Operations {
    /// Nothing changes but what lost its owner.
    pub is_paused: bool,
    /// No consumer is closed.
    pub is_scale_in_paused: bool,
    /// No consumer is created.
    pub is_scale_out_paused: bool,
    /// What is planned is proposed, and carried out when it is approved.
    pub is_dry_run: bool,
    /// Consumers that are to hand over what they hold, and to go.
    pub draining: BTreeSet<ConsumerId>,
    /// The last proposal that somebody approved, by its name.
    pub approved: Option<String>,
}

impl Operations {
    pub fn pause(&mut self, scaling: Scaling) {
        match scaling {
            Scaling::All => self.is_paused = true,
            Scaling::In => self.is_scale_in_paused = true,
            Scaling::Out => self.is_scale_out_paused = true,
        }
    }

    pub fn resume(&mut self, scaling: Scaling) {
        match scaling {
            Scaling::All => {
                let draining = std::mem::take(&mut self.draining);
                *self = Self { draining, ..Self::default() };
            }
            Scaling::In => self.is_scale_in_paused = false,
            Scaling::Out => self.is_scale_out_paused = false,
        }
    }

    pub fn drain(&mut self, drain: &Drain) {
        if drain.lift {
            self.draining.remove(&drain.consumer);
        } else {
            self.draining.insert(drain.consumer);
        }
    }

    /// An approval of before names a proposal that nobody makes any more.
    pub fn dry_run(&mut self) {
        self.is_dry_run = true;
        self.approved = None;
    }

    pub fn approve(&mut self, proposal: &str) {
        self.approved = Some(proposal.to_owned());
    }

    /// Whether what is asked for is so already.
    pub fn includes(&self, asked: &Message) -> bool {
        let is_paused = |scaling| match scaling {
            Scaling::All => self.is_paused,
            Scaling::In => self.is_scale_in_paused,
            Scaling::Out => self.is_scale_out_paused,
        };
        match asked {
            Message::Pause(pause) => is_paused(pause.scaling),
            Message::Resume(resume) => !is_paused(resume.scaling),
            Message::Approve(approve) => self.approved.as_ref() == Some(&approve.proposal),
            _ => false,
        }
    }

    /// Whether plans may change more than what lost its owner.
    pub fn may_improve(&self) -> bool {
        !self.is_paused && !self.is_dry_run
    }
}

#[cfg(test)]
mod tests {
    use common::messages::Extra;

    use super::*;

    fn drain(consumer: u32, lift: bool) -> Drain {
        Drain { consumer: ConsumerId(consumer), lift, extra: Extra::new() }
    }

    #[test]
    fn one_direction_is_paused_and_resumed_by_itself() {
        let mut operations = Operations::default();
        operations.pause(Scaling::In);
        operations.pause(Scaling::Out);
        operations.resume(Scaling::In);
        assert!(operations.is_scale_out_paused && !operations.is_scale_in_paused);
        assert!(operations.may_improve());
    }

    #[test]
    fn resuming_lifts_everything_but_what_is_being_drained() {
        let mut operations = Operations::default();
        for scaling in [Scaling::All, Scaling::In, Scaling::Out] {
            operations.pause(scaling);
        }
        operations.drain(&drain(2, false));
        operations.dry_run();
        operations.approve("5f1c09aa");
        assert!(!operations.may_improve());
        operations.resume(Scaling::All);
        let draining = [ConsumerId(2)].into();
        assert_eq!(operations, Operations { draining, ..Operations::default() });
        operations.drain(&drain(2, true));
        assert_eq!(operations, Operations::default());
    }
}
