//! Random expressions against a plain recursive evaluator that shares nothing with the compiler.

use proptest::prelude::*;

use super::{cell, same};
use crate::ops::local::calc::{Scratch, compile, parse_inputs};

#[derive(Debug, Clone)]
enum Tree {
    Number(f64),
    Input(usize),
    Prefix(&'static str, Box<Tree>),
    Infix(&'static str, Box<Tree>, Box<Tree>),
    Call(&'static str, Vec<Tree>),
    Choice(Box<Tree>, Box<Tree>, Box<Tree>),
}

const NAMES: [&str; 3] = ["A", "B", "C"];

impl Tree {
    fn text(&self) -> String {
        match self {
            Self::Number(value) => format!("{value:?}"),
            Self::Input(input) => NAMES[*input].to_owned(),
            Self::Prefix(op, a) => format!("{op}({})", a.text()),
            Self::Infix(op, a, b) => format!("({}) {op} ({})", a.text(), b.text()),
            Self::Call(function, arguments) => {
                let arguments: Vec<String> = arguments.iter().map(Self::text).collect();
                format!("{function}({})", arguments.join(", "))
            }
            Self::Choice(c, a, b) => format!("({}) ? ({}) : ({})", c.text(), a.text(), b.text()),
        }
    }

    fn value(&self, inputs: &[f64]) -> f64 {
        match self {
            Self::Number(value) => *value,
            Self::Input(input) => inputs[*input],
            Self::Prefix(op, a) => {
                let a = a.value(inputs);
                match *op {
                    "-" => -a,
                    _ if a.is_nan() => f64::NAN,
                    _ => f64::from(a == 0.0),
                }
            }
            Self::Infix(op, a, b) => infix(op, a.value(inputs), b.value(inputs)),
            Self::Call(function, arguments) => {
                let values: Vec<f64> = arguments.iter().map(|a| a.value(inputs)).collect();
                call(function, &values)
            }
            Self::Choice(c, a, b) => match c.value(inputs) {
                c if c.is_nan() => f64::NAN,
                0.0 => b.value(inputs),
                _ => a.value(inputs),
            },
        }
    }
}

fn infix(op: &str, a: f64, b: f64) -> f64 {
    match op {
        "+" => return a + b,
        "-" => return a - b,
        "*" => return a * b,
        "/" => return a / b,
        _ => {}
    }
    if a.is_nan() || b.is_nan() {
        return f64::NAN;
    }
    match op {
        "%" => {
            // Python's own definition of a floored remainder, from C's.
            let rest = a % b;
            match rest {
                0.0 => 0.0_f64.copysign(b),
                rest if rest.is_sign_negative() != b.is_sign_negative() => rest + b,
                rest => rest,
            }
        }
        "**" if b == 2.0 => a * a,
        "**" if b == 0.5 => a.sqrt(),
        "**" if b == -1.0 => 1.0 / a,
        "**" => a.powf(b),
        "<" => f64::from(a < b),
        "<=" => f64::from(a <= b),
        ">" => f64::from(a > b),
        ">=" => f64::from(a >= b),
        "==" => f64::from(a == b),
        "!=" => f64::from(a != b),
        "&&" => f64::from(a != 0.0 && b != 0.0),
        "||" => f64::from(a != 0.0 || b != 0.0),
        other => panic!("{other}"),
    }
}

fn call(function: &str, values: &[f64]) -> f64 {
    let any_nan = values.iter().any(|v| v.is_nan());
    match (function, values) {
        ("isnan", [a]) => f64::from(a.is_nan()),
        ("where", [c, a, b]) if !c.is_nan() => {
            if *c == 0.0 {
                *b
            } else {
                *a
            }
        }
        _ if any_nan => f64::NAN,
        ("min", values) => values
            .iter()
            .copied()
            .reduce(|a, b| if b < a { b } else { a })
            .unwrap(),
        ("max", values) => values
            .iter()
            .copied()
            .reduce(|a, b| if b > a { b } else { a })
            .unwrap(),
        ("clamp", [x, low, high]) => {
            let raised = if low > x { low } else { x };
            if high < raised { *high } else { *raised }
        }
        ("abs", [a]) => a.abs(),
        ("sqrt", [a]) => a.sqrt(),
        ("floor", [a]) => a.floor(),
        ("round", [a]) => a.round(),
        other => panic!("{other:?}"),
    }
}

fn tree() -> impl Strategy<Value = Tree> {
    let number = prop_oneof![
        Just(0.0),
        Just(1.0),
        Just(2.0),
        Just(0.5),
        0.0..1e6_f64,
        0.0..1.0
    ];
    let leaf = prop_oneof![
        1 => number.prop_map(Tree::Number),
        2 => (0..NAMES.len()).prop_map(Tree::Input),
    ];
    let infix = prop::sample::select(vec![
        "+", "-", "*", "/", "%", "**", "<", "<=", ">", ">=", "==", "!=", "&&", "||",
    ]);
    let unary = prop::sample::select(vec!["abs", "sqrt", "floor", "round", "isnan"]);
    let fold = prop::sample::select(vec!["min", "max"]);
    let three = prop::sample::select(vec!["where", "clamp"]);
    leaf.prop_recursive(6, 40, 3, move |inner| {
        let boxed = || inner.clone().prop_map(Box::new);
        prop_oneof![
            1 => (prop::sample::select(vec!["-", "!"]), boxed()).prop_map(|(op, a)| Tree::Prefix(op, a)),
            6 => (infix.clone(), boxed(), boxed()).prop_map(|(op, a, b)| Tree::Infix(op, a, b)),
            1 => (unary.clone(), inner.clone()).prop_map(|(f, a)| Tree::Call(f, vec![a])),
            1 => (fold.clone(), prop::collection::vec(inner.clone(), 1..4)).prop_map(|(f, a)| Tree::Call(f, a)),
            1 => (three.clone(), prop::array::uniform3(inner.clone())).prop_map(|(f, a)| Tree::Call(f, a.to_vec())),
            1 => (boxed(), boxed(), boxed()).prop_map(|(c, a, b)| Tree::Choice(c, a, b)),
        ]
    })
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        3 => -1e4..1e4_f64,
        2 => (0_u16..20_000).prop_map(f64::from),
        1 => Just(0.0),
        1 => Just(f64::NAN),
    ]
}

/// The rule for results: what is not finite is NoData.
fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { f64::NAN }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_program_computes_what_its_expression_says(tree in tree(), inputs in prop::array::uniform3(number())) {
        let expected = finite(tree.value(&inputs));
        let got = cell(&tree.text(), &inputs);
        // A zero may have either sign where `max` or a sum of zeros may pick: both are 0.
        prop_assert!(same(got, expected) || got == expected, "{}: {got}, expected {expected}", tree.text());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn cells_do_not_depend_on_their_neighbours(
        tree in tree(),
        cells in prop::collection::vec(prop::array::uniform3(number()), 1..1500),
    ) {
        let program = compile(&tree.text(), &NAMES).unwrap();
        let columns: Vec<Vec<f64>> = (0..3).map(|k| cells.iter().map(|c| c[k]).collect()).collect();
        let slices: Vec<&[f64]> = columns.iter().map(Vec::as_slice).collect();
        let mut out = vec![0.0; cells.len()];
        program.eval(&slices, &mut out, &mut Scratch::new()).unwrap();
        for (inputs, got) in cells.iter().zip(out) {
            let expected = finite(tree.value(inputs));
            prop_assert!(same(got, expected) || got == expected, "{}: {got}, expected {expected}", tree.text());
        }
    }

}

proptest! {
    #[test]
    fn no_text_panics(text in ".{0,60}") {
        let _ = parse_inputs(&text).map_err(|error| error.to_string());
    }

    #[test]
    fn no_soup_of_tokens_panics(tokens in prop::collection::vec(prop::sample::select(vec![
        "A", "B", "A@2", "1", ".5", "2e3", "+", "-", "*", "/", "%", "**", "^", "<", "<=", "==", "!=", "&&", "||",
        "!", "?", ":", "(", ")", ",", "min", "where(", "isnan(", "sqrt(", "pi", "=", "é", "@", "\n",
    ]), 0..30)) {
        let text = tokens.join(" ");
        match compile(&text, &["A", "B", "A@2"]) {
            Ok(program) => {
                let inputs: [&[f64]; 3] = [&[1.0], &[f64::NAN], &[0.0]];
                prop_assert!(program.eval(&inputs, &mut [0.0], &mut Scratch::new()).is_ok());
            }
            Err(error) => prop_assert!(error.to_string().lines().count() <= 3),
        }
    }
}
