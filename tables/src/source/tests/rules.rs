//! The rules of formats, folders and schemas.

use arrow::array::{AsArray, Int32Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema};
use arrow::util::pretty::pretty_format_batches;

use super::*;
use crate::sink::{FileAssembler, OutputFormat, PartEncoder};

/// Writes files, and reads them as one table.
async fn check(files: &[(&str, &str)], statement: &str, expected: &[&str]) {
    let root = folder(files);
    let paths = [root.path().display().to_string()];
    for partitions in [1, 3] {
        let read = read(&paths, None, statement, partitions, &SourceContext::new())
            .await
            .unwrap();
        let text = pretty_format_batches(&read.batches()).unwrap().to_string();
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(lines, expected, "{:?}", read.schema);
    }
}

async fn refused(files: &[(&str, &str)], parts: &[&str]) {
    let root = folder(files);
    let paths = [root.path().display().to_string()];
    let read = read(&paths, None, "SELECT * FROM t", 1, &SourceContext::new()).await;
    let text = read.map(|read| read.plan).unwrap_err().0;
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = root.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    root
}

#[tokio::test]
async fn an_empty_field_is_null_and_the_text_na_is_not() {
    check(
        &[(
            "a.csv",
            "code,n,x,empty\nNA,1,1,\n,,2.5,\n\"a,\"\"b\",3,3,\n",
        )],
        "SELECT *, arrow_typeof(n) AS tn, arrow_typeof(x) AS tx, arrow_typeof(empty) AS te FROM t",
        &[
            "| code | n | x   | empty | tn    | tx      | te   |",
            "| NA   | 1 | 1.0 |       | Int64 | Float64 | Utf8 |",
            "|      |   | 2.5 |       | Int64 | Float64 | Utf8 |",
            "| a,\"b | 3 | 3.0 |       | Int64 | Float64 | Utf8 |",
        ],
    )
    .await;
    check(
        &[("a.csv", "code,n\nNA,1\n,\n")],
        "SELECT count(code) AS codes, count(n) AS ns, count(*) AS rows FROM t",
        &["| codes | ns | rows |", "| 1     | 1  | 2    |"],
    )
    .await;
}

#[tokio::test]
async fn types_of_csv_files_are_joined_and_headers_are_not() {
    check(
        &[
            ("a.csv", "a,b\n1,2024-01-02\n"),
            ("b.csv", "a,b\n1.5,\n"),
            ("c.csv", "a,b\n,x\n"),
        ],
        "SELECT * FROM t",
        &[
            "| a   | b          |",
            "| 1.0 | 2024-01-02 |",
            "| 1.5 |            |",
            "|     | x          |",
        ],
    )
    .await;
    refused(
        &[("a.csv", "a,b\n1,2\n"), ("b.csv", "b,a\n1,2\n")],
        &["headers of", "a.csv", "b.csv"],
    )
    .await;
    refused(&[("a.csv", "a,a\n1,2\n")], &["two columns a"]).await;
    refused(&[("a.csv", "a,b\n1,2\n3\n")], &["a.csv"]).await;
}

#[tokio::test]
async fn a_line_break_in_quotes_is_part_of_a_field() {
    let long = "x".repeat(40_000);
    let text = format!("a,b\n1,\"one\ntwo\"\n2,{long}\n3,{long}\n");
    check(
        &[("a.csv", &text)],
        "SELECT sum(a) AS a, min(b) AS b FROM t WHERE length(b) < 10",
        &["| a | b   |", "| 1 | one |", "|   | two |"],
    )
    .await;
}

#[tokio::test]
async fn members_of_json_lines_are_columns() {
    check(
        &[
            (
                "a.ndjson",
                "{\"b\":1,\"a\":{\"x\":[1,2]}}\n\n{\"a\":null,\"c\":\"t\",\"b\":2.5}\n",
            ),
            ("b.ndjson", "{\"c\":7,\"b\":3}\n"),
        ],
        "SELECT * FROM t",
        &[
            "| b   | a           | c |",
            "| 1.0 | {x: [1, 2]} |   |",
            "| 2.5 |             | t |",
            "| 3.0 |             | 7 |",
        ],
    )
    .await;
    refused(
        &[("a.ndjson", "[{\"a\":1}]\n")],
        &["a.ndjson", "JSON object"],
    )
    .await;
}

