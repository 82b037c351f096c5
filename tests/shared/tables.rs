//! Jobs on the tables of the shared data, and what pandas, PyArrow and GEOS made of the same files (see its README).

use std::collections::BTreeMap;
use std::path::Path;

use sha2::{Digest, Sha256};
use swath::TaskOperation;
use swath::spec::{NamedTable, TableInput, TableSettings};

/// Small partitions, so that files of some megabytes have many.
pub(crate) const SETTINGS: TableSettings = TableSettings {
    partitions: Some(5),
    partition_bytes: Some(200_000),
    broadcast_bytes: Some(1),
};

const NAVAIDS: &str = "ourairports/navaids.csv";
const COUNTRIES: &str = "ourairports/countries.csv";
const REGIONS: &str = "ourairports/regions.csv";
const WORLD: &str = "naturalearth/natural-earth_countries_geo.parquet";

/// A job, and how its output, a CSV file, is judged.
pub(crate) struct Case {
    /// Also the name of the output.
    pub(crate) name: &'static str,
    pub(crate) operation: TaskOperation,
    expected: Expected,
}

enum Expected {
    /// The rows of the file of expected results that has the case's name, in any order; so many first columns are their key.
    Rows { keys: usize },
    /// The order of all navaids.
    Order,
}

/// Lists the jobs: three group-bys, a join, an anti join, a filter, spatial joins, a sort.
pub(crate) fn cases(data: &Path) -> Vec<Case> {
    let rows = |name, keys, operation| Case {
        name,
        operation,
        expected: Expected::Rows { keys },
    };
    vec![
        rows(
            "groupby_navaids_country_usage.csv",
            2,
            TaskOperation::GroupBy {
                input: input(data, NAVAIDS),
                by: words(&["iso_country", "usageType"]),
                aggregates: words(&[
                    "count(*) as rows",
                    "min(elevation_ft) as elevation_min",
                    "max(elevation_ft) as elevation_max",
                ]),
                settings: SETTINGS,
            },
        ),
        rows(
            "groupby_navaids_type.csv",
            1,
            TaskOperation::GroupBy {
                input: input(data, NAVAIDS),
                by: words(&["type"]),
                aggregates: words(&[
                    "count(*) as rows",
                    "count(frequency_khz) as frequency_nonnull",
                    "min(frequency_khz) as frequency_min",
                    "max(frequency_khz) as frequency_max",
                    "avg(elevation_ft) as elevation_mean",
                    "sum(elevation_ft) as elevation_sum",
                    "count(distinct iso_country) as countries",
                ]),
                settings: SETTINGS,
            },
        ),
        rows(
            "groupby_regions_continent.csv",
            1,
            sql(
                data,
                "SELECT continent, count(*) AS regions, count(DISTINCT iso_country) AS countries \
                 FROM r GROUP BY continent",
                &[("r", REGIONS)],
            ),
        ),
        rows(
            "join_navaids_countries.csv",
            2,
            sql(
                data,
                "SELECT c.continent, c.name AS country_name, count(*) AS navaids, \
                 avg(n.latitude_deg) AS mean_latitude FROM n JOIN c ON n.iso_country = c.code \
                 GROUP BY c.continent, c.name",
                &[("n", NAVAIDS), ("c", COUNTRIES)],
            ),
        ),
        rows(
            "antijoin_countries_without_navaids.csv",
            2,
            sql(
                data,
                "SELECT code, name FROM c LEFT ANTI JOIN n ON c.code = n.iso_country",
                &[("n", NAVAIDS), ("c", COUNTRIES)],
            ),
        ),
        rows(
            "filter_navaids_bbox.csv",
            4,
            sql(
                data,
                "SELECT -10 AS west, 35 AS south, 30 AS east, 60 AS north, count(*) AS rows, \
                 sum(id) AS sum_of_ids FROM n WHERE longitude_deg BETWEEN -10 AND 30 \
                 AND latitude_deg BETWEEN 35 AND 60",
                &[("n", NAVAIDS)],
            ),
        ),
        rows(
            "spatialjoin_navaids_naturalearth.csv",
            1,
            sql(
                data,
                "SELECT w.name AS country, count(*) AS points, avg(n.elevation_ft) AS mean_elevation \
                 FROM n JOIN w ON ST_Intersects(ST_Point(n.longitude_deg, n.latitude_deg), w.geometry) \
                 GROUP BY w.name",
                &[("n", NAVAIDS), ("w", WORLD)],
            ),
        ),
        rows(
            "spatialjoin_navaids_naturalearth_total.csv",
            1,
            sql(
                data,
                "SELECT a.points, j.pairs, a.points - j.inside AS points_in_no_polygon \
                 FROM (SELECT count(*) AS points FROM n) a \
                 CROSS JOIN (SELECT count(*) AS pairs, count(DISTINCT n.id) AS inside FROM n \
                 JOIN w ON ST_Intersects(ST_Point(n.longitude_deg, n.latitude_deg), w.geometry)) j",
                &[("n", NAVAIDS), ("w", WORLD)],
            ),
        ),
        Case {
            name: "sort_navaids.csv",
            operation: sort_navaids(data),
            expected: Expected::Order,
        },
    ]
}

