//! The weights of a convolution, from text or from rows.

use serde::{Deserialize, Serialize};

use super::{Error, SIZE_MAX};

/// The weights of a convolution: an odd number of rows of an odd number of finite weights, not all of them 0.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Vec<f64>>", into = "Vec<Vec<f64>>")]
pub struct Weights {
    rows: Vec<Vec<f64>>,
    cols: usize,
}

impl Weights {
    /// Reads a kernel file: a row of weights a line, between blanks or commas; `#` starts a comment, empty lines do not count.
    ///
    /// # Errors
    /// When a weight is not a number, or the rows are no kernel.
    pub fn from_text(text: &str) -> Result<Self, Error> {
        let mut rows: Vec<Vec<f64>> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.split('#').next().unwrap_or_default();
            let words = line
                .split(|c: char| c == ',' || c.is_whitespace())
                .filter(|word| !word.is_empty());
            let mut row = Vec::new();
            for word in words {
                let weight = word.parse().map_err(|_| Error::KernelNumber {
                    line: number,
                    text: word.chars().take(40).collect(),
                })?;
                row.push(weight);
            }
            if !row.is_empty() {
                rows.push(row);
            }
        }
        Self::try_from(rows)
    }

    /// Returns the rows of weights, from the top.
    #[must_use]
    pub fn rows(&self) -> &[Vec<f64>] {
        &self.rows
    }

    /// Returns the number of columns.
    #[must_use]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Returns how far the weights reach from the middle one.
    pub(super) fn radius(&self) -> usize {
        self.rows.len().max(self.cols) / 2
    }
}

impl TryFrom<Vec<Vec<f64>>> for Weights {
    type Error = Error;

    fn try_from(rows: Vec<Vec<f64>>) -> Result<Self, Error> {
        let cols = rows.first().map_or(0, Vec::len);
        if let Some((row, found)) = (1..).zip(&rows).find(|(_, row)| row.len() != cols) {
            return Err(Error::KernelRow {
                row,
                found: found.len(),
                expected: cols,
            });
        }
        let odd = |n: usize| !n.is_multiple_of(2) && n <= SIZE_MAX as usize;
        if !odd(rows.len()) || !odd(cols) {
            return Err(Error::KernelShape {
                rows: rows.len(),
                cols,
            });
        }
        let infinite = |row: &Vec<f64>| row.iter().any(|weight| !weight.is_finite());
        if let Some((row, _)) = (1..).zip(&rows).find(|(_, row)| infinite(row)) {
            return Err(Error::KernelWeight { row });
        }
        if rows.iter().flatten().all(|weight| *weight == 0.0) {
            return Err(Error::KernelZero);
        }
        Ok(Self { rows, cols })
    }
}

impl From<Weights> for Vec<Vec<f64>> {
    fn from(weights: Weights) -> Self {
        weights.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_read_from_text() {
        let text = "# Sobel\n-1 0 1\n-2, 0, 2  # the middle\n\n -1\t0\t1e0\n";
        let expected = vec![
            vec![-1.0, 0.0, 1.0],
            vec![-2.0, 0.0, 2.0],
            vec![-1.0, 0.0, 1.0],
        ];
        assert_eq!(Weights::from_text(text).unwrap().rows(), expected);
        let row = Weights::from_text("1 2 1").unwrap();
        assert_eq!((row.rows().len(), row.radius()), (1, 1));
    }

    #[test]
    fn what_is_no_kernel_is_refused_with_its_place() {
        let check = |text: &str, expected: &str| {
            let error = Weights::from_text(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check("1 2 1\n1 x 1\n1 2 1", "line 2");
        check("1 2 1\n1 2\n1 2 1", "row 2");
        check("1 2\n3 4", "2 rows of 2");
        check("# nothing", "0 rows");
        check("1 inf 1", "row 1");
        check("0 0 0", "all weights");
    }
}