#[tokio::test]
async fn features_are_rows_and_properties_columns() {
    let point = r#"{"type":"Feature","geometry":{"type":"Point","coordinates":[1,2]},"properties":{"n":1,"s":"a"}}"#;
    let empty = r#"{"type":"Feature","geometry":null,"properties":null}"#;
    let expected = [
        "| n | s | geometry                                   |",
        "| 1 | a | 0101000000000000000000f03f0000000000000040 |",
        "|   |   |                                            |",
    ];
    let collection = format!(r#"{{"type":"FeatureCollection","features":[{point},{empty}]}}"#);
    let lines = format!("{point}\n{empty}\n");
    let sequence = format!("\u{1e}{point}\n\u{1e}{empty}\n");
    for text in [&collection, &lines, &sequence] {
        check(&[("a.geojson", text)], "SELECT * FROM t", &expected).await;
    }
    check(
        &[("a.geojson", &collection)],
        "SELECT s, count(*) OVER () AS c FROM t WHERE n = 1",
        &["| s | c |", "| a | 1 |"],
    )
    .await;
    refused(
        &[("a.geojson", r#"{"type":"Topology"}"#)],
        &["a.geojson", "it is a Topology"],
    )
    .await;
}

#[tokio::test]
async fn geojson_of_others_is_read_or_refused() {
    let Some(root) = shared_data() else { return };
    let folder = root.join("tables/geojson");
    for (name, expected) in [
        ("all-null-geom", Ok((1, "place, geometry"))),
        ("bad-collection", Err("a geometry cannot be read")),
        ("empty-collection", Ok((0, "geometry"))),
        ("extra-object", Ok((1, "name, geometry"))),
        ("mismatched-types", Ok((2, "stringProperty, geometry"))),
        ("null-geom", Ok((2, "place, geometry"))),
        ("object-id", Ok((1, "name, geometry"))),
        (
            "repeated-props",
            Ok((2, "numbers, strings, objects, geometry")),
        ),
        ("string-id", Ok((1, "name, geometry"))),
        ("with-crs", Ok((1, "geometry"))),
    ] {
        let path = [folder.join(format!("{name}.geojson")).display().to_string()];
        let read = read(&path, None, "SELECT * FROM t", 2, &SourceContext::new()).await;
        match (read, expected) {
            (Ok(read), Ok((rows, columns))) => {
                let names = read.schema.fields().iter().map(|f| f.name().as_str());
                assert_eq!(names.collect::<Vec<_>>().join(", "), columns, "{name}");
                assert_eq!(
                    (read.rows(), read.facts.rows),
                    (rows, Some(rows as u64)),
                    "{name}"
                );
            }
            (Err(error), Err(part)) => assert!(error.0.contains(part), "{name}: {}", error.0),
            (Ok(read), Err(_)) => panic!("{name}: {} rows", read.rows()),
            (Err(error), Ok(_)) => panic!("{name}: {}", error.0),
        }
    }
}

#[tokio::test]
async fn folders_are_columns_and_filters_prune_them() {
    let files = [
        ("y=2023/r=a/1.csv", "v\n1\n"),
        ("y=2023/r=b/1.csv", "v\n2\n"),
        ("y=2024/r=__HIVE_DEFAULT_PARTITION__/1.csv", "v\n3\n"),
    ];
    check(
        &files,
        "SELECT v, y + 1 AS next, r FROM t WHERE y >= 2023",
        &[
            "| v | next | r |",
            "| 1 | 2024 | a |",
            "| 2 | 2024 | b |",
            "| 3 | 2025 |   |",
        ],
    )
    .await;
    let root = folder(&files);
    let paths = [root.path().display().to_string()];
    let pruned = "SELECT v FROM t WHERE y = 2023 AND r = 'b'";
    let read = read(&paths, None, pruned, 2, &SourceContext::new())
        .await
        .unwrap();
    assert!(
        !read.plan.contains("r=a") && !read.plan.contains("2024"),
        "{}",
        read.plan
    );
    assert!(!read.plan.contains("FilterExec"), "{}", read.plan);
    assert_eq!(read.rows(), 1);
    let none = "SELECT v FROM t WHERE y = 1999";
    let read = super::read(&paths, None, none, 2, &SourceContext::new())
        .await
        .unwrap();
    assert_eq!(read.rows(), 0);
    refused(
        &[("y=1/1.csv", "v\n1\n"), ("z=1/1.csv", "v\n1\n")],
        &["have different names", "y=1", "z=1"],
    )
    .await;
}

#[tokio::test]
async fn what_a_folder_cannot_be_is_said() {
    refused(
        &[("a.csv", "a\n1\n"), ("b.ndjson", "{}\n")],
        &["different formats"],
    )
    .await;
    refused(&[("a.txt", "a\n1\n")], &["format of", "a.txt", "--format"]).await;
    refused(&[("a.csv", "")], &["a.csv is empty"]).await;
    refused(&[("_SUCCESS", "")], &["no file matches"]).await;
}

/// Writes a batch as a file of one part.
fn write(path: &std::path::Path, batch: &RecordBatch) {
    let format = OutputFormat::from_path(path.to_str().unwrap()).unwrap();
    let mut body = Vec::new();
    let mut take = |bytes: &[u8]| {
        body.extend_from_slice(bytes);
        Ok(())
    };
    let mut part = PartEncoder::new(&format, &batch.schema()).unwrap();
    part.write(batch, &mut take).unwrap();
    let footer = part.finish(&mut take).unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut file = FileAssembler::new(&format, &batch.schema(), file).unwrap();
    file.part(&footer).unwrap();
    file.body(&body).unwrap();
    file.finish().unwrap();
}

#[tokio::test]
async fn columns_of_different_files_are_joined_by_name() {
    let batch = |fields: Vec<Field>, columns: Vec<arrow::array::ArrayRef>| {
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    };
    let one = batch(
        vec![
            Field::new("a", DataType::Int32, false),
            Field::new("b", DataType::Utf8, true),
        ],
        vec![
            Arc::new(Int32Array::from(vec![1])),
            Arc::new(StringArray::from(vec!["x"])),
        ],
    );
    let two = batch(
        vec![
            Field::new("c", DataType::Int64, false),
            Field::new("a", DataType::Int64, false),
        ],
        vec![
            Arc::new(Int64Array::from(vec![5])),
            Arc::new(Int64Array::from(vec![2])),
        ],
    );
    let three = batch(
        vec![Field::new("a", DataType::Utf8, false)],
        vec![Arc::new(StringArray::from(vec!["text"]))],
    );
    for extension in ["parquet", "arrow"] {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(format!("{name}.{extension}"));
        write(&path("1"), &one);
        write(&path("2"), &two);
        let paths = [root.path().display().to_string()];
        let statement = "SELECT * FROM t WHERE a > 0";
        let joined = read(&paths, None, statement, 1, &SourceContext::new())
            .await
            .unwrap();
        let text = pretty_format_batches(&joined.batches())
            .unwrap()
            .to_string();
        let lines: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(
            lines,
            ["| a | b | c |", "| 1 | x |   |", "| 2 |   | 5 |"],
            "{extension}"
        );
        assert!(!joined.schema.field(0).is_nullable() && joined.schema.field(2).is_nullable());

        write(&path("3"), &three);
        let error = read(&paths, None, statement, 1, &SourceContext::new()).await;
        let text = error.map(|read| read.plan).unwrap_err().0;
        let parts = ["column a", "Int64", "Utf8", "1.", "3."];
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
}

#[tokio::test]
async fn a_csv_file_is_cut_by_bytes_and_no_row_is_lost() {
    let Some(root) = shared_data() else { return };
    let path = [root
        .join("tables/ourairports/navaids.csv")
        .display()
        .to_string()];
    // expected/filter_navaids_bbox.csv: rows and the sum of their ids.
    let statement = "SELECT count(*) AS rows, sum(id) AS ids FROM t \
        WHERE longitude_deg BETWEEN -10 AND 30 AND latitude_deg BETWEEN 35 AND 60";
    let text = std::fs::read_to_string(root.join("expected/filter_navaids_bbox.csv")).unwrap();
    let expected: Vec<&str> = text.lines().nth(1).unwrap().split(',').skip(4).collect();
    for partitions in [1, 7] {
        let scan = read(
            &path,
            None,
            "SELECT * FROM t",
            partitions,
            &SourceContext::new(),
        )
        .await
        .unwrap();
        assert_eq!(scan.partitions.len(), partitions);
        let rows: Vec<usize> = scan
            .partitions
            .iter()
            .map(|batches| batches.iter().map(RecordBatch::num_rows).sum())
            .collect();
        assert_eq!(rows.iter().sum::<usize>(), 11_008);
        let (least, most) = (rows.iter().min().unwrap(), rows.iter().max().unwrap());
        assert!(
            most - least < 11_008 / partitions / 2 || partitions == 1,
            "{rows:?}"
        );
        assert_eq!(
            scan.schema
                .field_with_name("elevation_ft")
                .unwrap()
                .data_type(),
            &DataType::Int64
        );

        let read = read(&path, None, statement, partitions, &SourceContext::new())
            .await
            .unwrap();
        let batch = read
            .batches()
            .into_iter()
            .find(|b| b.num_rows() == 1)
            .unwrap();
        let got = [0, 1].map(|i| {
            batch
                .column(i)
                .as_primitive::<Int64Type>()
                .value(0)
                .to_string()
        });
        assert_eq!(got.to_vec(), expected);
    }
}

#[tokio::test]
async fn row_groups_are_shared_out_and_pruned() {
    let root = tempfile::tempdir().unwrap();
    let schema = Arc::new(Schema::new(vec![
        Field::new("n", DataType::Int64, false),
        Field::new("x", DataType::Float64, false),
    ]));
    let format = OutputFormat::from_path("x.parquet").unwrap();
    let path = root.path().join("x.parquet");
    let file = std::fs::File::create(&path).unwrap();
    let mut file = FileAssembler::new(&format, &schema, file).unwrap();
    for part in 0..6i64 {
        let numbers: Vec<i64> = (part * 10_000..(part + 1) * 10_000).collect();
        let floats: Vec<f64> = numbers.iter().map(|n| (*n as f64).sin()).collect();
        let columns: Vec<arrow::array::ArrayRef> = vec![
            Arc::new(Int64Array::from(numbers)),
            Arc::new(arrow::array::Float64Array::from(floats)),
        ];
        let batch = RecordBatch::try_new(Arc::clone(&schema), columns).unwrap();
        let mut body = Vec::new();
        let mut take = |bytes: &[u8]| {
            body.extend_from_slice(bytes);
            Ok(())
        };
        let mut part = PartEncoder::new(&format, &schema).unwrap();
        part.write(&batch, &mut take).unwrap();
        let footer = part.finish(&mut take).unwrap();
        file.part(&footer).unwrap();
        file.body(&body).unwrap();
    }
    file.finish().unwrap();
    let path = [path.display().to_string()];
    let scan = read(&path, None, "SELECT n, x FROM t", 3, &SourceContext::new())
        .await
        .unwrap();
    let numbers: Vec<Vec<i64>> = scan
        .partitions
        .iter()
        .map(|batches| {
            let column =
                |b: &RecordBatch| b.column(0).as_primitive::<Int64Type>().values().to_vec();
            batches.iter().flat_map(column).collect()
        })
        .collect();
    assert_eq!(
        numbers.iter().map(Vec::len).collect::<Vec<_>>(),
        [20_000; 3]
    );
    assert_eq!(numbers.concat(), (0..60_000).collect::<Vec<i64>>());
    let sum: f64 = scan
        .batches()
        .iter()
        .flat_map(|b| b.column(1).as_primitive::<Float64Type>().values().to_vec())
        .sum();
    let expected: f64 = (0..60_000).map(|n| f64::from(n).sin()).sum();
    assert!((sum - expected).abs() < 1e-6);
    assert_eq!(scan.facts.rows, Some(60_000));

    let statement = "SELECT n FROM t WHERE n = 25000";
    let pruned = read(&path, None, statement, 3, &SourceContext::new())
        .await
        .unwrap();
    assert_eq!(pruned.rows(), 1);
    assert!(pruned.plan.contains("pruning_predicate"), "{}", pruned.plan);
    let counted = read(
        &path,
        None,
        "SELECT count(*) FROM t",
        3,
        &SourceContext::new(),
    )
    .await
    .unwrap();
    assert!(!counted.plan.contains("DataSourceExec"), "{}", counted.plan);
}
