//! Outputs are read back by others: pyarrow reads what is assembled here, and says what it found.

use std::process::Command;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, DictionaryArray, Float64Array, Int64Array, RecordBatch, StringArray,
    StringViewArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};

use super::*;
use crate::geometry::{Crs, geometry_field, wkb_field};
use crate::query::Format;

/// Encodes each batch as a part, and puts the parts together.
fn assemble(format: &OutputFormat, schema: &SchemaRef, parts: &[Vec<RecordBatch>]) -> Vec<u8> {
    let mut file = FileAssembler::new(format, schema, Vec::new()).unwrap();
    let mut rows = 0;
    for batches in parts {
        let mut body = Vec::new();
        let mut take = |bytes: &[u8]| {
            body.push(bytes.to_vec());
            Ok(())
        };
        let mut part = PartEncoder::new(format, schema).unwrap();
        for batch in batches {
            part.write(batch, &mut take).unwrap();
            rows += batch.num_rows() as u64;
        }
        let footer = part.finish(&mut take).unwrap();
        let footer = PartFooter::from_bytes(&footer.to_bytes().unwrap()).unwrap();
        assert_eq!(footer.body_bytes, body.concat().len() as u64);
        file.part(&footer).unwrap();
        for bytes in body {
            // Pieces come as the network cuts them.
            for piece in bytes.chunks(1000) {
                file.body(piece).unwrap();
            }
        }
    }
    let (out, assembled) = file.finish().unwrap();
    assert_eq!(assembled.rows, rows);
    if format.format != Format::Arrow {
        assert_eq!(assembled.bytes, out.len() as u64);
    }
    out
}

/// Runs Python with pyarrow over a file; returns what it prints.
fn python(file: &std::path::Path, script: &str) -> String {
    let output = Command::new("python3")
        .args(["-c", script])
        .arg(file)
        .output()
        .expect("python3 is on the PATH");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{stderr}\nthis test needs pyarrow: pip install pyarrow, and python3 of that environment first on the PATH"
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn point(x: f64, y: f64) -> Vec<u8> {
    let mut wkb = vec![1, 1, 0, 0, 0];
    wkb.extend(x.to_le_bytes());
    wkb.extend(y.to_le_bytes());
    wkb
}

fn schema(crs: &Crs) -> SchemaRef {
    let words = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    Arc::new(Schema::new(vec![
        Field::new("n", DataType::Int64, true),
        Field::new("x", DataType::Float64, false),
        Field::new("name", DataType::Utf8View, true),
        Field::new("word", words, true),
        geometry_field(&wkb_field("shape", crs), "wkb", crs, None),
    ]))
}

/// Rows `from..to`: `n` is null where it divides by 7, points are at (n, -n) and null where it divides by 5.
fn rows(crs: &Crs, from: i64, to: i64) -> RecordBatch {
    let numbers: Vec<i64> = (from..to).collect();
    let names: Vec<Option<String>> = numbers
        .iter()
        .map(|n| (n % 3 != 0).then(|| format!("name \"{n}\", ä")))
        .collect();
    let points: Vec<Option<Vec<u8>>> = numbers
        .iter()
        .map(|n| (n % 5 != 0).then(|| point(*n as f64, -*n as f64)))
        .collect();
    let words: DictionaryArray<Int32Type> = numbers
        .iter()
        .map(|n| Some(if n % 2 == 0 { "even" } else { "odd" }))
        .collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(
            numbers
                .iter()
                .map(|n| (n % 7 != 0).then_some(*n))
                .collect::<Int64Array>(),
        ),
        Arc::new(
            numbers
                .iter()
                .map(|n| *n as f64 / 4.0)
                .collect::<Float64Array>(),
        ),
        Arc::new(
            names
                .iter()
                .map(Option::as_deref)
                .collect::<StringViewArray>(),
        ),
        Arc::new(words),
        Arc::new(points.iter().map(Option::as_deref).collect::<BinaryArray>()),
    ];
    RecordBatch::try_new(schema(crs), columns).unwrap()
}

/// Three parts with rows, one without; the batches of a part are of different lengths.
fn parts(crs: &Crs) -> Vec<Vec<RecordBatch>> {
    vec![
        vec![rows(crs, 1, 1000), rows(crs, 1000, 1001)],
        vec![],
        vec![rows(crs, 1001, 3000)],
        vec![rows(crs, 3000, 4000), rows(crs, 4000, 5001)],
    ]
}

