use arrow::array::{Array, ArrayRef, BinaryArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::record_batch::RecordBatch;
use arrow::util::display::array_value_to_string;

use super::*;

/// A square with a square hole, a right-angled line, and a point, as WKB (little endian, by hand from the standard).
fn wkb(text: &str) -> Vec<u8> {
    let rings = |rings: &[&[(f64, f64)]], is_line: bool| {
        let mut bytes = vec![1, if is_line { 2 } else { 3 }, 0, 0, 0];
        if !is_line {
            bytes.extend((rings.len() as u32).to_le_bytes());
        }
        for ring in rings {
            bytes.extend((ring.len() as u32).to_le_bytes());
            bytes.extend(
                ring.iter()
                    .flat_map(|(x, y)| [x.to_le_bytes(), y.to_le_bytes()].concat()),
            );
        }
        bytes
    };
    let square = |low: f64, high: f64| {
        [
            (low, low),
            (high, low),
            (high, high),
            (low, high),
            (low, low),
        ]
    };
    match text {
        "polygon" => rings(&[&square(0.0, 10.0), &square(4.0, 6.0)], false),
        "line" => rings(&[&[(0.0, 0.0), (3.0, 0.0), (3.0, 4.0)]], true),
        _ => [
            vec![1, 1, 0, 0, 0],
            2_f64.to_le_bytes().into(),
            3_f64.to_le_bytes().into(),
        ]
        .concat(),
    }
}

/// Three rows of WKB in three types without metadata: all geometries, then nulls.
fn context() -> SessionContext {
    let context = SessionContext::new();
    register_functions(&context);
    let types = [
        ("p", "polygon", DataType::Binary),
        ("l", "line", DataType::BinaryView),
        ("q", "point", DataType::LargeBinary),
    ];
    let columns: Vec<(Field, ArrayRef)> = types
        .map(|(name, shape, of)| {
            let array = BinaryArray::from_opt_vec(vec![Some(wkb(shape).as_slice()), None]);
            (
                Field::new(name, of.clone(), true),
                cast(&array, &of).unwrap(),
            )
        })
        .into();
    let (fields, arrays): (Vec<_>, Vec<_>) = columns.into_iter().unzip();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).unwrap();
    context.register_batch("t", batch).unwrap();
    context
}

async fn rows(context: &SessionContext, expression: &str) -> Vec<String> {
    let sql = format!("SELECT {expression} FROM t");
    let frame = context
        .sql(&sql)
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    let batches = frame
        .collect()
        .await
        .unwrap_or_else(|error| panic!("{sql}: {error}"));
    let column = batches.iter().map(|batch| batch.column(0));
    column
        .flat_map(|column| (0..column.len()).map(|row| array_value_to_string(column, row).unwrap()))
        .collect()
}

