//! Text to tokens.

use super::error::{Error, Place};

/// The longest expression, in bytes.
const EXPRESSION_BYTES_MAX: usize = 16 * 1024;

/// The smallest piece of an expression that means something.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Kind<'a> {
    Number(f64),
    Name { name: &'a str, band: Option<u16> },
    Symbol(Symbol),
    End,
}

/// An operator or a bracket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Symbol {
    Plus,
    Minus,
    Star,
    Slash,
    Percent,
    Power,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
    NotEqual,
    And,
    Or,
    Not,
    Open,
    Close,
    Comma,
    Question,
    Colon,
}

/// A piece of an expression and where it stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind<'a>,
    /// First byte.
    pub(crate) at: usize,
    /// Bytes.
    pub(crate) len: usize,
}

/// Longer symbols come before those they start with.
const SYMBOLS: [(&str, Symbol); 21] = [
    ("**", Symbol::Power),
    ("<=", Symbol::LessEqual),
    (">=", Symbol::GreaterEqual),
    ("==", Symbol::Equal),
    ("!=", Symbol::NotEqual),
    ("&&", Symbol::And),
    ("||", Symbol::Or),
    ("+", Symbol::Plus),
    ("-", Symbol::Minus),
    ("*", Symbol::Star),
    ("/", Symbol::Slash),
    ("%", Symbol::Percent),
    ("^", Symbol::Power),
    ("<", Symbol::Less),
    (">", Symbol::Greater),
    ("!", Symbol::Not),
    ("(", Symbol::Open),
    (")", Symbol::Close),
    (",", Symbol::Comma),
    ("?", Symbol::Question),
    (":", Symbol::Colon),
];

/// Cuts an expression into tokens; the last one is [`Kind::End`].
pub(crate) fn tokens(expression: &str) -> Result<Vec<Token<'_>>, Error> {
    if expression.len() > EXPRESSION_BYTES_MAX {
        return Err(Error::TooLong {
            len: expression.len(),
            max: EXPRESSION_BYTES_MAX,
        });
    }
    if expression.trim().is_empty() {
        return Err(Error::Empty);
    }
    let mut found = Vec::new();
    let mut rest = expression.trim_start();
    while let Some(first) = rest.chars().next() {
        let at = expression.len() - rest.len();
        let (kind, len) = token(expression, rest, at, first)?;
        found.push(Token { kind, at, len });
        rest = rest.get(len..).unwrap_or_default().trim_start();
    }
    found.push(Token {
        kind: Kind::End,
        at: expression.trim_end().len(),
        len: 1,
    });
    Ok(found)
}

fn token<'a>(
    expression: &str,
    rest: &'a str,
    at: usize,
    first: char,
) -> Result<(Kind<'a>, usize), Error> {
    if first.is_ascii_digit() || first == '.' {
        return number(expression, rest, at);
    }
    if first.is_ascii_alphabetic() || first == '_' {
        return name(expression, rest, at);
    }
    if let Some((text, symbol)) = SYMBOLS.iter().find(|(text, _)| rest.starts_with(text)) {
        return Ok((Kind::Symbol(*symbol), text.len()));
    }
    let hint = match first {
        '=' => "; to compare write '=='",
        '&' => "; 'and' is written '&&'",
        '|' => "; 'or' is written '||'",
        '@' => "; a band follows a name, as in 'A@2'",
        _ => "",
    };
    Err(Error::Character {
        found: first,
        hint,
        place: Place::new(expression, at, 1),
    })
}

/// Returns the length of the longest prefix of such bytes.
fn prefix(text: &str, of: impl Fn(u8) -> bool) -> usize {
    text.bytes().take_while(|byte| of(*byte)).count()
}

fn digits(text: &str) -> usize {
    prefix(text, |byte| byte.is_ascii_digit())
}

fn number<'a>(expression: &str, rest: &'a str, at: usize) -> Result<(Kind<'a>, usize), Error> {
    let tail = |from: usize| rest.get(from..).unwrap_or_default();
    let mut len = digits(rest);
    if tail(len).starts_with('.') {
        len += 1;
        len += digits(tail(len));
    }
    if tail(len).starts_with(['e', 'E']) {
        let sign = usize::from(tail(len + 1).starts_with(['+', '-']));
        let exponent = digits(tail(len + 1 + sign));
        // Without digits the letter is not an exponent but a name, which the parser refuses.
        if exponent > 0 {
            len += 1 + sign + exponent;
        }
    }
    let text = rest.get(..len).unwrap_or_default();
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok((Kind::Number(value), len)),
        _ => Err(Error::Number {
            text: text.to_owned(),
            expected: "a finite number",
            place: Place::new(expression, at, len),
        }),
    }
}

fn name<'a>(expression: &str, rest: &'a str, at: usize) -> Result<(Kind<'a>, usize), Error> {
    let len = prefix(rest, |byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let name = rest.get(..len).unwrap_or_default();
    let Some(band) = rest.get(len..).and_then(|rest| rest.strip_prefix('@')) else {
        return Ok((Kind::Name { name, band: None }, len));
    };
    let band_len = digits(band);
    let band = band.get(..band_len).unwrap_or_default();
    let len = len + 1 + band_len;
    match band.parse::<u16>() {
        Ok(number) if number > 0 => Ok((
            Kind::Name {
                name,
                band: Some(number),
            },
            len,
        )),
        _ => Err(Error::Number {
            text: format!("@{band}"),
            expected: "a band: '@' and 1 to 65535",
            place: Place::new(expression, at, len),
        }),
    }
}
