//! Sorting. The standard library's sort adds 2 KB of code to the plugin for each type that it sorts, so this sorts the
//! positions of items, whatever their type.

use std::cmp::Ordering;

/// The items in the order of `compare`; of two equal ones the first stays the first.
pub(crate) fn sorted<'i, T>(items: &'i [T], compare: &dyn Fn(&T, &T) -> Ordering) -> impl Iterator<Item = &'i T> {
    let compare = |one: usize, other: usize| match (items.get(one), items.get(other)) {
        (Some(first), Some(second)) => compare(first, second).then(one.cmp(&other)),
        _ => one.cmp(&other),
    };
    sorted_positions(items.len(), &compare).into_iter().filter_map(|position| items.get(position))
}

fn sorted_positions(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut positions: Vec<usize> = (0..count).collect();
    positions.sort_unstable_by(|&one, &other| compare(one, other));
    positions
}
