//! A function that takes WKB where the one inside takes only GeoArrow's own encodings, and that fails where that one panics.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::exec_err;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::type_coercion::functions::fields_with_udf;
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl,
    Signature,
};
use geoarrow_array::GeoArrowArray;
use geoarrow_array::array::{LargeWkbArray, WkbArray, WkbViewArray};
use geoarrow_array::cast::from_wkb;
use geoarrow_schema::error::GeoArrowResult;
use geoarrow_schema::{GeoArrowType, GeometryType, Metadata};

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Lenient {
    inner: ScalarUDF,
    signature: Signature,
}

impl Lenient {
    pub(super) fn new(inner: ScalarUDF) -> Self {
        let signature = Signature::user_defined(inner.signature().volatility);
        Self { inner, signature }
    }

    /// Returns the fields as the inner function takes them: unchanged where it takes WKB.
    fn taken(&self, fields: &[FieldRef]) -> Result<Vec<FieldRef>> {
        if fields_with_udf(fields, &self.inner).is_ok() {
            return Ok(fields.to_vec());
        }
        fields.iter().map(decoded_field).collect()
    }
}

impl ScalarUDFImpl for Lenient {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let arg_fields = self.taken(args.arg_fields)?;
        let field = self.inner.return_field_from_args(ReturnFieldArgs {
            arg_fields: &arg_fields,
            scalar_arguments: args.scalar_arguments,
        })?;
        // Some say that they never give null, and do so for null.
        Ok(Arc::new(Field::clone(&field).with_nullable(true)))
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        let fields: Vec<FieldRef> = arg_types
            .iter()
            .map(|of| Arc::new(Field::new("", of.clone(), true)))
            .collect();
        let taken = self.taken(&fields)?;
        let coerced = fields_with_udf(&taken, &self.inner)?;
        let given = fields.iter().zip(&taken).zip(coerced);
        // WKB that is decoded on the way in stays WKB in the plan.
        let kept = |((field, taken), coerced): ((&FieldRef, &FieldRef), FieldRef)| {
            let is_decoded = field.data_type() != taken.data_type();
            if is_decoded {
                field.data_type().clone()
            } else {
                coerced.data_type().clone()
            }
        };
        Ok(given.map(kept).collect())
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let taken = self.taken(&args.arg_fields)?;
        for ((value, given), taken) in args.args.iter_mut().zip(&args.arg_fields).zip(&taken) {
            if given.data_type() != taken.data_type() {
                let array = value.to_array(args.number_rows)?;
                let array = decoded(&array, given)
                    .map_err(|error| DataFusionError::External(Box::new(error)))?;
                *value = ColumnarValue::Array(array);
            }
        }
        args.arg_fields = taken;
        match catch_unwind(AssertUnwindSafe(|| self.inner.invoke_with_args(args))) {
            Ok(result) => result,
            Err(panic) => {
                exec_err!(
                    "{} does not take such a value: {}",
                    self.name(),
                    message(&*panic)
                )
            }
        }
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}

fn is_wkb(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView
    )
}

fn decoded_field(field: &FieldRef) -> Result<FieldRef> {
    if !is_wkb(field.data_type()) {
        return Ok(Arc::clone(field));
    }
    let metadata = Arc::new(Metadata::try_from(field.as_ref())?);
    Ok(Arc::new(
        GeometryType::new(metadata).to_field(field.name(), field.is_nullable()),
    ))
}

fn decoded(array: &ArrayRef, field: &Field) -> GeoArrowResult<ArrayRef> {
    let to = GeoArrowType::Geometry(GeometryType::new(Arc::new(Metadata::try_from(field)?)));
    let array = array.as_ref();
    let decoded = match field.data_type() {
        DataType::LargeBinary => from_wkb(&LargeWkbArray::try_from((array, field))?, to),
        DataType::BinaryView => from_wkb(&WkbViewArray::try_from((array, field))?, to),
        _ => from_wkb(&WkbArray::try_from((array, field))?, to),
    }?;
    Ok(decoded.to_array_ref())
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no reason given")
}
