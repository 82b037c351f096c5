//! Queries over files, as a cluster plans and runs them.

use super::support::{Trial, data, expected, rows, same, sorted};
use crate::local::{LocalSettings, run_plan};
use crate::source::SourceContext;
use crate::tests::support::left_out;
use crate::{JoinKind, NamedTable, Operation, PlanSettings, Predicate, Query, plan};

fn table(name: &str, path: &str) -> NamedTable {
    NamedTable {
        name: name.to_owned(),
        paths: vec![data().join(path).to_str().unwrap().to_owned()],
        format: None,
    }
}

async fn answer(query: &Query, partitions: u32, broadcast_bytes: u64) -> Vec<Vec<String>> {
    let sources = SourceContext::new();
    let settings = PlanSettings {
        partitions: Some(partitions),
        broadcast_bytes,
        ..PlanSettings::default()
    };
    let plan = plan(query, &settings, &sources).await.unwrap();
    let local = LocalSettings {
        stores: sources.registry(),
        ..Trial::new(1).local
    };
    let (tasks, _) = run_plan(&plan, &local).await.unwrap();
    rows(tasks.iter().flatten())
}

#[tokio::test]
async fn files_are_joined_as_other_tools_join_them() {
    if left_out() {
        return;
    }
    let query = Query {
        tables: vec![
            table("countries", "tables/ourairports/countries.csv"),
            table("navaids", "tables/ourairports/navaids.csv"),
        ],
        operation: Operation::Join {
            on: vec![("code".to_owned(), "iso_country".to_owned())],
            how: JoinKind::Anti,
            broadcast: false,
        },
    };
    let found = sorted(answer(&query, 3, 0).await).into_iter();
    let found: Vec<Vec<String>> = found.map(|row| row[1..3].to_vec()).collect();
    same(
        &sorted(found),
        &expected("antijoin_countries_without_navaids.csv"),
        "an anti-join",
    );
}

#[tokio::test]
async fn geometries_meet_in_shares_of_the_plane_and_in_one_piece() {
    if left_out() {
        return;
    }
    let query = Query {
        tables: vec![
            table(
                "cities",
                "tables/naturalearth/natural-earth_cities_geo.parquet",
            ),
            table(
                "countries",
                "tables/naturalearth/natural-earth_countries_geo.parquet",
            ),
        ],
        operation: Operation::SpatialJoin {
            predicate: Predicate::Within,
        },
    };
    let whole = sorted(answer(&query, 1, 0).await);
    assert!(whole.len() > 200);
    assert_eq!(sorted(answer(&query, 4, 0).await), whole);
    assert_eq!(sorted(answer(&query, 4, 16 << 20).await), whole);
}
