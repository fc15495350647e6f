//! Exact percentiles from all samples. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Every sample, in nanoseconds: each value with how often it was seen, ascending. Nothing is rounded; it is only a short
/// way to write thousands of samples down.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Samples(Vec<(u64, u64)>);

impl Samples {
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(_, count)| count).sum()
    }

    /// The smallest value that at least so many of 1000 samples do not exceed; `None` without samples.
    pub fn permille(&self, permille: u64) -> Option<u64> {
        let rank = (self.count() * permille).div_ceil(1000).max(1);
        let mut seen = 0;
        self.0
            .iter()
            .find(|(_, count)| {
                seen += count;
                seen >= rank
            })
            .map(|(value, _)| *value)
    }

    pub fn max(&self) -> Option<u64> {
        self.0.last().map(|(value, _)| *value)
    }

    pub fn merged<'a>(all: impl IntoIterator<Item = &'a Samples>) -> Samples {
        let mut values = BTreeMap::new();
        for (value, count) in all.into_iter().flat_map(|samples| &samples.0) {
            *values.entry(*value).or_default() += count;
        }
        Samples(values.into_iter().collect())
    }
}

impl FromIterator<u64> for Samples {
    fn from_iter<I: IntoIterator<Item = u64>>(values: I) -> Self {
        let mut values: Vec<u64> = values.into_iter().collect();
        values.sort_unstable();
        Samples(values.chunk_by(|a, b| a == b).map(|chunk| (chunk[0], chunk.len() as u64)).collect())
    }
}

/// Of an even number the mean of the two in the middle.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        count if count % 2 == 1 => Some(values[middle]),
        _ => Some((values[middle - 1] + values[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_sorted_samples() {
        let samples: Samples = (1..=1000).rev().collect();
        assert_eq!([500, 990, 999, 1000].map(|permille| samples.permille(permille)), [500, 990, 999, 1000].map(Some));
        assert_eq!(samples.max(), Some(1000));
        assert_eq!(Samples::default().permille(500), None);
    }

    #[test]
    fn merging_is_sampling_together() {
        let merged = Samples::merged([&[3, 1, 3].into_iter().collect(), &[2, 3].into_iter().collect()]);
        assert_eq!(merged.0, [(1, 1), (2, 1), (3, 3)]);
        assert_eq!(merged.count(), 5);
    }

    #[test]
    fn a_median_of_two_is_between_them() {
        assert_eq!(median([3.0, 1.0]), Some(2.0));
        assert_eq!(median([3.0, 1.0, 9.0]), Some(3.0));
        assert_eq!(median([]), None);
    }
}
