use super::{cell, same};
use crate::ops::local::calc::{Error, Scratch, compile, parse_inputs};

const NAN: f64 = f64::NAN;

fn check(expression: &str, inputs: &[f64], expected: f64) {
    let got = cell(expression, inputs);
    assert!(
        same(got, expected),
        "{expression} over {inputs:?}: {got}, expected {expected}"
    );
}

/// Values of numpy 2 on doubles, as its `repr` prints them.
#[test]
fn exact_operations_have_numpys_bits() {
    let cases = [
        ("A + B * C", 3.475),
        ("A - B - C", 5.8500000000000005),
        ("A / B / C", -16.444444444444446),
        ("-A ** 2", -13.690000000000001),
        ("-A ^ 2", -13.690000000000001),
        ("2 ** 3 ** 2", 512.0),
        ("2 ** -1", 0.5),
        ("(A + B) * C", 0.14500000000000002),
        ("A % B", -0.7999999999999998),
        ("B % A", 1.4500000000000002),
        ("-A % 3", 2.3),
        ("7 % -3", -2.0),
        ("A ** 0.5", 1.9235384061671346),
        ("A ** -1", 0.27027027027027023),
        ("abs(B)", 2.25),
        ("sqrt(A)", 1.9235384061671346),
        ("floor(B)", -3.0),
        ("ceil(B)", -2.0),
        ("C + 0.2", 0.30000000000000004),
        ("1e3 * C", 100.0),
        ("0.1 + 0.2 + 0.3", 0.6000000000000001),
        ("1 / 3 * A", 1.2333333333333334),
        ("A * A - B * B", 8.627500000000001),
        ("1.5e-3 / C", 0.015),
    ];
    for (expression, expected) in cases {
        check(expression, &[3.7, -2.25, 0.1], expected);
    }
}

/// Values of numpy 2; the last bits are the library's.
#[test]
fn transcendental_functions_are_numpys_to_a_few_ulps() {
    let cases = [
        ("A ** C", 1.1397777439653138),
        ("exp(C)", 1.1051709180756477),
        ("log(A)", 1.308332819650179),
        ("ln(A)", 1.308332819650179),
        ("log10(A)", 0.568201724066995),
        ("log2(A)", 1.8875252707415875),
        ("sin(A)", -0.5298361409084934),
        ("cos(A)", -0.848100031710408),
        ("tan(A)", 0.6247330752245639),
        ("asin(C)", 0.1001674211615598),
        ("acos(C)", 1.4706289056333368),
        ("atan(A)", 1.3068326031691921),
        ("atan2(B, A)", -0.5463600244489791),
        ("sinh(C)", 0.10016675001984403),
        ("cosh(C)", 1.0050041680558035),
        ("tanh(C)", 0.09966799462495582),
    ];
    for (expression, expected) in cases {
        let got = cell(expression, &[3.7, -2.25, 0.1]);
        let ulps = (got - expected).abs() / (expected.abs() * f64::EPSILON);
        assert!(ulps <= 4.0, "{expression}: {got}, expected {expected}");
    }
}

/// By hand, from the grammar in the room's documentation.
#[test]
fn precedence_choice_and_logic_are_as_documented() {
    let cases = [
        ("A < B", 1.0),
        ("A >= B", 0.0),
        ("A != B && B == 2", 1.0),
        ("A > B || A == 1", 1.0),
        ("1 || 0 && 0", 1.0),
        ("!A", 0.0),
        ("!0", 1.0),
        ("!A < B", 1.0),
        ("A + 1 < B * 2 ? 10 : 20", 10.0),
        ("0 ? 1 : 0 ? 2 : 3", 3.0),
        ("1 ? 0 ? 4 : 5 : 6", 5.0),
        ("where(A > B, A, B)", 2.0),
        ("min(3, A, B)", 1.0),
        ("max(A, 7, B)", 7.0),
        ("max(A)", 1.0),
        ("clamp(5, A, B)", 2.0),
        ("clamp(-5, A, B)", 1.0),
        ("round(2.5) + round(-0.5)", 2.0),
        ("+A - -B", 3.0),
        ("--B", 2.0),
        ("-B ** 2 ** 0", -2.0),
        ("2 * -B ** -1", -1.0),
        (" ( ( A ) )\n\t+ .5e1 ", 6.0),
        ("2.*3", 6.0),
    ];
    for (expression, expected) in cases {
        check(expression, &[1.0, 2.0], expected);
    }
}

