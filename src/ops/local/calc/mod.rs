//! Band math: one expression over the cells of any number of bands.
//!
//! [`compile`] turns text into a [`Program`], which [`Program::eval`] runs over slices of doubles;
//! [`CalcKernel`] runs it over blocks of any sample type. [`parse_inputs`] tells which bands an
//! expression wants. Nothing here reads a file or knows where a cell is.
//!
//! # Grammar
//!
//! From the loosest to the tightest:
//!
//! | | | |
//! |---|---|---|
//! | `c ? a : b` | choice | right to left |
//! | `\|\|` | or | |
//! | `&&` | and | |
//! | `< <= > >= == !=` | comparison, 1 or 0 | does not chain |
//! | `+ -` | | left to right |
//! | `* / %` | `%` takes the divisor's sign, as in Python | left to right |
//! | `- + !` | sign, not | |
//! | `** ^` | power: `-a ** 2` is `-(a ** 2)`, `2 ** -1` is 0.5 | right to left |
//!
//! Functions: `where(c, a, b)`, `min(…)`, `max(…)`, `clamp(x, lo, hi)`, `atan2(y, x)`, `isnan(x)`, and
//! of one argument `abs sqrt exp log ln log10 log2 sin cos tan asin acos atan sinh cosh tanh floor ceil round`;
//! `log` is the natural logarithm, `round` goes half away from zero. `pi` and `e` are constants, unless an
//! input has that name. A name is `[A-Za-z_][A-Za-z0-9_]*`; `A@2` is band 2 of input A, an input
//! of its own named `A@2`.
//!
//! # NoData
//!
//! A NoData cell comes in as NaN and goes out as NaN. Every operation, comparisons, `&&`, `||`, `min`, `max` and
//! `**` among them, gives NaN when any operand is NaN, with two exceptions: `isnan(x)` is 1 or 0, and
//! `where` (like `? :`) looks at its condition (NaN gives NaN) and at the branch it picks, not at the other.
//! So `isnan(A) ? 0 : A` fills holes. In between, arithmetic is IEEE double precision, infinities included, exactly
//! as written: nothing is reordered. A *result* that is not finite is NoData: 0/0 and x/0 alike.
//! Any number but 0 is true.
//!
//! `+ - * / sqrt` are correctly rounded and the same on every machine; `exp`, `sin`, `**` and their like come from
//! the platform's library and may differ in the last bit between platforms. `x ** 2` is `x * x`,
//! `x ** 0.5` is `sqrt(x)` and `x ** -1` is `1 / x`, as in numpy.
//!
//! Read `parse` first, then `compile`, then `program`.

mod ast;
pub(in crate::ops) mod cell;
mod compile;
mod error;
mod kernel;
mod lanes;
mod parse;
mod program;
mod token;

#[cfg(test)]
mod tests;

pub use compile::{compile, parse_inputs};
pub use error::{Error, Place};
pub use kernel::CalcKernel;
pub use program::{Program, Scratch};
