//! Nodes to a program: names resolved, constants folded, each value computed once.

use std::collections::BTreeMap;

use super::ast::{Binary, Node, Unary, constant};
use super::error::{Error, Place};
use super::lanes::{self, Lane};
use super::parse::parse;
use super::program::{Instruction, Operand, Program, Step};

/// Compiles an expression whose names are those of the inputs, in their order.
///
/// A reference `A@2` is the input named `A@2`. An input may be named like a constant (`e`) and is then meant.
///
/// # Errors
/// When the text does not parse, names something that is not an input, or two inputs share a name.
pub fn compile(expression: &str, names: &[impl AsRef<str>]) -> Result<Program, Error> {
    let (nodes, whole) = parse(expression)?;
    let inputs = input_numbers(names)?;
    let mut graph = Graph::default();
    let mut values = Vec::with_capacity(nodes.len());
    for node in nodes {
        let value = |id: usize| values.get(id).copied().ok_or(BACKWARD);
        let id = match node {
            Node::Number(number) => graph.constant(number),
            Node::Name {
                name,
                band,
                at,
                len,
            } => match (inputs.get(full_name(name, band).as_str()), constant(name)) {
                (Some(input), _) => graph.intern(Value::Input(*input)),
                (None, Some(number)) if band.is_none() => graph.constant(number),
                _ => return Err(unknown(expression, name, band, at, len, names)),
            },
            Node::Unary(op, a) => graph.unary(op, value(a)?),
            Node::Binary(op, a, b) => graph.binary(op, value(a)?, value(b)?),
            Node::Select(c, a, b) => graph.select(value(c)?, value(a)?, value(b)?),
        };
        values.push(id);
    }
    let result = values.get(whole).copied().ok_or(BACKWARD)?;
    graph.program(result, names.len())
}

/// Lists the bands that an expression refers to, each once, in order of first use.
///
/// `A@2` is `("A", Some(2))`. The constants `pi` and `e` are not listed; to use an input of such a name, name it to [`compile`].
///
/// # Errors
/// When the text does not parse.
pub fn parse_inputs(expression: &str) -> Result<Vec<(String, Option<u16>)>, Error> {
    let mut found: Vec<(String, Option<u16>)> = Vec::new();
    for node in parse(expression)?.0 {
        let Node::Name { name, band, .. } = node else {
            continue;
        };
        let is_constant = band.is_none() && constant(name).is_some();
        if !is_constant && !found.iter().any(|(n, b)| n == name && *b == band) {
            found.push((name.to_owned(), band));
        }
    }
    Ok(found)
}

const BACKWARD: Error = Error::Bug {
    what: "an operation comes before its operand",
};

fn full_name(name: &str, band: Option<u16>) -> String {
    band.map_or_else(|| name.to_owned(), |band| format!("{name}@{band}"))
}

fn input_numbers(names: &[impl AsRef<str>]) -> Result<BTreeMap<&str, usize>, Error> {
    let mut numbers = BTreeMap::new();
    for (number, name) in names.iter().enumerate() {
        if numbers.insert(name.as_ref(), number).is_some() {
            return Err(Error::DuplicateName {
                name: name.as_ref().to_owned(),
            });
        }
    }
    Ok(numbers)
}

fn unknown(
    expression: &str,
    name: &str,
    band: Option<u16>,
    at: usize,
    len: usize,
    names: &[impl AsRef<str>],
) -> Error {
    let known: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    Error::UnknownName {
        name: full_name(name, band),
        known: if known.is_empty() {
            "none".to_owned()
        } else {
            known.join(", ")
        },
        place: Place::new(expression, at, len),
    }
}

type ValueId = usize;

/// What a value is made of; equal values are one. A constant is kept by its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Value {
    Constant(u64),
    Input(usize),
    Unary(Unary, ValueId),
    Binary(Binary, ValueId, ValueId),
    Select(ValueId, ValueId, ValueId),
}

impl Value {
    fn operands(self) -> impl Iterator<Item = ValueId> {
        let operands = match self {
            Self::Constant(_) | Self::Input(_) => [None; 3],
            Self::Unary(_, a) => [Some(a), None, None],
            Self::Binary(_, a, b) => [Some(a), Some(b), None],
            Self::Select(c, a, b) => [Some(c), Some(a), Some(b)],
        };
        operands.into_iter().flatten()
    }
}

/// The values of an expression, operands before what uses them.
#[derive(Default)]
struct Graph {
    values: Vec<Value>,
    known: BTreeMap<Value, ValueId>,
}

impl Graph {
    fn intern(&mut self, value: Value) -> ValueId {
        let next = self.values.len();
        let id = *self.known.entry(value).or_insert(next);
        if id == next {
            self.values.push(value);
        }
        id
    }

    fn constant(&mut self, number: f64) -> ValueId {
        self.intern(Value::Constant(number.to_bits()))
    }

    fn as_constant(&self, id: ValueId) -> Option<f64> {
        match self.values.get(id) {
            Some(Value::Constant(bits)) => Some(f64::from_bits(*bits)),
            _ => None,
        }
    }

