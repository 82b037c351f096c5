//! Tokens to nodes, by precedence climbing.

use super::ast::{Binary, Function, Node, NodeId, Unary};
use super::error::{Error, Place};
use super::token::{Kind, Symbol, Token, tokens};

/// How deep parentheses, calls, signs, powers and choices may nest: bounds the parser's stack.
const DEPTH_MAX: usize = 200;

/// Parses an expression into nodes, and says which of them is the whole.
pub(super) fn parse(expression: &str) -> Result<(Vec<Node<'_>>, NodeId), Error> {
    let mut parser = Parser {
        expression,
        tokens: tokens(expression)?,
        next: 0,
        depth: 0,
        nodes: Vec::new(),
    };
    let whole = parser.choice()?;
    match parser.peek().kind {
        Kind::End => Ok((parser.nodes, whole)),
        _ => Err(parser.unexpected("an operator or the end")),
    }
}

struct Parser<'a> {
    expression: &'a str,
    tokens: Vec<Token<'a>>,
    next: usize,
    depth: usize,
    nodes: Vec<Node<'a>>,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Token<'a> {
        let end = Token {
            kind: Kind::End,
            at: self.expression.len(),
            len: 1,
        };
        self.tokens.get(self.next).copied().unwrap_or(end)
    }

    fn take(&mut self, symbol: Symbol) -> bool {
        let found = self.peek().kind == Kind::Symbol(symbol);
        self.next += usize::from(found);
        found
    }

    fn push(&mut self, node: Node<'a>) -> NodeId {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    fn place(&self, token: Token<'_>) -> Place {
        Place::new(self.expression, token.at, token.len)
    }

    fn unexpected(&self, expected: &'static str) -> Error {
        let token = self.peek();
        let text = self.expression.get(token.at..token.at + token.len);
        let found = match token.kind {
            Kind::End => "the end".to_owned(),
            Kind::Name { name: "and", .. } => "'and' (it is written '&&')".to_owned(),
            Kind::Name { name: "or", .. } => "'or' (it is written '||')".to_owned(),
            _ => format!("'{}'", text.unwrap_or_default()),
        };
        Error::Unexpected {
            expected,
            found,
            place: self.place(token),
        }
    }

    /// Parses one level deeper. An error ends the parse, so `depth` need not survive it.
    fn deeper(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<NodeId, Error>,
    ) -> Result<NodeId, Error> {
        if self.depth == DEPTH_MAX {
            return Err(Error::TooDeep {
                max: DEPTH_MAX,
                place: self.place(self.peek()),
            });
        }
        self.depth += 1;
        let node = parse(self)?;
        self.depth -= 1;
        Ok(node)
    }

    fn choice(&mut self) -> Result<NodeId, Error> {
        let condition = self.binary(0)?;
        if !self.take(Symbol::Question) {
            return Ok(condition);
        }
        let yes = self.deeper(Self::choice)?;
        if !self.take(Symbol::Colon) {
            return Err(self.unexpected("':' and the other choice"));
        }
        let no = self.deeper(Self::choice)?;
        Ok(self.push(Node::Select(condition, yes, no)))
    }

    fn binary(&mut self, loosest: u8) -> Result<NodeId, Error> {
        let mut left = self.sign()?;
        while let Some((operator, strength)) = self.operator().filter(|(_, s)| *s >= loosest) {
            self.next += 1;
            let right = self.binary(strength + 1)?;
            if strength == COMPARISON && self.operator().is_some_and(|(_, s)| s == COMPARISON) {
                return Err(Error::ChainedComparison {
                    place: self.place(self.peek()),
                });
            }
            left = self.push(Node::Binary(operator, left, right));
        }
        Ok(left)
    }

    /// Returns the binary operator that comes next and how tightly it binds.
    fn operator(&self) -> Option<(Binary, u8)> {
        let Kind::Symbol(symbol) = self.peek().kind else {
            return None;
        };
        Some(match symbol {
            Symbol::Or => (Binary::Or, 0),
            Symbol::And => (Binary::And, 1),
            Symbol::Less => (Binary::Less, COMPARISON),
            Symbol::LessEqual => (Binary::LessEqual, COMPARISON),
            Symbol::Greater => (Binary::Greater, COMPARISON),
            Symbol::GreaterEqual => (Binary::GreaterEqual, COMPARISON),
            Symbol::Equal => (Binary::Equal, COMPARISON),
            Symbol::NotEqual => (Binary::NotEqual, COMPARISON),
            Symbol::Plus => (Binary::Add, 3),
            Symbol::Minus => (Binary::Sub, 3),
            Symbol::Star => (Binary::Mul, 4),
            Symbol::Slash => (Binary::Div, 4),
            Symbol::Percent => (Binary::Mod, 4),
            Symbol::Power
            | Symbol::Not
            | Symbol::Open
            | Symbol::Close
            | Symbol::Comma
            | Symbol::Question
            | Symbol::Colon => return None,
        })
    }

    fn sign(&mut self) -> Result<NodeId, Error> {
        if self.take(Symbol::Plus) {
            return self.deeper(Self::sign);
        }
        let operator = match self.peek().kind {
            Kind::Symbol(Symbol::Minus) => Unary::Neg,
            Kind::Symbol(Symbol::Not) => Unary::Not,
            _ => return self.power(),
        };
        self.next += 1;
        let operand = self.deeper(Self::sign)?;
        Ok(self.push(Node::Unary(operator, operand)))
    }

    fn power(&mut self) -> Result<NodeId, Error> {
        let base = self.primary()?;
        if !self.take(Symbol::Power) {
            return Ok(base);
        }
        let exponent = self.deeper(Self::sign)?;
        Ok(self.push(Node::Binary(Binary::Pow, base, exponent)))
    }

    fn primary(&mut self) -> Result<NodeId, Error> {
        let token = self.peek();
        match token.kind {
            Kind::Number(value) => {
                self.next += 1;
                Ok(self.push(Node::Number(value)))
            }
            Kind::Name { name, band } => {
                self.next += 1;
                if band.is_none() && self.take(Symbol::Open) {
                    return self.call(name, token);
                }
                let (at, len) = (token.at, token.len);
                Ok(self.push(Node::Name {
                    name,
                    band,
                    at,
                    len,
                }))
            }
            Kind::Symbol(Symbol::Open) => {
                self.next += 1;
                let inner = self.deeper(Self::choice)?;
                if !self.take(Symbol::Close) {
                    return Err(self.unexpected("an operator or ')'"));
                }
                Ok(inner)
            }
            Kind::Symbol(_) | Kind::End => {
                Err(self.unexpected("a number, a name, a function or '('"))
            }
        }
    }

    /// Parses the arguments of a call, of which the opening parenthesis is taken.
    fn call(&mut self, name: &str, token: Token<'a>) -> Result<NodeId, Error> {
        let Some(function) = Function::find(name) else {
            let known: Vec<&str> = Function::ALL.iter().map(|(name, _)| *name).collect();
            return Err(Error::UnknownFunction {
                name: name.to_owned(),
                known: known.join(", "),
                place: self.place(token),
            });
        };
        let mut arguments = Vec::new();
        while !self.take(Symbol::Close) {
            if !arguments.is_empty() && !self.take(Symbol::Comma) {
                return Err(self.unexpected("an operator, ',' or ')'"));
            }
            arguments.push(self.deeper(Self::choice)?);
        }
        self.lower(function, &arguments)
            .map_err(|expected| Error::Arguments {
                function: name.to_owned(),
                expected,
                given: arguments.len(),
                place: self.place(token),
            })
    }

    /// Turns a call into operations, or says how many arguments it takes.
    fn lower(&mut self, function: Function, arguments: &[NodeId]) -> Result<NodeId, &'static str> {
        match (function, arguments) {
            (Function::Unary(op), &[x]) => Ok(self.push(Node::Unary(op, x))),
            (Function::Binary(op), &[a, b]) => Ok(self.push(Node::Binary(op, a, b))),
            (Function::Fold(op), [first, rest @ ..]) => {
                let fold = |left, right: &NodeId| self.push(Node::Binary(op, left, *right));
                Ok(rest.iter().fold(*first, fold))
            }
            (Function::Where, &[condition, yes, no]) => {
                Ok(self.push(Node::Select(condition, yes, no)))
            }
            (Function::Clamp, &[x, low, high]) => {
                let raised = self.push(Node::Binary(Binary::Max, x, low));
                Ok(self.push(Node::Binary(Binary::Min, raised, high)))
            }
            (Function::Unary(_), _) => Err("1 argument"),
            (Function::Binary(_), _) => Err("2 arguments"),
            (Function::Where | Function::Clamp, _) => Err("3 arguments"),
            (Function::Fold(_), _) => Err("at least 1 argument"),
        }
    }
}

/// How tightly comparisons bind.
const COMPARISON: u8 = 2;