/// The sort whose order the shared data knows.
pub(crate) fn sort_navaids(data: &Path) -> TaskOperation {
    TaskOperation::Sort {
        input: input(data, NAVAIDS),
        by: words(&["elevation_ft desc nulls last", "iso_country", "id"]),
        settings: SETTINGS,
    }
}

impl Case {
    /// Asserts that an output holds what it should.
    pub(crate) fn check(&self, data: &Path, output: &Path) {
        match self.expected {
            Expected::Rows { keys } => {
                assert_same_rows(output, &data.join("expected").join(self.name), keys);
            }
            Expected::Order => assert_order(data, output),
        }
    }
}

fn input(data: &Path, name: &str) -> TableInput {
    let path = data.join("tables").join(name);
    TableInput {
        paths: vec![path.display().to_string()],
        format: None,
    }
}

fn sql(data: &Path, statement: &str, tables: &[(&str, &str)]) -> TaskOperation {
    let table = |(name, file): &(&str, &str)| NamedTable {
        name: (*name).to_owned(),
        input: input(data, file),
    };
    TaskOperation::Sql {
        statement: statement.to_owned(),
        tables: tables.iter().map(table).collect(),
        settings: SETTINGS,
    }
}

pub(crate) fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|word| (*word).to_owned()).collect()
}

/// Reads a CSV file: its header, and its rows.
pub(crate) fn read_csv(path: &Path) -> (Vec<String>, Vec<Vec<String>>) {
    let text = std::fs::read_to_string(path).unwrap();
    let mut lines = text.lines().map(split);
    let header = lines.next().unwrap();
    (header, lines.collect())
}

/// Splits a line at its commas, quoted fields respected; none of the files has a line break in a field.
fn split(line: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields.last_mut().unwrap().push(c),
        }
    }
    fields
}

/// Asserts that two CSV files hold the same rows in any order, numbers within 1e-9 of each other.
fn assert_same_rows(found: &Path, expected: &Path, keys: usize) {
    let (header, rows) = read_csv(found);
    let (expected_header, expected_rows) = read_csv(expected);
    assert_eq!(header, expected_header);
    let by_key = |rows: Vec<Vec<String>>| -> BTreeMap<Vec<String>, Vec<String>> {
        let count = rows.len();
        let map: BTreeMap<_, _> = rows
            .into_iter()
            .map(|row| (row[..keys].to_vec(), row[keys..].to_vec()))
            .collect();
        assert_eq!(map.len(), count, "a key twice");
        map
    };
    let (rows, expected_rows) = (by_key(rows), by_key(expected_rows));
    assert!(
        rows.keys().eq(expected_rows.keys()),
        "{}: other keys",
        found.display()
    );
    for (key, row) in &rows {
        for (a, b) in row.iter().zip(&expected_rows[key]) {
            assert!(
                alike(a, b),
                "{}: {key:?}: {a} instead of {b}",
                found.display()
            );
        }
    }
}

/// Tells whether two fields are the same text, or numbers within 1e-9 of each other.
pub(crate) fn alike(a: &str, b: &str) -> bool {
    match (a.parse::<f64>(), b.parse::<f64>()) {
        (Ok(a), Ok(b)) => (a - b).abs() <= 1e-9 * b.abs().max(1.0),
        _ => a == b,
    }
}

/// Asserts that navaids are in the expected order: the hash of all ids, and some columns of the first 200.
fn assert_order(data: &Path, found: &Path) {
    let (header, rows) = read_csv(found);
    let at = |name: &String| header.iter().position(|other| other == name).unwrap();
    let id = at(&"id".to_owned());
    let ids: Vec<&str> = rows.iter().map(|row| row[id].as_str()).collect();
    let (_, wanted) = read_csv(&data.join("expected/sort_navaids_order.csv"));
    assert_eq!(ids.len().to_string(), wanted[0][0]);
    let hash = Sha256::digest(ids.join("\n").as_bytes());
    assert_eq!(format!("{hash:x}"), wanted[0][1]);
    let (columns, first) = read_csv(&data.join("expected/sort_navaids_first200.csv"));
    assert_eq!(first.len(), 200);
    for (row, expected) in rows.iter().zip(&first) {
        let found = columns.iter().map(|name| &row[at(name)]);
        assert!(
            found.zip(expected).all(|(a, b)| alike(a, b)),
            "{row:?} instead of {expected:?}"
        );
    }
}
