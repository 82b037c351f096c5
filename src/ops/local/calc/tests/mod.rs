//! Tests of band math: the language, its errors, random expressions, blocks.

mod blocks;
mod errors;
mod language;
mod random;

use super::{Scratch, compile};

/// Computes one cell of an expression over inputs A, B, C, …
fn cell(expression: &str, inputs: &[f64]) -> f64 {
    let names = ["A", "B", "C", "D", "E"];
    let program = compile(expression, &names[..inputs.len()]).unwrap_or_else(|e| panic!("{e}"));
    let slices: Vec<&[f64]> = inputs.iter().map(std::slice::from_ref).collect();
    let mut out = [f64::NEG_INFINITY];
    program
        .eval(&slices, &mut out, &mut Scratch::new())
        .unwrap();
    out[0]
}

/// Tells whether two results are the same: bit for bit, or both NoData.
fn same(a: f64, b: f64) -> bool {
    a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan())
}
