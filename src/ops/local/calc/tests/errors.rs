use crate::ops::local::calc::{Error, compile, parse_inputs};

fn text(expression: &str) -> String {
    compile(expression, &["A", "B"]).unwrap_err().to_string()
}

#[test]
fn an_error_shows_the_expression_and_a_caret() {
    assert_eq!(
        text("(A - B) / (A + )"),
        "expected a number, a name, a function or '(' but found ')' at character 16\n  \
         (A - B) / (A + )\n  \
         \u{20}              ^"
    );
    assert_eq!(
        text("A + NIR * 2"),
        "no input is named 'NIR' at character 5; the inputs are A, B\n  \
         A + NIR * 2\n  \
         \u{20}   ^^^"
    );
    assert_eq!(
        text("A = B"),
        "'=' at character 3 has no meaning here; to compare write '=='\n  A = B\n    ^"
    );
}

#[test]
fn each_mistake_has_its_own_message() {
    let cases = [
        ("", "the expression is empty"),
        ("  \n", "the expression is empty"),
        (
            "A B",
            "expected an operator or the end but found 'B' at character 3",
        ),
        ("A +", "found the end at character 4"),
        ("(A", "expected an operator or ')' but found the end"),
        ("A)", "expected an operator or the end but found ')'"),
        ("min(A B)", "expected an operator, ',' or ')' but found 'B'"),
        ("min(A,)", "found ')' at character 7"),
        (
            "A ? B",
            "expected ':' and the other choice but found the end",
        ),
        (
            "A < B < 1",
            "comparisons do not chain: write 'a < b && b < c' at character 7",
        ),
        ("A == B == 1", "comparisons do not chain"),
        (
            "sqrt(A, B)",
            "'sqrt' takes 1 argument, not 2, at character 1",
        ),
        ("where(A, B)", "'where' takes 3 arguments, not 2"),
        ("max()", "'max' takes at least 1 argument, not 0"),
        ("atan2(A)", "'atan2' takes 2 arguments, not 1"),
        (
            "foo(A)",
            "there is no function 'foo' at character 1; there are where, min,",
        ),
        ("A(2)", "there is no function 'A'"),
        (
            "A@0",
            "'@0' at character 1 is not a band: '@' and 1 to 65535",
        ),
        ("A@70000", "is not a band"),
        ("A@", "is not a band"),
        ("A@2", "no input is named 'A@2'"),
        ("1e999", "'1e999' at character 1 is not a finite number"),
        (".", "'.' at character 1 is not a finite number"),
        ("1.2.3", "found '.3'"),
        ("2e", "found 'e'"),
        ("A and B", "found 'and' (it is written '&&')"),
        ("not A", "expected an operator or the end but found 'A'"),
        (
            "A & B",
            "'&' at character 3 has no meaning here; 'and' is written '&&'",
        ),
        ("A | B", "'or' is written '||'"),
        ("@2", "a band follows a name"),
        ("A $ B", "'$' at character 3 has no meaning here\n"),
        ("Å + A", "'Å' at character 1"),
        ("A + Å", "'Å' at character 5"),
    ];
    for (expression, expected) in cases {
        let text = text(expression);
        assert!(text.contains(expected), "{expression}: {text}");
    }
}

#[test]
fn two_inputs_of_one_name_are_refused() {
    let error = compile("A", &["A", "A"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "two inputs are named 'A'; give each its own name"
    );
}

/// Runs with the 2 MiB stack that worker threads have.
#[test]
fn nesting_is_bounded_and_chains_are_not() {
    let nested = |levels: usize| format!("{}A{}", "(".repeat(levels), ")".repeat(levels));
    assert!(parse_inputs(&nested(200)).is_ok());
    let deep = parse_inputs(&nested(201)).unwrap_err();
    assert!(
        deep.to_string()
            .starts_with("the expression nests deeper than 200 levels at character 202\n")
    );
    let texts = [
        "(".repeat(16_000),
        "-".repeat(16_000),
        "!".repeat(16_000),
        "abs(".repeat(4_000),
        "A**".repeat(5_000),
        "A?".repeat(8_000),
        "A?A:".repeat(4_000),
        "A+(".repeat(5_000),
        "A||A&&A<A+A*A**(".repeat(1_000),
    ];
    for text in texts {
        let error = parse_inputs(&text).unwrap_err();
        assert!(matches!(error, Error::TooDeep { max: 200, .. }), "{error}");
    }
    let chain = "A+".repeat(8_000) + "A";
    assert_eq!(compile(&chain, &["A"]).unwrap().operation_count(), 8_000);
    let long = parse_inputs(&"A+".repeat(9_000)).unwrap_err();
    assert_eq!(
        long.to_string(),
        "the expression has 18000 bytes; at most 16384 are allowed"
    );
}

#[test]
fn a_long_expression_is_shown_around_the_place() {
    let error = text(&format!("{}? {}", "A + ".repeat(50), "+ B".repeat(50)));
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(
        lines[1].starts_with("  …") && lines[1].ends_with('…'),
        "{error}"
    );
    assert!(lines[1].chars().count() < 90, "{error}");
    assert_eq!(
        lines[2].chars().count(),
        lines[1].chars().take_while(|c| *c != '?').count() + 1
    );
}
