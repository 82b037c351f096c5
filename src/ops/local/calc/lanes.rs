//! Each operation as one loop over a chunk of cells: simple loops that the compiler vectorises.

use super::ast::{Binary, Unary};

/// An operand: a number for all cells, or one for each.
#[derive(Debug, Clone, Copy)]
pub(super) enum Lane<'a> {
    Scalar(f64),
    Slice(&'a [f64]),
}

/// Computes `out[i] = op(a[i])`.
pub(super) fn unary(op: Unary, a: Lane<'_>, out: &mut [f64]) {
    match op {
        Unary::Neg => map1(a, out, |a| -a),
        Unary::Not => map1(a, out, |a| unless_nan(a, truth(a == 0.0))),
        Unary::Abs => map1(a, out, f64::abs),
        Unary::Sqrt => map1(a, out, f64::sqrt),
        Unary::Exp => map1(a, out, f64::exp),
        Unary::Ln => map1(a, out, f64::ln),
        Unary::Log10 => map1(a, out, f64::log10),
        Unary::Log2 => map1(a, out, f64::log2),
        Unary::Sin => map1(a, out, f64::sin),
        Unary::Cos => map1(a, out, f64::cos),
        Unary::Tan => map1(a, out, f64::tan),
        Unary::Asin => map1(a, out, f64::asin),
        Unary::Acos => map1(a, out, f64::acos),
        Unary::Atan => map1(a, out, f64::atan),
        Unary::Sinh => map1(a, out, f64::sinh),
        Unary::Cosh => map1(a, out, f64::cosh),
        Unary::Tanh => map1(a, out, f64::tanh),
        Unary::Floor => map1(a, out, f64::floor),
        Unary::Ceil => map1(a, out, f64::ceil),
        Unary::Round => map1(a, out, f64::round),
        Unary::IsNan => map1(a, out, |a| truth(a.is_nan())),
    }
}

/// Computes `out[i] = op(a[i], b[i])`.
pub(super) fn binary(op: Binary, a: Lane<'_>, b: Lane<'_>, out: &mut [f64]) {
    match op {
        Binary::Add => map2(a, b, out, |a, b| a + b),
        Binary::Sub => map2(a, b, out, |a, b| a - b),
        Binary::Mul => map2(a, b, out, |a, b| a * b),
        Binary::Div => map2(a, b, out, |a, b| a / b),
        Binary::Mod => map2(a, b, out, floored_remainder),
        // IEEE has 1 for NaN ** 0 and 1 ** NaN; NoData must come through.
        Binary::Pow => map2(a, b, out, |a, b| unless_either_nan(a, b, a.powf(b))),
        Binary::Less => map2(a, b, out, |a, b| unless_either_nan(a, b, truth(a < b))),
        Binary::LessEqual => map2(a, b, out, |a, b| unless_either_nan(a, b, truth(a <= b))),
        Binary::Greater => map2(a, b, out, |a, b| unless_either_nan(a, b, truth(a > b))),
        Binary::GreaterEqual => map2(a, b, out, |a, b| unless_either_nan(a, b, truth(a >= b))),
        Binary::Equal => map2(a, b, out, |a, b| unless_either_nan(a, b, truth(a == b))),
        Binary::NotEqual => map2(a, b, out, |a, b| unless_either_nan(a, b, truth(a != b))),
        Binary::And => map2(a, b, out, |a, b| {
            unless_either_nan(a, b, truth((a != 0.0) & (b != 0.0)))
        }),
        Binary::Or => map2(a, b, out, |a, b| {
            unless_either_nan(a, b, truth((a != 0.0) | (b != 0.0)))
        }),
        Binary::Min => map2(a, b, out, |a, b| {
            unless_either_nan(a, b, if b < a { b } else { a })
        }),
        Binary::Max => map2(a, b, out, |a, b| {
            unless_either_nan(a, b, if b > a { b } else { a })
        }),
        Binary::Atan2 => map2(a, b, out, f64::atan2),
    }
}

/// Computes `out[i] = if condition[i] { yes[i] } else { no[i] }`; NaN where the condition is.
pub(super) fn select(condition: Lane<'_>, yes: Lane<'_>, no: Lane<'_>, out: &mut [f64]) {
    // The branches merge one after the other, each a loop of two operands.
    map2(condition, yes, out, |c, yes| {
        if (c != 0.0) & !c.is_nan() { yes } else { c }
    });
    merge(condition, no, out);
}

/// Puts `no[i]` where the condition is 0.
fn merge(condition: Lane<'_>, no: Lane<'_>, out: &mut [f64]) {
    let pick = |out: f64, c: f64, no: f64| if c == 0.0 { no } else { out };
    match (condition, no) {
        (Lane::Scalar(c), Lane::Scalar(no)) => {
            out.iter_mut().for_each(|out| *out = pick(*out, c, no));
        }
        (Lane::Scalar(c), Lane::Slice(no)) => {
            (out.iter_mut().zip(no)).for_each(|(out, no)| *out = pick(*out, c, *no));
        }
        (Lane::Slice(c), Lane::Scalar(no)) => {
            (out.iter_mut().zip(c)).for_each(|(out, c)| *out = pick(*out, *c, no));
        }
        (Lane::Slice(c), Lane::Slice(no)) => {
            let operands = c.iter().zip(no);
            (out.iter_mut().zip(operands)).for_each(|(out, (c, no))| *out = pick(*out, *c, *no));
        }
    }
}

fn map1(a: Lane<'_>, out: &mut [f64], f: impl Fn(f64) -> f64) {
    match a {
        Lane::Scalar(a) => out.fill(f(a)),
        Lane::Slice(a) => out.iter_mut().zip(a).for_each(|(out, a)| *out = f(*a)),
    }
}

fn map2(a: Lane<'_>, b: Lane<'_>, out: &mut [f64], f: impl Fn(f64, f64) -> f64) {
    match (a, b) {
        (Lane::Scalar(a), Lane::Scalar(b)) => out.fill(f(a, b)),
        (Lane::Slice(a), Lane::Scalar(b)) => {
            out.iter_mut().zip(a).for_each(|(out, a)| *out = f(*a, b));
        }
        (Lane::Scalar(a), Lane::Slice(b)) => {
            out.iter_mut().zip(b).for_each(|(out, b)| *out = f(a, *b));
        }
        (Lane::Slice(a), Lane::Slice(b)) => {
            let operands = a.iter().zip(b);
            (out.iter_mut().zip(operands)).for_each(|(out, (a, b))| *out = f(*a, *b));
        }
    }
}

fn truth(is_true: bool) -> f64 {
    if is_true { 1.0 } else { 0.0 }
}

fn unless_nan(a: f64, value: f64) -> f64 {
    if a.is_nan() { f64::NAN } else { value }
}

fn unless_either_nan(a: f64, b: f64, value: f64) -> f64 {
    // Not short-circuit: a branch would keep the loop from being vectorised.
    if a.is_nan() | b.is_nan() {
        f64::NAN
    } else {
        value
    }
}

/// The remainder with the sign of the divisor, as Python and numpy have it.
fn floored_remainder(a: f64, b: f64) -> f64 {
    let rest = a % b;
    if rest == 0.0 {
        0.0_f64.copysign(b)
    } else if (rest < 0.0) != (b < 0.0) {
        rest + b
    } else {
        rest
    }
}
