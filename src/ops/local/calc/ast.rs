//! What an expression says: its operations as a list, each after its operands.

/// An operation on one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unary {
    Neg,
    Not,
    Abs,
    Sqrt,
    Exp,
    Ln,
    Log10,
    Log2,
    Sin,
    Cos,
    Tan,
    Asin,
    Acos,
    Atan,
    Sinh,
    Cosh,
    Tanh,
    Floor,
    Ceil,
    Round,
    IsNan,
}

/// An operation on two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Binary {
    Add,
    Sub,
    Mul,
    Div,
    Mod,
    Pow,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Equal,
    NotEqual,
    And,
    Or,
    Min,
    Max,
    Atan2,
}

/// The number of a node in its expression.
pub(crate) type NodeId = usize;

/// One operation. Operands have lower numbers, so that no walk over an expression recurses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Node<'a> {
    Number(f64),
    Name {
        name: &'a str,
        band: Option<u16>,
        at: usize,
        len: usize,
    },
    Unary(Unary, NodeId),
    Binary(Binary, NodeId, NodeId),
    /// The second where the first is true, else the third.
    Select(NodeId, NodeId, NodeId),
}

/// How a function becomes operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Function {
    Unary(Unary),
    Binary(Binary),
    /// Of one or more arguments, two at a time, left to right.
    Fold(Binary),
    Where,
    Clamp,
}

impl Function {
    /// Every function by name.
    pub(crate) const ALL: [(&'static str, Self); 25] = [
        ("where", Self::Where),
        ("min", Self::Fold(Binary::Min)),
        ("max", Self::Fold(Binary::Max)),
        ("clamp", Self::Clamp),
        ("abs", Self::Unary(Unary::Abs)),
        ("sqrt", Self::Unary(Unary::Sqrt)),
        ("exp", Self::Unary(Unary::Exp)),
        ("log", Self::Unary(Unary::Ln)),
        ("ln", Self::Unary(Unary::Ln)),
        ("log10", Self::Unary(Unary::Log10)),
        ("log2", Self::Unary(Unary::Log2)),
        ("sin", Self::Unary(Unary::Sin)),
        ("cos", Self::Unary(Unary::Cos)),
        ("tan", Self::Unary(Unary::Tan)),
        ("asin", Self::Unary(Unary::Asin)),
        ("acos", Self::Unary(Unary::Acos)),
        ("atan", Self::Unary(Unary::Atan)),
        ("atan2", Self::Binary(Binary::Atan2)),
        ("sinh", Self::Unary(Unary::Sinh)),
        ("cosh", Self::Unary(Unary::Cosh)),
        ("tanh", Self::Unary(Unary::Tanh)),
        ("floor", Self::Unary(Unary::Floor)),
        ("ceil", Self::Unary(Unary::Ceil)),
        ("round", Self::Unary(Unary::Round)),
        ("isnan", Self::Unary(Unary::IsNan)),
    ];

    /// Finds a function by its name.
    pub(crate) fn find(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter();
        all.find(|(known, _)| *known == name)
            .map(|(_, function)| *function)
    }
}

/// Returns the value of a named constant.
pub(crate) fn constant(name: &str) -> Option<f64> {
    match name {
        "pi" => Some(std::f64::consts::PI),
        "e" => Some(std::f64::consts::E),
        _ => None,
    }
}
