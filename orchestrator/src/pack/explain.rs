//! Pure. What a packing changes, and why, told from where everything was and where it ends up.

use super::problem::{BinId, Cause, ItemId, Packing, Problem};

/// Describes the places as changes of the problem.
pub(super) fn explain(problem: &Problem, place: &[BinId], is_held_back: bool) -> Packing {
    let bins = place.iter().map(|bin| bin + 1).max().unwrap_or(0).max(problem.bins.len());
    let mut contents: Vec<Vec<ItemId>> = vec![Vec::new(); bins];
    for (item, bin) in place.iter().enumerate() {
        contents[*bin].push(item);
    }
    let (created, closed) = changed_bins(problem, &contents);
    let moves = (0..place.len()).filter(|item| !problem.items[*item].is_home(place[*item]));
    let loads = home_loads(problem);
    let moves = moves.map(|item| (item, cause(problem, &contents, &loads, item))).collect();
    Packing { bin_of: place.to_vec(), created, closed, moves, is_held_back, is_complete: true }
}

/// What each bin held at first.
fn home_loads(problem: &Problem) -> Vec<u64> {
    let mut loads = vec![0_u64; problem.bins.len()];
    for item in &problem.items {
        if let Some(home) = item.home {
            loads[home] = loads[home].saturating_add(item.size);
        }
    }
    loads
}

fn cause(problem: &Problem, contents: &[Vec<ItemId>], loads: &[u64], item: ItemId) -> Cause {
    let Some(from) = problem.items[item].home else { return Cause::New };
    if !problem.bins[from].may_receive {
        return Cause::Drained { from };
    }
    if loads[from] > problem.bins[from].ceiling.max(problem.bins[from].capacity) {
        return Cause::Evicted { from };
    }
    let arrivals = contents[from].iter().filter(|other| !problem.items[**other].is_home(from));
    match arrivals.max_by_key(|other| problem.items[**other].size) {
        Some(room_for) => Cause::MadeRoom { from, room_for: *room_for },
        None if contents[from].is_empty() => Cause::Closed { from },
        None => Cause::Eased { from },
    }
}

type Created = Vec<(BinId, Option<ItemId>)>;

/// The bins that are created, and those that are closed. Empty ones are kept, then created, up to
/// the minimum.
fn changed_bins(problem: &Problem, contents: &[Vec<ItemId>]) -> (Created, Vec<BinId>) {
    let bin = |id: BinId| problem.bins.get(id).unwrap_or(&problem.new_bin);
    let is_used = |id: &BinId| !contents[*id].is_empty();
    let used = (0..contents.len()).filter(|id| is_used(id) && bin(*id).may_receive).count();
    let mut lacking = problem.bins_min.saturating_sub(used);
    let mut closed = Vec::new();
    for id in (0..problem.bins.len()).filter(|id| bin(*id).exists && !is_used(id)) {
        if lacking > 0 && bin(id).may_receive {
            lacking -= 1;
        } else {
            closed.push(id);
        }
    }
    let largest = |id: BinId| {
        let items = contents[id].iter().copied();
        items.max_by_key(|item| (problem.items[*item].size, std::cmp::Reverse(*item)))
    };
    let new = (0..contents.len()).filter(|id| !bin(*id).exists && is_used(id));
    let mut created: Created = new.map(|id| (id, largest(id))).collect();
    lacking = lacking.min(problem.may_create().saturating_sub(created.len()));
    let free = (0..).filter(|id| !bin(*id).exists && contents.get(*id).is_none_or(Vec::is_empty));
    created.extend(free.take(lacking).map(|id| (id, None)));
    created.sort_unstable();
    (created, closed)
}
