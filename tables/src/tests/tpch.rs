//! TPC-H's queries, cut into stages, against DataFusion in one piece.

use std::fmt::{Display, Write};
use std::path::Path;
use std::sync::OnceLock;

use tpchgen::csv::{
    CustomerCsv, LineItemCsv, NationCsv, OrderCsv, PartCsv, PartSuppCsv, RegionCsv, SupplierCsv,
};
use tpchgen::distribution::Distributions;
use tpchgen::generators::{
    CustomerGenerator, LineItemGenerator, NationGenerator, OrderGenerator, PartGenerator,
    PartSuppGenerator, RegionGenerator, SupplierGenerator,
};
use tpchgen::text::TextPool;

use super::support::{Trial, same, sql};

const SCALE: f64 = 0.01;

const COLUMNS: [(&str, &str); 8] = [
    ("nation", "n_nationkey bigint, n_name varchar, n_regionkey bigint, n_comment varchar"),
    ("region", "r_regionkey bigint, r_name varchar, r_comment varchar"),
    ("part", "p_partkey bigint, p_name varchar, p_mfgr varchar, p_brand varchar, p_type varchar, p_size int,
      p_container varchar, p_retailprice decimal(15, 2), p_comment varchar"),
    ("supplier", "s_suppkey bigint, s_name varchar, s_address varchar, s_nationkey bigint, s_phone varchar,
      s_acctbal decimal(15, 2), s_comment varchar"),
    ("customer", "c_custkey bigint, c_name varchar, c_address varchar, c_nationkey bigint, c_phone varchar,
      c_acctbal decimal(15, 2), c_mktsegment varchar, c_comment varchar"),
    ("partsupp", "ps_partkey bigint, ps_suppkey bigint, ps_availqty int, ps_supplycost decimal(15, 2), ps_comment varchar"),
    ("orders", "o_orderkey bigint, o_custkey bigint, o_orderstatus varchar, o_totalprice decimal(15, 2), o_orderdate date,
      o_orderpriority varchar, o_clerk varchar, o_shippriority int, o_comment varchar"),
    ("lineitem", "l_orderkey bigint, l_partkey bigint, l_suppkey bigint, l_linenumber int, l_quantity decimal(15, 2),
      l_extendedprice decimal(15, 2), l_discount decimal(15, 2), l_tax decimal(15, 2), l_returnflag varchar,
      l_linestatus varchar, l_shipdate date, l_commitdate date, l_receiptdate date, l_shipinstruct varchar,
      l_shipmode varchar, l_comment varchar"),
];

fn table(folder: &Path, name: &str, header: &str, rows: impl Iterator<Item = impl Display>) {
    let mut text = format!("{header}\n");
    for row in rows {
        writeln!(text, "{row}").unwrap();
    }
    std::fs::write(folder.join(format!("{name}.csv")), text).unwrap();
}

/// Writes the tables; the texts come from a small pool, because the specification's takes minutes to make.
fn generate(folder: &Path) {
    static TEXT: OnceLock<TextPool> = OnceLock::new();
    let words = Distributions::static_default();
    let text = TEXT.get_or_init(|| TextPool::new(1 << 20, words));
    macro_rules! write {
        ($name:literal, $csv:ident, $rows:expr) => {
            table(folder, $name, $csv::header(), $rows.iter().map($csv::new))
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
    write!(
        "part",
        PartCsv,
        PartGenerator::new_with_distributions_and_text_pool(SCALE, 1, 1, words, text)
    );
    write!(
        "supplier",
        SupplierCsv,
        SupplierGenerator::new_with_distributions_and_text_pool(SCALE, 1, 1, words, text)
    );
    write!(
        "customer",
        CustomerCsv,
        CustomerGenerator::new_with_distributions_and_text_pool(SCALE, 1, 1, words, text)
    );
    write!(
        "partsupp",
        PartSuppCsv,
        PartSuppGenerator::new_with_text_pool(SCALE, 1, 1, text)
    );
    write!(
        "orders",
        OrderCsv,
        OrderGenerator::new_with_distributions_and_text_pool(SCALE, 1, 1, words, text)
    );
    write!(
        "lineitem",
        LineItemCsv,
        LineItemGenerator::new_with_distributions_and_text_pool(SCALE, 1, 1, words, text)
    );
}

async fn tables(folder: &Path, partitions: u32) -> Trial {
    let trial = Trial::new(partitions);
    for (name, columns) in COLUMNS {
        let path = folder.join(format!("{name}.csv"));
        let statement = format!(
            "create external table {name} ({columns}) stored as csv location '{}' options ('format.has_header' 'true')",
            path.display()
        );
        trial.session.sql(&statement).await.unwrap();
    }
    trial
}

#[tokio::test]
async fn the_22_queries_give_the_answers_of_one_process() {
    let folder = tempfile::tempdir().unwrap();
    generate(folder.path());
    let mut trial = tables(folder.path(), 3).await;
    let mut empty = Vec::new();
    for (number, statement) in (1..).zip(include_str!("tpch.sql").split_terminator(";\n")) {
        // Small tables are broadcast in every other query.
        trial.settings.broadcast_bytes = if number % 2 == 0 { 100_000 } else { 0 };
        let plan = trial.plan(&sql(statement)).await;
        assert!(plan.stages.len() > 1, "q{number} is distributed");
        let alone = trial.alone(statement).await;
        same(&trial.sql(statement).await, &alone, &format!("q{number}"));
        if alone.is_empty() {
            empty.push(number);
        }
    }
    assert!(empty.len() <= 3, "queries without rows: {empty:?}");
}
