//! Pure. Packs items into bins: few bins, little moved, and headroom where it will be needed.
//!
//! ```text
//!  evict ──> place ──────────> close ─────────> regroup ─────────> explain
//!  what has  beside others,    bins not worth   exact search in    where everything
//!  to leave  by a chain, new   their price      few bins at once   ends up, and why
//! ```
//!
//! Everything starts at home. `fresh` packs from nothing instead, where that costs less. `spread`
//! takes over when no bin may be created. One price decides throughout: `draft`, `foresee`.

pub mod problem;
mod foresee;
mod draft;
mod bound;
mod evict;
mod chain;
mod place;
mod close;
mod group;
mod regroup;
mod fresh;
mod spread;
mod explain;
pub mod fit;
pub mod published;
mod any_fit;
mod modified;
pub mod drift;
pub mod score;
pub mod stream;

use draft::Draft;
use foresee::Foresight;
use problem::{BinId, Packing, Problem, Scope};

/// Planning is repeated from its own result until nothing changes, at most so often.
const ROUNDS_MAX: usize = 6;

/// A search takes at most one part in so many of the steps of a plan.
const SEARCHES: u64 = 2;

/// Packs. Planning again from the result changes nothing, as long as `create_max` does not bind and
/// the searches are complete.
///
/// Each round costs less than the one before it also when seen from the first homes: moving from A
/// to C costs no more than moving from A to B and from B to C.
pub fn pack(problem: &Problem) -> Packing {
    let foresight = Foresight::new();
    let mut purse = Purse { left: problem.effort, per_search: problem.effort / SEARCHES };
    let mut attempt = Attempt::new(problem, &foresight, &mut purse);
    for _ in 1..ROUNDS_MAX {
        let next = at_home(problem, &attempt.place);
        let again = Attempt::new(&next, &foresight, &mut purse);
        let is_stable = again.place == attempt.place;
        attempt = again;
        if is_stable {
            break;
        }
    }
    let mut packing = explain::explain(problem, &attempt.place, attempt.is_held_back);
    packing.is_complete = attempt.is_complete;
    packing
}

/// The steps that one plan may take, over all its searches.
struct Purse {
    left: u64,
    /// No search takes more, so that one is left for another way to begin.
    per_search: u64,
}

impl Purse {
    fn lend(&self, draft: &mut Draft<'_>) {
        draft.effort = self.left.min(self.per_search);
    }

    /// Takes what a search did not use of what it was lent.
    fn settle_up(&mut self, draft: &Draft<'_>) {
        let lent = self.left.min(self.per_search);
        self.left -= lent - draft.effort.min(lent);
    }
}

struct Attempt {
    place: Vec<BinId>,
    is_held_back: bool,
    is_complete: bool,
}

/// The problem as it will be when everything is where it was put, and what is empty is gone.
fn at_home(problem: &Problem, place: &[BinId]) -> Problem {
    let mut next = problem.clone();
    let bins = place.iter().map(|bin| bin + 1).max().unwrap_or(0).max(problem.bins.len());
    next.bins.resize(bins, problem.new_bin);
    let mut is_used = vec![false; bins];
    for (item, bin) in next.items.iter_mut().zip(place) {
        item.home = Some(*bin);
        is_used[*bin] = true;
    }
    // What is emptied makes no place for others within this plan.
    next.create_max = problem.may_create();
    next.bins_max = usize::MAX;
    for (bin, is_used) in next.bins.iter_mut().zip(is_used) {
        next.create_max = next.create_max.saturating_sub(usize::from(is_used && !bin.exists));
        bin.exists = is_used;
    }
    next
}

impl Attempt {
    fn new(problem: &Problem, foresight: &Foresight, purse: &mut Purse) -> Self {
        let mut best = from_home(problem, foresight, purse);
        let may_replan = match problem.scope {
            Scope::Place => false,
            Scope::Relieve => best.is_none(),
            Scope::Pack => true,
        };
        if may_replan && let Some(nothing) = from_nothing(problem, foresight) {
            best = Some(better(best, nothing, purse));
        }
        let is_held_back = best.is_none();
        let draft = best.unwrap_or_else(|| held_back(problem, foresight, purse));
        let place = draft.place.iter();
        let place = place.map(|bin| bin.expect("a finished draft has a place for every item"));
        Self { place: place.collect(), is_held_back, is_complete: draft.effort > 0 }
    }
}

/// What costs less, but never what moves more than planning from nothing for no fewer bins.
fn better<'a>(home: Option<Draft<'a>>, nothing: Draft<'a>, purse: &mut Purse) -> Draft<'a> {
    let effort = home.as_ref().map_or(u64::MAX, |home| home.effort);
    let mut best = match home {
        Some(home) if home.cost <= nothing.cost => home,
        Some(_) | None => {
            let partly = from_large(&nothing);
            let mut settled = partly.unwrap_or_else(|| nothing.clone());
            purse.lend(&mut settled);
            settle(&mut settled);
            purse.settle_up(&settled);
            settled
        }
    };
    best.effort = best.effort.min(effort);
    let is_idle = nothing.used() <= best.used() && nothing.moved < best.moved;
    if is_idle { nothing } else { best }
}

/// Everything stays, but for what has to leave. None if a limit leaves no place for some of it, or
/// if most of it has to leave.
fn from_home<'a>(
    problem: &'a Problem,
    foresight: &'a Foresight,
    purse: &mut Purse,
) -> Option<Draft<'a>> {
    let mut draft = Draft::new(problem, foresight);
    let homeless = evict::evict(&mut draft);
    if homeless.len() * 2 > problem.items.len() && problem.scope == Scope::Pack {
        return None;
    }
    purse.lend(&mut draft);
    let is_placed = place::place_all(&mut draft, homeless).is_empty();
    if is_placed {
        settle(&mut draft);
    }
    purse.settle_up(&draft);
    is_placed.then_some(draft)
}

fn from_nothing<'a>(problem: &'a Problem, foresight: &'a Foresight) -> Option<Draft<'a>> {
    let mut draft = Draft::new(problem, foresight);
    fresh::pack_anew(&mut draft).then_some(draft)
}

/// As few of the smallest items as suffices to cost no more than planning from nothing are packed
/// anew, the rest stays.
fn from_large<'a>(nothing: &Draft<'a>) -> Option<Draft<'a>> {
    let (problem, foresight) = (nothing.problem, nothing.foresight);
    [8, 4, 2].into_iter().find_map(|part| {
        let mut draft = Draft::new(problem, foresight);
        let homeless = evict::evict(&mut draft);
        let count = problem.items.len() / part;
        let is_cheaper = |draft: &Draft<'_>| draft.cost <= nothing.cost;
        (fresh::repack_smallest(&mut draft, homeless, count) && is_cheaper(&draft)).then_some(draft)
    })
}

fn settle(draft: &mut Draft<'_>) {
    if draft.problem.scope == Scope::Place {
        return;
    }
    let least = bound::least_bins(draft.problem);
    close::close_spare(draft, least);
    regroup::regroup(draft);
    if close::close_spare(draft, least) {
        regroup::regroup(draft);
    }
}

/// Everything stays but for what must leave its bin; what is homeless and what is overloaded is
/// spread over all bins that there may be.
fn held_back<'a>(problem: &'a Problem, foresight: &'a Foresight, purse: &mut Purse) -> Draft<'a> {
    let mut draft = Draft::new(problem, foresight);
    let homeless = evict::evict_drained(&mut draft);
    purse.lend(&mut draft);
    spread::spread(&mut draft, homeless);
    purse.settle_up(&draft);
    draft
}
