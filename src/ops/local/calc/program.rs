//! A compiled expression and its evaluation, chunk by chunk in cache.

use std::sync::Arc;

use super::ast::{Binary, Unary};
use super::error::Error;
use super::lanes::{self, Lane};

/// Cells computed at a time: two inputs and three registers of this size stay in a 32 KiB cache.
pub(super) const CHUNK_CELLS: usize = 512;

/// An expression, compiled. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct Program {
    steps: Arc<[Step]>,
    result: Operand,
    inputs: Arc<[usize]>,
    registers: usize,
    names: usize,
}

/// The registers of a run, kept from one [`Program::eval`] to the next; any program may use them.
#[derive(Debug, Clone, Default)]
pub struct Scratch {
    registers: Vec<Vec<f64>>,
}

/// Where an operand is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Operand {
    Constant(f64),
    Input(usize),
    Register(usize),
}

/// One loop over the cells of a chunk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Instruction {
    Unary(Unary, Operand),
    Binary(Binary, Operand, Operand),
    Select(Operand, Operand, Operand),
}

/// An instruction and the register it writes, which is none that it reads.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Step {
    pub(super) instruction: Instruction,
    pub(super) register: usize,
}

impl Program {
    pub(super) fn new(
        steps: Vec<Step>,
        result: Operand,
        inputs: Vec<usize>,
        registers: usize,
        names: usize,
    ) -> Self {
        Self {
            steps: steps.into(),
            result,
            inputs: inputs.into(),
            registers,
            names,
        }
    }

    /// Returns the inputs that the result depends on, ascending; others may be left empty.
    #[must_use]
    pub fn inputs_used(&self) -> &[usize] {
        &self.inputs
    }

    /// Returns the number of inputs that the program was compiled for.
    #[must_use]
    pub fn input_count(&self) -> usize {
        self.names
    }

    /// Returns the number of operations on each cell, for estimates of cost.
    #[must_use]
    pub fn operation_count(&self) -> usize {
        self.steps.len()
    }

    /// Computes every cell of `out` from the same cells of the inputs.
    ///
    /// - `inputs`: one slice for each name, as long as `out`; NaN is NoData. One that is not used may be empty.
    /// - `out`: gets the results; NaN where NoData, or where the result is not finite.
    ///
    /// # Errors
    /// When there are not as many inputs as names, or an input that is used has another length than `out`.
    pub fn eval(
        &self,
        inputs: &[&[f64]],
        out: &mut [f64],
        scratch: &mut Scratch,
    ) -> Result<(), Error> {
        if inputs.len() != self.names {
            return Err(Error::InputCount {
                expected: self.names,
                given: inputs.len(),
            });
        }
        for &input in self.inputs_used() {
            let given = inputs.get(input).map_or(0, |cells| cells.len());
            if given != out.len() {
                return Err(Error::InputCells {
                    input,
                    given,
                    expected: out.len(),
                });
            }
        }
        for (number, out) in out.chunks_mut(CHUNK_CELLS).enumerate() {
            let from = number * CHUNK_CELLS;
            let chunk = |input: usize| -> &[f64] {
                let cells = inputs.get(input).copied().unwrap_or_default();
                cells.get(from..from + out.len()).unwrap_or_default()
            };
            match self.eval_chunk(chunk, out.len(), scratch) {
                Lane::Scalar(value) => out.fill(finite_or_nan(value)),
                Lane::Slice(values) => {
                    (out.iter_mut().zip(values)).for_each(|(out, v)| *out = finite_or_nan(*v));
                }
            }
        }
        Ok(())
    }

    /// Computes at most [`CHUNK_CELLS`] cells; the result may be infinite.
    pub(super) fn eval_chunk<'i: 's, 's>(
        &self,
        input: impl Fn(usize) -> &'i [f64],
        cells: usize,
        scratch: &'s mut Scratch,
    ) -> Lane<'s> {
        scratch.fit(self.registers);
        for step in &*self.steps {
            // The register leaves its slot, so that the others can be read while it is written.
            let Some(mut target) = scratch.registers.get_mut(step.register).map(std::mem::take)
            else {
                continue;
            };
            let lane = |operand| lane(operand, &input, &scratch.registers, cells);
            let out = target.get_mut(..cells).unwrap_or_default();
            match step.instruction {
                Instruction::Unary(op, a) => lanes::unary(op, lane(a), out),
                Instruction::Binary(op, a, b) => lanes::binary(op, lane(a), lane(b), out),
                Instruction::Select(c, a, b) => lanes::select(lane(c), lane(a), lane(b), out),
            }
            if let Some(slot) = scratch.registers.get_mut(step.register) {
                *slot = target;
            }
        }
        lane(self.result, &input, &scratch.registers, cells)
    }
}

fn lane<'i: 'r, 'r>(
    operand: Operand,
    input: &impl Fn(usize) -> &'i [f64],
    registers: &'r [Vec<f64>],
    cells: usize,
) -> Lane<'r> {
    match operand {
        Operand::Constant(value) => Lane::Scalar(value),
        Operand::Input(number) => Lane::Slice(input(number)),
        Operand::Register(number) => {
            let register = registers.get(number).and_then(|cell| cell.get(..cells));
            Lane::Slice(register.unwrap_or_default())
        }
    }
}

fn finite_or_nan(value: f64) -> f64 {
    if value.is_finite() { value } else { f64::NAN }
}

impl Scratch {
    /// Makes scratch space that grows with the first program that uses it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn fit(&mut self, registers: usize) {
        while self.registers.len() < registers {
            self.registers.push(vec![0.0; CHUNK_CELLS]);
        }
    }
}