#[tokio::test]
async fn functions_take_wkb_and_give_what_arithmetic_gives() {
    let context = context();
    let expected = [
        ("ST_Area(p)", "96.0"),
        ("ST_Length(l)", "7.0"),
        ("ST_Distance(q, ST_Point(5.0, 7.0))", "5.0"),
        ("ST_AsText(ST_Centroid(p))", "POINT(5 5)"),
        ("ST_X(q)", "2.0"),
        ("ST_Y(q)", "3.0"),
        ("ST_XMax(p)", "10.0"),
        ("ST_YMin(l)", "0.0"),
        ("ST_NPoints(p)", "10"),
        ("ST_NumInteriorRings(p)", "1"),
        ("ST_GeometryType(p)", "ST_Polygon"),
        ("ST_IsClosed(l)", "false"),
        ("ST_IsEmpty(p)", "false"),
        ("ST_IsValid(p)", "true"),
        ("ST_AsText(ST_StartPoint(l))", "POINT(0 0)"),
        ("ST_AsText(ST_EndPoint(l))", "POINT(3 4)"),
        ("ST_AsText(ST_GeomFromWKB(q))", "POINT(2 3)"),
        ("ST_AsText(q)", "POINT(2 3)"),
        ("ST_CoordDim(q)", "2"),
        ("ST_Contains(p, q)", "true"),
        ("ST_Within(q, p)", "true"),
        ("ST_Contains(q, p)", "false"),
        ("ST_Intersects(p, l)", "true"),
        ("ST_Crosses(l, p)", "false"),
        ("ST_Covers(p, l)", "true"),
        ("ST_Disjoint(q, l)", "true"),
        ("ST_Touches(p, ST_Point(0.0, 5.0))", "true"),
        ("ST_Equals(q, ST_GeomFromText('POINT(2 3)'))", "true"),
        (
            "ST_Contains(ST_GeomFromText('POLYGON((1 1, 9 1, 9 9, 1 9, 1 1))'), q)",
            "true",
        ),
        ("ST_Within(ST_Point(5.0, 5.0), p)", "false"),
        (
            "ST_Within(q, ST_GeomFromText('POLYGON((1 1, 9 1, 9 9, 1 9, 1 1))'))",
            "true",
        ),
    ];
    for (expression, value) in expected {
        assert_eq!(rows(&context, expression).await[0], value, "{expression}");
    }
}

#[tokio::test]
async fn functions_of_null_are_null() {
    let context = context();
    let all = [
        "ST_Area(p)",
        "ST_Length(l)",
        "ST_AsText(ST_Centroid(p))",
        "ST_X(q)",
        "ST_XMax(p)",
        "ST_NPoints(p)",
        "ST_IsEmpty(p)",
        "ST_AsText(q)",
        "ST_Contains(p, q)",
        "ST_Intersects(p, ST_Point(1.0, 1.0))",
        "ST_Disjoint(ST_Point(1.0, 1.0), p)",
        "ST_Distance(q, q)",
        "ST_GeometryType(p)",
        "ST_AsText(ST_EndPoint(l))",
        "ST_AsText(ST_ConvexHull(p))",
    ];
    for expression in all {
        assert_eq!(rows(&context, expression).await[1], "", "{expression}");
    }
    assert_eq!(rows(&context, "ST_Intersects(p, NULL)").await, ["", ""]);
    assert_eq!(
        rows(&context, "ST_Contains(ST_GeomFromText(NULL), p)").await,
        ["", ""]
    );
}

#[tokio::test]
async fn empty_geometries_meet_nothing() {
    let context = context();
    for relation in Relation::ALL {
        let expression = format!("{}(ST_GeomFromText('POINT EMPTY'), p)", relation.function());
        let expected = (relation == Relation::Disjoint).to_string();
        assert_eq!(
            rows(&context, &expression).await[0],
            expected,
            "{expression}"
        );
    }
}

#[tokio::test]
async fn bytes_that_are_no_wkb_are_an_error_that_names_the_column() {
    let context = context();
    let frame = context.sql("SELECT ST_Intersects(x, ST_Point(1.0, 1.0)) FROM (SELECT p, arrow_cast('abc', 'Binary') x FROM t)");
    let error = match frame.await {
        Ok(frame) => frame.collect().await.unwrap_err(),
        Err(error) => error,
    };
    assert!(error.to_string().contains("cannot be read"), "{error}");
}

#[test]
fn the_documented_functions_are_those_registered() {
    let context = SessionContext::new_with_state(SessionStateBuilder::new().build());
    register_functions(&context);
    let state = context.state();
    let mut names: Vec<&str> = state
        .scalar_functions()
        .values()
        .map(|of| of.name())
        .collect();
    names.extend(state.aggregate_functions().values().map(|of| of.name()));
    names.sort_unstable();
    names.dedup();
    let text = include_str!("mod.rs").to_lowercase();
    let documented = |name: &&str| text.contains(&format!("`{name}`"));
    let missing: Vec<&str> = names
        .iter()
        .filter(|name| !documented(name))
        .copied()
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