/// Python that checks the rows of `t`, a table as `rows` makes it.
const CHECK_ROWS: &str = r#"
d = t.to_pydict()
assert t.num_rows == 5000, t.num_rows
r = range(1, 5001)
assert d['n'] == [None if n % 7 == 0 else n for n in r]
assert d['x'] == [n / 4 for n in r]
assert d['name'] == [None if n % 3 == 0 else f'name "{n}", ä' for n in r]
assert d['word'] == ['odd' if n % 2 else 'even' for n in r]
wkb = lambda n: struct.pack('<BIdd', 1, 1, n, -n)
assert d['shape'] == [None if n % 5 == 0 else wkb(n) for n in r]
"#;

#[test]
fn pyarrow_reads_a_parquet_file_of_many_parts() {
    let folder = tempfile::tempdir().unwrap();
    let crs = Crs::Wgs84;
    for compression in [
        Compression::Default,
        Compression::None,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Gzip,
        Compression::Zstd,
    ] {
        let format = OutputFormat {
            format: Format::Parquet,
            compression,
        };
        let path = folder.path().join(format!("{compression:?}.parquet"));
        std::fs::write(&path, assemble(&format, &schema(&crs), &parts(&crs))).unwrap();
        let script = format!(
            r#"
import sys, struct, json, pyarrow.parquet as pq
f = pq.ParquetFile(sys.argv[1], page_checksum_verification=True)
t = f.read()
{CHECK_ROWS}
assert str(t.schema.field('name').type) == 'string', t.schema
assert str(t.schema.field('word').type).startswith('dictionary'), t.schema
s = f.metadata.row_group(1).column(1).statistics
assert (s.min, s.max) == (1001 / 4, 2999 / 4), s
geo = json.loads(f.metadata.metadata[b'geo'])
c = geo['columns']['shape']
print(f.metadata.num_row_groups, geo['version'], geo['primary_column'], c['encoding'], c['geometry_types'], c['bbox'], c['crs']['id'])
"#
        );
        // Points at 5000, 4995, … are null: the last is at 4999.
        assert_eq!(
            python(&path, &script),
            "3 1.1.0 shape WKB ['Point'] [1.0, -4999.0, 4999.0, -1.0] {'authority': 'OGC', 'code': 'CRS84'}",
        );
    }
}

#[test]
fn pyarrow_reads_an_arrow_file_of_many_parts() {
    let folder = tempfile::tempdir().unwrap();
    let crs = Crs::Text("EPSG:32618".to_owned());
    for compression in [Compression::Default, Compression::Lz4, Compression::Zstd] {
        let format = OutputFormat {
            format: Format::Arrow,
            compression,
        };
        let path = folder.path().join(format!("{compression:?}.arrow"));
        std::fs::write(&path, assemble(&format, &schema(&crs), &parts(&crs))).unwrap();
        let script = format!(
            r#"
import sys, struct, pyarrow as pa
t = pa.ipc.open_file(sys.argv[1]).read_all()
{CHECK_ROWS}
print(t.schema.field('name').type, t.schema.field('shape').metadata)
"#
        );
        assert_eq!(
            python(&path, &script),
            "string {b'ARROW:extension:metadata': b'{\"crs\":\"EPSG:32618\",\"crs_type\":\"authority_code\"}', \
             b'ARROW:extension:name': b'geoarrow.wkb'}"
        );
    }
}

#[test]
fn a_csv_file_has_one_header_and_geometries_as_text() {
    let out = assemble(
        &Format::Csv.into(),
        &schema(&Crs::Wgs84),
        &parts(&Crs::Wgs84),
    );
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5001);
    assert_eq!(lines[0], "n,x,name,word,shape");
    assert_eq!(lines[1], "1,0.25,\"name \"\"1\"\", ä\",odd,POINT(1 -1)");
    assert_eq!(lines[35], ",8.75,\"name \"\"35\"\", ä\",odd,");
    let empty = assemble(&Format::Csv.into(), &schema(&Crs::Wgs84), &[]);
    assert_eq!(empty, b"n,x,name,word,shape\n");
}

#[test]
fn lines_of_json_leave_nulls_out() {
    let out = assemble(
        &Format::Ndjson.into(),
        &schema(&Crs::Wgs84),
        &parts(&Crs::Wgs84),
    );
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 5000);
    assert_eq!(
        lines[34],
        r#"{"x":8.75,"name":"name \"35\", ä","word":"odd"}"#
    );
    assert_eq!(
        lines[2],
        r#"{"n":3,"x":0.75,"word":"odd","shape":"POINT(3 -3)"}"#
    );
}

