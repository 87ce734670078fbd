//! Pure. The published any-fit heuristics: item after item into a consumer chosen by its fit.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::fit::{Fit, Id, Input};

/// NF, FF, BF and WF.
pub(super) fn as_given(input: &Input<'_>, fit: Fit) -> Vec<Id> {
    assign_all(input, 0..input.sizes.len(), fit)
}

/// NFD, FFD, BFD and WFD.
pub(super) fn decreasing(input: &Input<'_>, fit: Fit) -> Vec<Id> {
    assign_all(input, descending(input.sizes, 0..input.sizes.len()), fit)
}

fn assign_all(input: &Input<'_>, order: impl IntoIterator<Item = usize>, fit: Fit) -> Vec<Id> {
    let mut created = Created::new(input);
    for item in order {
        created.assign(item, fit);
    }
    created.into_assignment()
}

/// From the largest down, equal ones in the order as given.
pub(super) fn descending(sizes: &[u64], items: impl IntoIterator<Item = usize>) -> Vec<usize> {
    let mut items: Vec<usize> = items.into_iter().collect();
    items.sort_by_key(|item| Reverse(sizes[*item]));
    items
}

/// The consumers that this iteration has created so far, and what they were given.
pub(super) struct Created<'a> {
    input: &'a Input<'a>,
    loads: BTreeMap<Id, Load>,
    last: Option<Id>,
    owners: BTreeMap<usize, Id>,
}

#[derive(Clone, Copy, Default)]
struct Load {
    sum: u64,
    items: usize,
}

impl<'a> Created<'a> {
    pub(super) fn new(input: &'a Input<'a>) -> Self {
        Self { input, loads: BTreeMap::new(), last: None, owners: BTreeMap::new() }
    }

    /// Assigns to a consumer that is there, else to a new one.
    pub(super) fn assign(&mut self, item: usize, fit: Fit) {
        if !self.assign_to_existing(item, fit) {
            let id = self.free_id(item);
            self.create(id);
            self.put(item, id);
        }
    }

    /// Assigns to a consumer that is there, or returns false if it fits into none.
    pub(super) fn assign_to_existing(&mut self, item: usize, fit: Fit) -> bool {
        let size = self.input.sizes[item];
        let mut fitting = self.loads.iter().filter(|(_, load)| self.fits(load, size));
        let chosen = match fit {
            Fit::Next => fitting.find(|(id, _)| Some(**id) == self.last),
            Fit::First => fitting.next(),
            Fit::Best => fitting.min_by_key(|(id, load)| (Reverse(load.sum), **id)),
            Fit::Worst => fitting.min_by_key(|(id, load)| (load.sum, **id)),
        };
        let Some(id) = chosen.map(|(id, _)| *id) else { return false };
        self.put(item, id);
        true
    }

    pub(super) fn create(&mut self, id: Id) {
        self.loads.insert(id, Load::default());
        self.last = Some(id);
    }

    pub(super) fn put(&mut self, item: usize, id: Id) {
        let load = self.loads.entry(id).or_default();
        load.sum += self.input.sizes[item];
        load.items += 1;
        self.owners.insert(item, id);
    }

    /// Puts the item to this consumer if it fits there.
    pub(super) fn put_if_it_fits(&mut self, item: usize, id: Id) -> bool {
        let load = self.loads.get(&id).copied().unwrap_or_default();
        let fits = self.fits(&load, self.input.sizes[item]);
        if fits {
            self.put(item, id);
        }
        fits
    }

    pub(super) fn into_assignment(self) -> Vec<Id> {
        self.owners.into_values().collect()
    }

    fn fits(&self, load: &Load, size: u64) -> bool {
        load.items == 0 || load.sum + size <= self.input.capacity
    }

    /// The item's current consumer if that does not exist yet, else the lowest free number.
    fn free_id(&self, item: usize) -> Id {
        let current = self.input.current[item].filter(|id| !self.loads.contains_key(id));
        let lowest = || (1..).find(|id| !self.loads.contains_key(id));
        current.or_else(lowest).expect("there are more numbers than items")
    }
}

#[cfg(test)]
mod tests {
    use super::super::published::Heuristic::{self, *};
    use super::*;

    /// Six items, capacity 10, nobody has anything yet.
    const SIZES: [u64; 6] = [4, 7, 5, 2, 3, 6];

    fn fresh(heuristic: Heuristic) -> Vec<Id> {
        heuristic.pack(&Input { capacity: 10, sizes: &SIZES, current: &[None; 6] })
    }

    #[test]
    fn next_fit_looks_at_the_last_consumer_only() {
        assert_eq!(fresh(NextFit), [1, 2, 3, 3, 3, 4]);
        // 7 | 6 4 | .. 5 3 2
        assert_eq!(fresh(NextFitDecreasing), [3, 1, 3, 4, 4, 2]);
    }

    #[test]
    fn first_fit_takes_the_lowest_number() {
        assert_eq!(fresh(FirstFit), [1, 2, 1, 2, 3, 3]);
        assert_eq!(fresh(FirstFitDecreasing), [2, 1, 3, 3, 1, 2]);
    }

    #[test]
    fn best_fit_takes_the_fullest() {
        // 4 5 | 7 2 | 3 6
        assert_eq!(fresh(BestFit), [1, 2, 1, 2, 3, 3]);
        // 4 | 7, then 3 into 7, 2 into 4
        let sizes = [4, 7, 3, 2];
        let input = Input { capacity: 10, sizes: &sizes, current: &[None; 4] };
        assert_eq!(BestFit.pack(&input), [1, 2, 2, 1]);
        assert_eq!(fresh(BestFitDecreasing), [2, 1, 3, 3, 1, 2]);
    }

    #[test]
    fn worst_fit_takes_the_emptiest() {
        let sizes = [4, 7, 3, 2];
        let input = Input { capacity: 10, sizes: &sizes, current: &[None; 4] };
        assert_eq!(WorstFit.pack(&input), [1, 2, 1, 1]);
        // 7 | 6, 5 | .., 4 into 5, 3 into 6, 2 into 7
        assert_eq!(fresh(WorstFitDecreasing), [3, 1, 3, 1, 2, 2]);
    }

    #[test]
    fn a_new_consumer_is_the_current_one_of_its_item_if_that_is_free() {
        let current = [Some(4), Some(4), None, Some(2)];
        let input = Input { capacity: 10, sizes: &[9, 8, 7, 6], current: &current };
        assert_eq!(FirstFit.pack(&input), [4, 1, 2, 3]);
    }

    #[test]
    fn an_empty_consumer_takes_anything_and_zeros_fit_everywhere_else() {
        let input = Input { capacity: 10, sizes: &[12, 0, 10, 0], current: &[None; 4] };
        // 12 alone is above the capacity, so not even a zero fits beside it.
        assert_eq!(FirstFit.pack(&input), [1, 2, 2, 2]);
    }

    #[test]
    fn ties_go_to_the_lowest_number() {
        let input =
            Input { capacity: 10, sizes: &[6, 6, 2, 2], current: &[Some(3), Some(2), None, None] };
        assert_eq!(BestFit.pack(&input), [3, 2, 2, 2]);
        assert_eq!(WorstFit.pack(&input), [3, 2, 2, 3]);
    }
}
