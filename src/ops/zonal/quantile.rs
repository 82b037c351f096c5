//! Percentiles of values that come in order.
//!
//! Of whole cells: linear between the two nearest ranks, as NumPy (and so rasterstats) defines it (Hyndman and Fan's
//! type 7). Of weighted cells: exactextract's definition, over the different values and their summed weights: the
//! `i`-th of `n` stands at `i·wᵢ + (n − 1)·(w₀ + … + wᵢ₋₁)` of `(n − 1)·Σw`, linear in between.

/// Finds percentiles of one zone.
#[derive(Debug, Clone)]
pub struct Quantiles {
    rule: Rule,
    targets: Vec<Target>,
}

#[derive(Debug, Clone, Copy)]
enum Rule {
    /// Ranks; so many cells were seen.
    Ranks { seen: u128 },
    /// Weights: number of different values, of those seen, sum of the weights seen.
    Weights { n: u64, seen: u64, sum: f64 },
}

#[derive(Debug, Clone, Copy)]
struct Target {
    at: f64,
    left: Option<(f64, f64)>,
    right: Option<(f64, f64)>,
}

impl Quantiles {
    /// Makes it for percentiles (0 to 100) of whole cells, of which there are so many.
    #[must_use]
    pub fn of_cells(percentiles: &[f64], cells: u128) -> Self {
        let last = cells.saturating_sub(1) as f64;
        Self {
            rule: Rule::Ranks { seen: 0 },
            targets: targets(percentiles, last),
        }
    }

    /// Makes it for percentiles of weighted values.
    ///
    /// - `weight`: the sum of all weights. `variety`: the number of different values.
    #[must_use]
    pub fn of_weights(percentiles: &[f64], weight: f64, variety: u64) -> Self {
        let all = weight * variety.saturating_sub(1) as f64;
        Self {
            rule: Rule::Weights {
                n: variety,
                seen: 0,
                sum: 0.0,
            },
            targets: targets(percentiles, all),
        }
    }

    /// Takes the next larger value: how many cells have it, or how much weight (in cells).
    pub fn push(&mut self, value: f64, cells: u128, weight: f64) {
        match &mut self.rule {
            Rule::Ranks { seen } => {
                let (first, end) = (*seen, *seen + cells);
                *seen = end;
                for target in &mut self.targets {
                    let low = target.at.floor();
                    let holds = |rank: f64| first as f64 <= rank && rank < end as f64;
                    if holds(low) {
                        target.left = Some((low, value));
                    }
                    if holds(low + 1.0) {
                        target.right = Some((low + 1.0, value));
                    }
                }
            }
            Rule::Weights { n, seen, sum } => {
                let at = match *seen {
                    0 => 0.0,
                    i => i as f64 * weight + (n.saturating_sub(1)) as f64 * *sum,
                };
                *seen += 1;
                *sum += weight;
                for target in &mut self.targets {
                    match target.right {
                        Some(_) => {}
                        None if at > target.at => target.right = Some((at, value)),
                        None => target.left = Some((at, value)),
                    }
                }
            }
        }
    }

    /// Returns the percentiles, in the order in which they were asked for.
    #[must_use]
    pub fn finish(&self) -> Vec<Option<f64>> {
        let between = |target: &Target| {
            let (left, low) = target.left?;
            let Some((right, high)) = target.right else {
                return Some(low);
            };
            let share = (target.at - left) / (right - left);
            Some(match self.rule {
                Rule::Weights { .. } => low + (target.at - left) * (high - low) / (right - left),
                // NumPy's, which is exact at both ends.
                Rule::Ranks { .. } if share < 0.5 => low + (high - low) * share,
                Rule::Ranks { .. } => high - (high - low) * (1.0 - share),
            })
        };
        self.targets.iter().map(between).collect()
    }
}

fn targets(percentiles: &[f64], whole: f64) -> Vec<Target> {
    let target = |percent: &f64| Target {
        at: percent / 100.0 * whole,
        left: None,
        right: None,
    };
    percentiles.iter().map(target).collect()
}