#[test]
fn no_data_goes_through_everything_but_isnan_and_the_branch_not_taken() {
    let cases = [
        ("A + B", NAN),
        ("A < B", NAN),
        ("A != B", NAN),
        ("!A", NAN),
        ("0 && A", NAN),
        ("1 || A", NAN),
        ("min(A, B)", NAN),
        ("max(B, A)", NAN),
        ("A ** 0", NAN),
        ("1 ** A", NAN),
        ("A * 0", NAN),
        ("A > 1 ? B : B", NAN),
        ("where(A, 1, 2)", NAN),
        ("B > 1 ? A : B", NAN),
        ("clamp(B, A, 9)", NAN),
        ("A % 2", NAN),
        ("isnan(A)", 1.0),
        ("isnan(B)", 0.0),
        ("isnan(A) ? 0 : A", 0.0),
        ("isnan(B) ? A : B", 2.0),
        ("where(B == 2, B, A)", 2.0),
        ("0 ? A : B", 2.0),
    ];
    for (expression, expected) in cases {
        check(expression, &[NAN, 2.0], expected);
    }
}

#[test]
fn a_result_that_is_not_finite_is_no_data() {
    for expression in [
        "A / A",
        "B / A",
        "-B / A",
        "log(A)",
        "sqrt(-B)",
        "B % A",
        "exp(B * 1000)",
    ] {
        check(expression, &[0.0, 2.0], NAN);
    }
    // In between, infinities are what IEEE says.
    check("1 / (B / A)", &[0.0, 2.0], 0.0);
    check("B / A > 3", &[0.0, 2.0], 1.0);
}

#[test]
fn a_name_of_an_input_hides_a_constant() {
    check("pi", &[], std::f64::consts::PI);
    check("e", &[], std::f64::consts::E);
    let program = compile("e + pi", &["e"]).unwrap();
    let mut out = [0.0];
    program
        .eval(&[&[1.0]], &mut out, &mut Scratch::new())
        .unwrap();
    assert_eq!(out, [1.0 + std::f64::consts::PI]);
}

#[test]
fn inputs_are_listed_once_in_order_of_first_use() {
    let of = |expression: &str| parse_inputs(expression).unwrap();
    let a = |name: &str, band| (name.to_owned(), band);
    assert_eq!(of("(B - A) / (B + A)"), [a("B", None), a("A", None)]);
    assert_eq!(of("A@2 - A + A@2 * pi"), [a("A", Some(2)), a("A", None)]);
    assert_eq!(of("1 + 2"), []);
    assert_eq!(of("where(RE1_x > 0, min(Z, e), isnan(_q))").len(), 3);
}

#[test]
fn a_band_of_an_input_is_an_input_of_its_own() {
    let program = compile("A@2 - A", &["A", "A@2", "B"]).unwrap();
    assert_eq!(program.inputs_used(), [0, 1]);
    let mut out = [0.0];
    program
        .eval(&[&[1.0], &[5.0], &[]], &mut out, &mut Scratch::new())
        .unwrap();
    assert_eq!(out, [4.0]);
}

#[test]
fn each_value_is_computed_once_and_constants_never() {
    let operations = |text: &str| compile(text, &["A", "B"]).unwrap().operation_count();
    assert_eq!(operations("(B - A) / (B + A)"), 3);
    assert_eq!(operations("(A + B) * (B + A)"), 2);
    assert_eq!(operations("A ** 2 + A * A"), 2);
    assert_eq!(operations("A + 2 * 3 ** 2 - 1"), 2);
    assert_eq!(operations("A"), 0);
    assert_eq!(operations("1 > 2 ? A * B : B"), 0);
    assert_eq!(
        compile("1 > 2 ? A : B", &["A", "B"]).unwrap().inputs_used(),
        [1]
    );
}

#[test]
fn a_constant_and_a_bare_input_fill_the_output() {
    let mut out = vec![0.0; 1000];
    let mut scratch = Scratch::new();
    compile("2 * 21", &[""; 0])
        .unwrap()
        .eval(&[], &mut out, &mut scratch)
        .unwrap();
    assert!(out.iter().all(|v| *v == 42.0));
    let input: Vec<f64> = (0_u16..1000).map(f64::from).collect();
    compile("A", &["A"])
        .unwrap()
        .eval(&[&input], &mut out, &mut scratch)
        .unwrap();
    assert_eq!(out, input);
    compile("0 / 0", &[""; 0])
        .unwrap()
        .eval(&[], &mut out, &mut scratch)
        .unwrap();
    assert!(out.iter().all(|v| v.is_nan()));
}

#[test]
fn inputs_of_another_number_or_length_are_errors() {
    let program = compile("A + B", &["A", "B"]).unwrap();
    let eval = |inputs: &[&[f64]]| program.eval(inputs, &mut [0.0; 2], &mut Scratch::new());
    assert_eq!(
        eval(&[&[1.0; 2]]),
        Err(Error::InputCount {
            expected: 2,
            given: 1
        })
    );
    let error = Error::InputCells {
        input: 1,
        given: 3,
        expected: 2,
    };
    assert_eq!(eval(&[&[1.0; 2], &[1.0; 3]]), Err(error));
}

#[test]
fn a_program_is_shared_between_threads() {
    fn shared<T: Clone + Send + Sync>(_: &T) {}
    shared(&compile("A", &["A"]).unwrap());
}
