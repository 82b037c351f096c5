//! Relations as SQL functions.
//!
//! Geodatafusion's own answer `ST_Contains(constant, column)` with the arguments swapped, and panic on a constant null.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::{DataType, Field};
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility,
};
use geo::Geometry;

use crate::spatial::Relation;
use crate::spatial::geometry::geometries;
use crate::spatial::subject::Subject;

/// `ST_Intersects` and its like: null where an argument is, else whether the geometries stand so to each other.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Relate {
    relation: Relation,
    signature: Signature,
}

impl Relate {
    pub(super) fn new(relation: Relation) -> Self {
        let signature = Signature::any(2, Volatility::Immutable);
        Self {
            relation,
            signature,
        }
    }
}

impl ScalarUDFImpl for Relate {
    fn name(&self) -> &str {
        self.relation.function()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Boolean)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let (Ok([left, right]), Ok([left_field, right_field])) = (
            <[ColumnarValue; 2]>::try_from(args.args),
            <[Arc<Field>; 2]>::try_from(args.arg_fields),
        ) else {
            return datafusion::common::exec_err!("{} takes two geometries", self.name());
        };
        let left = Argument::read(left, &left_field)?;
        let right = Argument::read(right, &right_field)?;
        let answers: BooleanArray = match (&left, &right) {
            (Argument::One(left), Argument::One(right)) => {
                std::iter::repeat_n(one(self.relation, left, right), args.number_rows).collect()
            }
            (Argument::One(left), Argument::Many(right)) => many(self.relation, left, right),
            (Argument::Many(left), Argument::One(right)) => {
                many(self.relation.flipped(), right, left)
            }
            (Argument::Many(left), Argument::Many(right)) => {
                let pairs = left.iter().zip(right);
                pairs
                    .map(|(left, right)| one(self.relation, left, right))
                    .collect()
            }
        };
        Ok(ColumnarValue::Array(Arc::new(answers) as ArrayRef))
    }
}

/// The geometries of an argument: `None` is null.
enum Argument {
    One(Option<Met>),
    Many(Vec<Option<Met>>),
}

/// `None` is a geometry that meets no other.
type Met = Option<Subject>;

impl Argument {
    fn read(value: ColumnarValue, field: &Field) -> Result<Self> {
        let met = |geometry: Option<Geometry>| geometry.map(Subject::new);
        let is_null_type = value.data_type() == DataType::Null;
        Ok(match value {
            ColumnarValue::Scalar(scalar) if is_null_type || scalar.is_null() => Self::One(None),
            ColumnarValue::Scalar(scalar) => {
                let mut one = geometries(&scalar.to_array()?, field)?.into_iter();
                Self::One(one.next().flatten().map(Subject::new))
            }
            ColumnarValue::Array(array) if is_null_type => {
                Self::Many(std::iter::repeat_with(|| None).take(array.len()).collect())
            }
            ColumnarValue::Array(array) => {
                Self::Many(geometries(&array, field)?.into_iter().map(met).collect())
            }
        })
    }
}

fn one(relation: Relation, left: &Option<Met>, right: &Option<Met>) -> Option<bool> {
    Some(match (left.as_ref()?, right.as_ref()?) {
        (Some(left), Some(right)) => left.relates(relation, &[right]).first().copied()?,
        _ => relation == Relation::Disjoint,
    })
}

fn many(relation: Relation, left: &Option<Met>, rights: &[Option<Met>]) -> BooleanArray {
    let Some(Some(subject)) = left else {
        return rights
            .iter()
            .map(|right| one(relation, left, right))
            .collect();
    };
    let others: Vec<&Subject> = rights.iter().flatten().flatten().collect();
    let mut answers = subject.relates(relation, &others).into_iter();
    let of = |right: &Option<Met>| match right {
        Some(Some(_)) => answers.next(),
        Some(None) => Some(relation == Relation::Disjoint),
        None => None,
    };
    rights.iter().map(of).collect()
}
