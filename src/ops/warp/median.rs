//! Medians of many cells at once: cells side by side are sorted together, scene by scene, by a network of comparisons.

/// Cells that are sorted together.
const LANES: usize = 32;

/// A type of values that have an order.
pub(super) trait Order: Copy + PartialOrd + Into<f64> {
    /// The value that comes after all others, and stands where there is none.
    const LAST: Self;
}

impl Order for f32 {
    const LAST: Self = Self::INFINITY;
}

impl Order for f64 {
    const LAST: Self = Self::INFINITY;
}

/// Gives the median of each cell that has a value; of an even number of values the mean of the two in the middle.
///
/// - `planes`: the values of each scene in these cells, none of them NaN; [`Order::LAST`] where there is none.
/// - `counts`: how many values each cell has.
pub(super) fn medians<T: Order>(planes: &[&[T]], counts: &[u32], mut give: impl FnMut(usize, f64)) {
    let network = sorting_network(planes.len());
    let mut sorted = vec![[T::LAST; LANES]; planes.len()];
    for (chunk, counts) in counts.chunks(LANES).enumerate() {
        let start = chunk * LANES;
        for (lanes, plane) in sorted.iter_mut().zip(planes) {
            let Some(values) = plane.get(start..start + counts.len()) else {
                continue;
            };
            for (lane, value) in lanes.iter_mut().zip(values) {
                *lane = *value;
            }
        }
        for (low, high) in &network {
            if let Ok([low, high]) = sorted.get_disjoint_mut([*low, *high]) {
                compare(low, high);
            }
        }
        for (lane, count) in counts.iter().enumerate() {
            let Some(last) = (*count as usize).checked_sub(1) else {
                continue;
            };
            let at = |place: usize| sorted.get(place).and_then(|lanes| lanes.get(lane));
            if let (Some(lower), Some(upper)) = (at(last / 2), at(last.div_ceil(2))) {
                let (lower, upper): (f64, f64) = ((*lower).into(), (*upper).into());
                let median = if lower == upper {
                    lower
                } else {
                    (lower + upper) / 2.0
                };
                give(start + lane, median);
            }
        }
    }
}

/// Puts the smaller of each pair first.
#[inline(always)]
fn compare<T: Order>(low: &mut [T; LANES], high: &mut [T; LANES]) {
    for (a, b) in low.iter_mut().zip(high) {
        let (small, large) = if *b < *a { (*b, *a) } else { (*a, *b) };
        (*a, *b) = (small, large);
    }
}

/// Lists the comparisons that sort so many values: merge exchange (Knuth, The Art of Computer Programming 3, 5.2.2 M).
fn sorting_network(values: usize) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    let top = values.next_power_of_two() / 2;
    let mut p = top;
    while p > 0 {
        let (mut q, mut r, mut d) = (top, 0, p);
        loop {
            let starts = (0..values.saturating_sub(d)).filter(|i| i & p == r);
            pairs.extend(starts.map(|i| (i, i + d)));
            if q == p {
                break;
            }
            (d, q, r) = (q - p, q / 2, p);
        }
        p /= 2;
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_network_sorts_every_row_of_zeros_and_ones() {
        // The zero-one principle: then it sorts everything.
        for values in 0..=14 {
            let network = sorting_network(values);
            for bits in 0..1_u32 << values {
                let mut row: Vec<u32> = (0..values).map(|n| bits >> n & 1).collect();
                for (low, high) in &network {
                    if row[*high] < row[*low] {
                        row.swap(*low, *high);
                    }
                }
                assert!(row.is_sorted(), "{values} values, {bits:b}");
            }
        }
    }

    #[test]
    fn medians_are_those_of_a_sort() {
        // Enough cells for a chunk that is not full; each cell lacks other scenes.
        let (scenes, cells) = (21, 75);
        let value =
            |scene: usize, cell: usize| ((scene * 7919 + cell * 104_729) % 1009) as f32 - 500.0;
        let has = |scene: usize, cell: usize| (scene * 31 + cell * 17) % 5 > cell % 6;
        let planes: Vec<Vec<f32>> = (0..scenes)
            .map(|s| {
                (0..cells)
                    .map(|c| if has(s, c) { value(s, c) } else { f32::LAST })
                    .collect()
            })
            .collect();
        let planes: Vec<&[f32]> = planes.iter().map(Vec::as_slice).collect();
        let count = |cell| (0..scenes).filter(|scene| has(*scene, cell)).count() as u32;
        let counts: Vec<u32> = (0..cells).map(count).collect();
        assert!(counts.contains(&0) && counts.iter().any(|count| *count > 10));
        let mut found = vec![None; cells];
        medians(&planes, &counts, |cell, median| found[cell] = Some(median));
        for (cell, found) in found.into_iter().enumerate() {
            let all = (0..scenes).filter(|scene| has(*scene, cell));
            let mut all: Vec<f64> = all.map(|scene| f64::from(value(scene, cell))).collect();
            all.sort_by(f64::total_cmp);
            let expected = match all.len() {
                0 => None,
                n if n % 2 == 1 => Some(all[n / 2]),
                n => Some((all[n / 2 - 1] + all[n / 2]) / 2.0),
            };
            assert_eq!(found, expected, "cell {cell}");
        }
    }
}
