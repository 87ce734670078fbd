//! Pure. What is seen of the system while faults are done to it: its fleet, its owners, the blows.

use common::messages::Message;
use common::messages::measurement::Measurement;

use super::fault::Kind;
use super::judge::Blow;
use super::owners::Owners;
use crate::watch::announced::Announced;
use crate::watch::fleet::Fleet;
use crate::watch::follow::Witness;

/// Everything so far.
#[derive(Debug, Default)]
pub struct Sight {
    pub fleet: Fleet,
    pub owners: Owners,
    pub blows: Vec<Blow>,
    pub announced: Announced,
}

impl Witness for Sight {
    fn event(&mut self, event: &Message, at_ms: i64) {
        self.fleet.apply(event, at_ms);
        self.owners.apply(event, at_ms);
        self.announced.take(event, at_ms);
    }

    fn measurement(&mut self, _: Measurement) {}
}

impl Sight {
    /// A fault begins; its number is how it is known from now on.
    pub fn begin(&mut self, kind: Kind, at: i64) -> usize {
        self.blows.push(Blow {
            kind,
            begun: at,
            lifted: None,
            is_done: true,
            recovered: None,
            is_given_up: false,
        });
        self.blows.len() - 1
    }

    pub fn lift(&mut self, fault: usize, at: i64, is_done: bool) {
        let blow = &mut self.blows[fault];
        (blow.lifted, blow.is_done) = (Some(at), is_done);
    }

    /// Everything flows: whatever was lifted before has been recovered from.
    pub fn note_calm(&mut self, at: i64) {
        for blow in self.blows.iter_mut().filter(|blow| is_awaited(blow)) {
            blow.recovered = Some(at);
        }
    }

    /// Whatever has not been recovered from by now is not waited for any longer.
    pub fn give_up(&mut self) {
        for blow in self.blows.iter_mut().filter(|blow| is_awaited(blow)) {
            blow.is_given_up = true;
        }
    }

    /// When the last fault was lifted; `None` while one lasts.
    pub fn lifted_last(&self) -> Option<i64> {
        self.blows.iter().map(|blow| blow.lifted).try_fold(0, |last, at| Some(at?.max(last)))
    }

    pub fn is_recovered(&self) -> bool {
        !self.blows.iter().any(is_awaited)
    }
}

fn is_awaited(blow: &Blow) -> bool {
    blow.recovered.is_none() && !blow.is_given_up
}