#[test]
fn a_geojson_file_is_one_collection() {
    for (crs, member) in [
        (Crs::Wgs84, serde_json::Value::Null),
        (
            Crs::Text("EPSG:32618".to_owned()),
            "urn:ogc:def:crs:EPSG::32618".into(),
        ),
    ] {
        let out = assemble(&Format::Geojson.into(), &schema(&crs), &parts(&crs));
        let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
        assert_eq!(value["type"], "FeatureCollection");
        assert_eq!(value["crs"]["properties"]["name"], member);
        let features = value["features"].as_array().unwrap();
        assert_eq!(features.len(), 5000);
        let expected = serde_json::json!({
            "type": "Feature",
            "properties": { "n": 3, "x": 0.75, "name": null, "word": "odd" },
            "geometry": { "type": "Point", "coordinates": [3, -3] },
        });
        assert_eq!(features[2].to_string(), expected.to_string());
        assert_eq!(features[4]["geometry"], serde_json::Value::Null);
        let empty = assemble(&Format::Geojson.into(), &schema(&crs), &[]);
        let empty: serde_json::Value = serde_json::from_slice(&empty).unwrap();
        assert_eq!(empty["features"], serde_json::json!([]));
    }
}

#[test]
fn files_without_rows_have_columns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("empty");
    for parts in [vec![], vec![vec![], vec![]]] {
        std::fs::write(
            &path,
            assemble(&Format::Parquet.into(), &schema(&Crs::Wgs84), &parts),
        )
        .unwrap();
        let script = "import sys, json, pyarrow.parquet as pq\n\
            f = pq.ParquetFile(sys.argv[1])\n\
            t = f.read()\n\
            geo = json.loads(f.metadata.metadata[b'geo'])['columns']['shape']\n\
            print(t.num_rows, t.column_names, geo['geometry_types'], 'bbox' in geo)";
        assert_eq!(
            python(&path, script),
            "0 ['n', 'x', 'name', 'word', 'shape'] [] False"
        );
        std::fs::write(
            &path,
            assemble(&Format::Arrow.into(), &schema(&Crs::Wgs84), &parts),
        )
        .unwrap();
        let script = "import sys, pyarrow as pa\n\
            t = pa.ipc.open_file(sys.argv[1]).read_all()\n\
            print(t.num_rows, t.column_names)";
        assert_eq!(
            python(&path, script),
            "0 ['n', 'x', 'name', 'word', 'shape']"
        );
    }
}

#[test]
fn a_result_that_a_format_cannot_hold_is_refused_by_name() {
    let plain = Arc::new(Schema::new(vec![Field::new("a", DataType::Utf8, true)]));
    let error = PartEncoder::new(&Format::Geojson.into(), &plain).unwrap_err();
    assert!(error.to_string().contains("GeoJSON needs"), "{error}");

    let schema = Arc::new(Schema::new(vec![wkb_field("shape", &Crs::Wgs84)]));
    let bad = BinaryArray::from(vec![
        Some(point(1.0, 2.0).as_slice()),
        None,
        Some(b"\x01\x01"),
    ]);
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(bad)]).unwrap();
    for format in [Format::Parquet, Format::Csv, Format::Geojson] {
        let mut part = PartEncoder::new(&format.into(), &schema).unwrap();
        let error = part.write(&batch, &mut |_| Ok(())).unwrap_err();
        assert_eq!(
            error.to_string(),
            "column shape, row 2 of a part: the geometry cannot be read: it ends too early"
        );
    }
}

#[test]
fn a_part_that_is_cut_or_too_long_is_refused() {
    let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Utf8, true)]));
    let batch = RecordBatch::try_new(
        Arc::clone(&schema),
        vec![Arc::new(StringArray::from(vec!["x"]))],
    );
    for format in [Format::Parquet, Format::Csv, Format::Arrow] {
        let format = format.into();
        let mut body = Vec::new();
        let mut take = |bytes: &[u8]| {
            body.extend_from_slice(bytes);
            Ok(())
        };
        let mut part = PartEncoder::new(&format, &schema).unwrap();
        part.write(batch.as_ref().unwrap(), &mut take).unwrap();
        let footer = part.finish(&mut take).unwrap();
        let begun = || {
            let mut file = FileAssembler::new(&format, &schema, Vec::new()).unwrap();
            file.part(&footer).unwrap();
            file
        };
        let mut cut = begun();
        cut.body(&body[..body.len() - 1]).unwrap();
        assert!(cut.part(&footer).is_err());
        assert!(cut.finish().is_err());
        let mut long = begun();
        long.body(&body).unwrap();
        assert!(long.body(b"x").is_err());
    }
}

#[test]
fn a_folder_of_parts_says_what_is_in_it() {
    let format = OutputFormat::from_path("out.parquet").unwrap();
    let parts: Vec<PartFile> = (0..2)
        .map(|index| PartFile {
            name: part_name(index, &format),
            rows: 10,
            bytes: 100,
        })
        .collect();
    let text = manifest(
        &parts,
        &format,
        &Schema::new(vec![Field::new("a", DataType::Int64, false)]),
    );
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["rows"], 20);
    assert_eq!(value["parts"][1]["name"], "part-00001.parquet");
    assert_eq!(value["schema"][0]["type"], "Int64");
}
