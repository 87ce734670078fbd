//! Pure. What a packing moves, and why, told from where everything was and where it ends up.

use super::problem::{BinId, Cause, ItemId, Packing, Problem};

/// Describes the places as moves.
pub(super) fn explain(problem: &Problem, place: &[BinId], is_held_back: bool) -> Packing {
    let bins = place.iter().map(|bin| bin + 1).max().unwrap_or(0).max(problem.bins.len());
    let mut contents: Vec<Vec<ItemId>> = vec![Vec::new(); bins];
    for (item, bin) in place.iter().enumerate() {
        contents[*bin].push(item);
    }
    let moves = (0..place.len()).filter(|item| !problem.items[*item].is_home(place[*item]));
    let loads = home_loads(problem);
    let moves = moves.map(|item| (item, cause(problem, &contents, &loads, item))).collect();
    Packing { bin_of: place.to_vec(), moves, is_held_back, is_complete: true }
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
