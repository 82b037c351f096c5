//! The tables of TPC-H as Parquet files, their rows made by the crate `tpchgen`, and the 22 queries.

use std::error::Error;
use std::fmt::{Display, Write};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::csv::ReaderBuilder;
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;
use tpchgen::csv::{
    CustomerCsv, LineItemCsv, NationCsv, OrderCsv, PartCsv, PartSuppCsv, RegionCsv, SupplierCsv,
};
use tpchgen::distribution::Distributions;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};
use tpchgen::text::TextPool;

/// Rows of a row group: small enough that a table of some hundred thousand rows can be read in several shares.
const GROUP_ROWS: usize = 1 << 16;
/// Rows that are made at once.
const CHUNK_ROWS: usize = 1 << 13;

/// The names of the tables.
pub(crate) const TABLES: [&str; 8] = [
    "nation", "region", "part", "supplier", "customer", "partsupp", "orders", "lineitem",
];

/// Lists the 22 queries, in their order.
pub(crate) fn queries() -> impl Iterator<Item = &'static str> {
    include_str!("queries.sql").split_terminator(";\n")
}

/// Returns where a table of a folder is.
pub(crate) fn file(folder: &Path, table: &str) -> PathBuf {
    folder.join(format!("{table}.parquet"))
}

/// Writes all tables into a folder.
///
/// - `scale`: 1 makes 6 million rows of `lineitem`.
/// - `text_bytes`: size of the text that comments are cut from; the specification's has 300 MiB.
///
/// # Errors
/// When a file cannot be written.
pub(crate) fn generate(folder: &Path, scale: f64, text_bytes: i32) -> Result<(), Box<dyn Error>> {
    let words = Distributions::static_default();
    let text = &TextPool::new(text_bytes, words);
    macro_rules! write {
        ($name:literal, $csv:ident, $rows:expr) => {
            table(folder, $name, $csv::header(), $rows.iter().map($csv::new))?
        };
    }
    macro_rules! scaled {
        ($generator:ident) => {
            $generator::new_with_distributions_and_text_pool(scale, 1, 1, words, text)
        };
    }
    write!(
        "nation",
        NationCsv,
        NationGenerator::new_with_distributions_and_text_pool(words, text)
    );
    write!(
        "region",
        RegionCsv,
        RegionGenerator::new_with_distributions_and_text_pool(words, text)
    );
    write!("part", PartCsv, scaled!(PartGenerator));
    write!("supplier", SupplierCsv, scaled!(SupplierGenerator));
    write!("customer", CustomerCsv, scaled!(CustomerGenerator));
    write!(
        "partsupp",
        PartSuppCsv,
        PartSuppGenerator::new_with_text_pool(scale, 1, 1, text)
    );
    write!("orders", OrderCsv, scaled!(OrderGenerator));
    write!("lineitem", LineItemCsv, scaled!(LineItemGenerator));
    Ok(())
}

/// Writes one table, a chunk of rows after the other.
fn table(
    folder: &Path,
    name: &str,
    header: &str,
    mut rows: impl Iterator<Item = impl Display>,
) -> Result<(), Box<dyn Error>> {
    let fields = header.split(',').map(|column| {
        let data_type = data_type(column);
        Field::new(column, data_type, false)
    });
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .build();
    let output = File::create(file(folder, name))?;
    let mut writer = ArrowWriter::try_new(output, Arc::clone(&schema), Some(properties))?;
    let mut lines = String::new();
    loop {
        lines.clear();
        for row in rows.by_ref().take(CHUNK_ROWS) {
            writeln!(lines, "{row}")?;
        }
        if lines.is_empty() {
            break;
        }
        let reader = ReaderBuilder::new(Arc::clone(&schema)).build(lines.as_bytes())?;
        for batch in reader {
            writer.write(&batch?)?;
        }
    }
    writer.close()?;
    Ok(())
}

/// Returns the type that the specification gives a column, by the name that it has in all tables.
fn data_type(column: &str) -> DataType {
    match column.split_once('_').map_or(column, |(_, name)| name) {
        "acctbal" | "retailprice" | "supplycost" | "totalprice" | "quantity" | "extendedprice"
        | "discount" | "tax" => DataType::Decimal128(15, 2),
        "size" | "availqty" | "shippriority" | "linenumber" => DataType::Int32,
        name if name.ends_with("date") => DataType::Date32,
        name if name.ends_with("key") => DataType::Int64,
        _ => DataType::Utf8,
    }
}