    fn unary(&mut self, op: Unary, a: ValueId) -> ValueId {
        let Some(number) = self.as_constant(a) else {
            return self.intern(Value::Unary(op, a));
        };
        let mut folded = [0.0];
        lanes::unary(op, Lane::Scalar(number), &mut folded);
        let [folded] = folded;
        self.constant(folded)
    }

    fn binary(&mut self, op: Binary, a: ValueId, b: ValueId) -> ValueId {
        match (self.as_constant(a), self.as_constant(b)) {
            (Some(x), Some(y)) => {
                let mut folded = [0.0];
                lanes::binary(op, Lane::Scalar(x), Lane::Scalar(y), &mut folded);
                let [folded] = folded;
                self.constant(folded)
            }
            (None, Some(exponent)) if op == Binary::Pow => self.power(a, exponent, b),
            // Both give the same bits either way round, so that `a + b` and `b + a` are one value.
            _ if matches!(op, Binary::Add | Binary::Mul) => {
                self.intern(Value::Binary(op, a.min(b), a.max(b)))
            }
            _ => self.intern(Value::Binary(op, a, b)),
        }
    }

    /// Replaces the powers that numpy replaces too, by what is exact or correctly rounded.
    fn power(&mut self, base: ValueId, exponent: f64, exponent_id: ValueId) -> ValueId {
        if exponent == 1.0 {
            base
        } else if exponent == 2.0 {
            self.intern(Value::Binary(Binary::Mul, base, base))
        } else if exponent == 0.5 {
            self.intern(Value::Unary(Unary::Sqrt, base))
        } else if exponent == -1.0 {
            let one = self.constant(1.0);
            self.intern(Value::Binary(Binary::Div, one, base))
        } else {
            self.intern(Value::Binary(Binary::Pow, base, exponent_id))
        }
    }

    fn select(&mut self, condition: ValueId, yes: ValueId, no: ValueId) -> ValueId {
        match self.as_constant(condition) {
            Some(number) if number.is_nan() => self.constant(f64::NAN),
            Some(number) if number != 0.0 => yes,
            Some(_) => no,
            None => self.intern(Value::Select(condition, yes, no)),
        }
    }

    /// Returns, for each value, the last value that uses it; `None` when the result needs neither.
    fn last_uses(&self, result: ValueId) -> Vec<Option<ValueId>> {
        let mut last = vec![None; self.values.len()];
        if let Some(slot) = last.get_mut(result) {
            // The result outlives every step.
            *slot = Some(ValueId::MAX);
        }
        for (id, value) in self.values.iter().enumerate().rev() {
            if last.get(id).copied().flatten().is_none() {
                continue;
            }
            for operand in value.operands() {
                if let Some(slot @ None) = last.get_mut(operand) {
                    *slot = Some(id);
                }
            }
        }
        last
    }

    /// Emits the values that the result needs, each into a register that no living value holds.
    fn program(&self, result: ValueId, names: usize) -> Result<Program, Error> {
        let last_uses = self.last_uses(result);
        let mut homes: Vec<Option<Operand>> = vec![None; self.values.len()];
        let mut steps = Vec::new();
        let mut inputs = Vec::new();
        let mut free: Vec<usize> = Vec::new();
        let mut registers = 0;
        for (id, value) in self.values.iter().enumerate() {
            if last_uses.get(id).copied().flatten().is_none() {
                continue;
            }
            let home = |id: ValueId| homes.get(id).copied().flatten().ok_or(BACKWARD);
            let instruction = match *value {
                Value::Constant(bits) => {
                    set(&mut homes, id, Operand::Constant(f64::from_bits(bits)));
                    continue;
                }
                Value::Input(input) => {
                    inputs.push(input);
                    set(&mut homes, id, Operand::Input(input));
                    continue;
                }
                Value::Unary(op, a) => Instruction::Unary(op, home(a)?),
                Value::Binary(op, a, b) => Instruction::Binary(op, home(a)?, home(b)?),
                Value::Select(c, a, b) => Instruction::Select(home(c)?, home(a)?, home(b)?),
            };
            // Taken before the operands' are given back: a step never writes what it reads.
            let register = free.pop().unwrap_or(registers);
            registers = registers.max(register + 1);
            for operand in value.operands() {
                let ends_here = last_uses.get(operand) == Some(&Some(id));
                match home(operand)? {
                    Operand::Register(used) if ends_here && !free.contains(&used) => {
                        free.push(used);
                    }
                    _ => {}
                }
            }
            set(&mut homes, id, Operand::Register(register));
            steps.push(Step {
                instruction,
                register,
            });
        }
        inputs.sort_unstable();
        let result = homes.get(result).copied().flatten().ok_or(BACKWARD)?;
        Ok(Program::new(steps, result, inputs, registers, names))
    }
}

fn set(homes: &mut [Option<Operand>], id: ValueId, home: Operand) {
    if let Some(slot) = homes.get_mut(id) {
        *slot = Some(home);
    }
}
