//! What can be wrong with an expression, and with the blocks it is given.

use crate::grid::DataType;

/// A place in an expression; its text is the line and a caret under the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    expression: String,
    at: usize,
    len: usize,
}

/// Characters of the expression shown on each side of the place.
const CONTEXT_CHARS: usize = 40;

impl Place {
    /// Marks `len` bytes of an expression from byte `at`.
    pub(super) fn new(expression: &str, at: usize, len: usize) -> Self {
        Self {
            expression: expression.to_owned(),
            at,
            len,
        }
    }

    /// Returns the number of the first character of the place, from 1.
    #[must_use]
    pub fn column(&self) -> usize {
        self.chars_before() + 1
    }

    fn chars_before(&self) -> usize {
        let before = self.expression.char_indices();
        before.take_while(|(byte, _)| *byte < self.at).count()
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let before = self.chars_before();
        let skipped = before.saturating_sub(CONTEXT_CHARS);
        let mut rest = self.expression.chars().skip(skipped);
        let shown: String = rest
            .by_ref()
            .take(before - skipped + CONTEXT_CHARS)
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let (head, tail) = (
            if skipped > 0 { "…" } else { "" },
            if rest.next().is_some() { "…" } else { "" },
        );
        let indent = before - skipped + head.chars().count();
        let carets = "^".repeat(self.len.clamp(1, CONTEXT_CHARS));
        write!(f, "  {head}{shown}{tail}\n  {:indent$}{carets}", "")
    }
}

/// Says why an expression cannot be compiled, or a program cannot be run.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// Somebody asked to stop.
    #[error("the computation was stopped")]
    Stopped,
    /// Nothing is there.
    #[error("the expression is empty; write one such as '(B - A) / (B + A)'")]
    Empty,
    /// The text is longer than any formula.
    #[error("the expression has {len} bytes; at most {max} are allowed")]
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// The limit.
        max: usize,
    },
    /// Parentheses, signs, powers or choices lie too deep in each other.
    #[error("the expression nests deeper than {max} levels at character {}\n{place}", place.column())]
    TooDeep {
        /// The limit.
        max: usize,
        /// Where it is passed.
        place: Place,
    },
    /// A character that the grammar does not have.
    #[error("'{found}' at character {} has no meaning here{hint}\n{place}", place.column())]
    Character {
        /// The character.
        found: char,
        /// What may have been meant; starts with `; `, or is empty.
        hint: &'static str,
        /// Where it stands.
        place: Place,
    },
    /// A number that is not finite, or a band that is not 1 to 65535.
    #[error("'{text}' at character {} is not {expected}\n{place}", place.column())]
    Number {
        /// As it was written.
        text: String,
        /// What was looked for.
        expected: &'static str,
        /// Where it stands.
        place: Place,
    },
    /// Something stands where something else must.
    #[error("expected {expected} but found {found} at character {}\n{place}", place.column())]
    Unexpected {
        /// What could have followed.
        expected: &'static str,
        /// What did.
        found: String,
        /// Where it stands.
        place: Place,
    },
    /// A comparison of a comparison, which means different things in different languages.
    #[error("comparisons do not chain: write 'a < b && b < c' at character {}\n{place}", place.column())]
    ChainedComparison {
        /// The second comparison.
        place: Place,
    },
    /// A name that no input has.
    #[error("no input is named '{name}' at character {}; the inputs are {known}\n{place}", place.column())]
    UnknownName {
        /// The name.
        name: String,
        /// The names that there are.
        known: String,
        /// Where it stands.
        place: Place,
    },
    /// A function that the grammar does not have.
    #[error("there is no function '{name}' at character {}; there are {known}\n{place}", place.column())]
    UnknownFunction {
        /// The name.
        name: String,
        /// The functions that there are.
        known: String,
        /// Where it stands.
        place: Place,
    },
    /// A call with too few or too many arguments.
    #[error("'{function}' takes {expected}, not {given}, at character {}\n{place}", place.column())]
    Arguments {
        /// The function.
        function: String,
        /// How many it takes.
        expected: &'static str,
        /// How many it was given.
        given: usize,
        /// Where it stands.
        place: Place,
    },
    /// Two inputs have one name.
    #[error("two inputs are named '{name}'; give each its own name")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// Scale or offset is not a number to compute with.
    #[error("scale {scale} and offset {offset} must be finite")]
    Scale {
        /// The factor.
        scale: f64,
        /// What is added.
        offset: f64,
    },
    /// The program was given another number of inputs than it was compiled for.
    #[error("the expression was compiled for {expected} bands and got {given}")]
    InputCount {
        /// The number of names.
        expected: usize,
        /// The number of bands.
        given: usize,
    },
    /// An input has another number of cells than the output.
    #[error("input {input} has {given} cells where {expected} are needed")]
    InputCells {
        /// The input, from 0.
        input: usize,
        /// Its cells.
        given: usize,
        /// The cells of the output.
        expected: usize,
    },
    /// A block has another shape than the first.
    #[error(
        "block {block} has {cols} x {rows} cells and the first has {first_cols} x {first_rows}"
    )]
    BlockShape {
        /// The block, from 0.
        block: usize,
        /// Its columns.
        cols: u32,
        /// Its rows.
        rows: u32,
        /// Columns of the first block.
        first_cols: u32,
        /// Rows of the first block.
        first_rows: u32,
    },
    /// A mask has another number of cells than its block.
    #[error("the mask of block {block} has {given} cells where {expected} are needed")]
    MaskCells {
        /// The block, from 0.
        block: usize,
        /// Cells of the mask.
        given: usize,
        /// Cells of the block.
        expected: usize,
    },
    /// No block was given, so that the shape of the output is not known.
    #[error("band math needs at least one block, to know the shape of its output")]
    NoBlocks,
    /// Integers have no NaN to stand for "no data".
    #[error(
        "{dtype} output has no value for no data; give one with --nodata, or use a float --dtype"
    )]
    NodataMissing {
        /// The type of the output.
        dtype: DataType,
    },
    /// The "no data" value cannot be stored.
    #[error("no data value {nodata} cannot be stored as {dtype}; give one that can with --nodata")]
    NodataNotStorable {
        /// The value.
        nodata: f64,
        /// The type of the output.
        dtype: DataType,
    },
    /// An invariant of the compiler does not hold.
    #[error("bug in the expression compiler: {what}; please report the expression")]
    Bug {
        /// What does not hold.
        what: &'static str,
    },
}
