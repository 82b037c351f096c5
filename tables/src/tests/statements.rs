//! Kinds of statements, cut, against DataFusion in one piece.

use super::support::{Trial, same, sorted};
use crate::tests::support::left_out;

async fn airports(partitions: u32) -> Trial {
    let trial = Trial::new(partitions);
    let trial = trial.csv("navaids", "tables/ourairports/navaids.csv").await;
    trial
        .csv("countries", "tables/ourairports/countries.csv")
        .await
}

/// Runs a statement over 2 and 4 partitions; with no order of its own, rows are compared as a set.
async fn check(statement: &str) {
    for (partitions, broadcast_bytes) in [(4, 0), (2, 1 << 20)] {
        let mut trial = airports(partitions).await;
        trial.settings.broadcast_bytes = broadcast_bytes;
        let (mut actual, mut alone) = (trial.sql(statement).await, trial.alone(statement).await);
        if !statement.contains("order by") || statement.contains("over (") {
            (actual, alone) = (sorted(actual), sorted(alone));
        }
        assert!(!alone.is_empty(), "{statement}");
        same(&actual, &alone, statement);
    }
}

#[tokio::test]
async fn limits_and_top_rows() {
    if left_out() {
        return;
    }
    check("select id, name from navaids order by elevation_ft desc nulls last, id limit 17").await;
    check("select id, name from navaids order by name, id limit 5 offset 1000").await;
    check("select id from navaids order by id offset 11000").await;
    check("select count(*) from (select id from navaids limit 100)").await;
    check("select type, count(*) as n from navaids group by type order by n desc limit 3").await;
}

#[tokio::test]
async fn orders_with_nulls_and_directions() {
    if left_out() {
        return;
    }
    check("select elevation_ft, power, id from navaids order by elevation_ft, power desc, id")
        .await;
    check("select elevation_ft, power, id from navaids order by elevation_ft nulls first, power desc nulls last, id desc").await;
    check("select -elevation_ft as depth, id from navaids order by depth desc nulls last, id")
        .await;
}

#[tokio::test]
async fn unions_and_sets() {
    if left_out() {
        return;
    }
    check("select iso_country from navaids union select code from countries").await;
    check("select iso_country from navaids union all select code from countries").await;
    check("select iso_country from navaids intersect select code from countries").await;
    check("select code from countries except select iso_country from navaids").await;
    check("select distinct type, power from navaids").await;
}

#[tokio::test]
async fn windows() {
    if left_out() {
        return;
    }
    check("select id, rank() over (partition by iso_country order by elevation_ft desc nulls last, id) from navaids").await;
    check("select id, row_number() over (order by name, id) from navaids").await;
    check("select id, sum(frequency_khz) over (partition by type) from navaids").await;
    check("select * from (select id, row_number() over (partition by type order by id) as n from navaids) where n <= 2").await;
    check("select id, lag(id) over (partition by type order by id) from navaids where iso_country = 'FR'").await;
}

#[tokio::test]
async fn subqueries() {
    if left_out() {
        return;
    }
    check("select id from navaids where elevation_ft > (select avg(elevation_ft) from navaids)")
        .await;
    check("select (select max(id) from countries), count(*) from navaids").await;
    check("select id from navaids where elevation_ft > (select avg(elevation_ft) from navaids where id > (select min(id) from countries))").await;
    check("select code from countries c where (select count(*) from navaids n where n.iso_country = c.code) > 100").await;
    check("select type, sum(elevation_ft) * (select count(*) from countries) from navaids group by type having sum(elevation_ft) > (select sum(elevation_ft) / 10 from navaids)").await;
    check("select name from countries where code in (select iso_country from navaids where type = 'TACAN')").await;
    check("select name from countries where code not in (select iso_country from navaids where iso_country is not null)").await;
    check("select count(*) from countries where code not in (select iso_country from navaids)")
        .await;
}

#[tokio::test]
async fn joins_without_equal_keys() {
    if left_out() {
        return;
    }
    let few = "(select * from navaids where type = 'VOR') n";
    let condition = "c.id % 250 > n.id % 1000 + 230";
    for kind in ["join", "left join", "right join", "full join"] {
        check(&format!(
            "select c.code, n.id from countries c {kind} {few} on {condition}"
        ))
        .await;
    }
    for negation in ["", "not"] {
        let exists = format!("{negation} exists (select 1 from {few} where {condition})");
        check(&format!("select c.code from countries c where {exists}")).await;
        check(&format!(
            "select c.code from countries c where {exists} or c.continent = 'EU'"
        ))
        .await;
    }
    check("select count(*) from countries c cross join navaids n").await;
}

#[tokio::test]
async fn joins_of_joins_and_groups() {
    if left_out() {
        return;
    }
    check(
        "with per as (select iso_country, type, count(*) as n from navaids group by 1, 2)
         select a.iso_country, a.type, b.type, a.n + b.n from per a join per b
         on a.iso_country = b.iso_country and a.type < b.type",
    )
    .await;
    check(
        "select c.continent, n.type, count(*), count(distinct n.power) from countries c
         left join navaids n on n.iso_country = c.code group by 1, 2",
    )
    .await;
    check("select c.name, n.name from countries c full join navaids n on n.ident = c.code").await;
    check("select iso_country, type, count(*) from navaids group by grouping sets ((iso_country), (type), ())").await;
}

#[tokio::test]
async fn a_statement_over_no_table_is_one_task() {
    if left_out() {
        return;
    }
    check("select 1 + 1").await;
    check("select * from (values (1, 'a'), (2, 'b')) as t(a, b)").await;
    check("select g.value, count(*) from generate_series(1, 5) g join navaids n on n.id % 5 = g.value - 1 group by 1").await;
}

#[tokio::test]
async fn what_cannot_be_cut_runs_in_one_piece() {
    if left_out() {
        return;
    }
    let trial = airports(3).await;
    for statement in [
        "select count(*) from navaids where id in (select id from countries)",
        "select approx_distinct(iso_country) from navaids",
    ] {
        same(
            &trial.sql(statement).await,
            &trial.alone(statement).await,
            statement,
        );
    }
}

/// DataFusion's planner is recursive: a thread that plans what people write has a large stack.
#[test]
fn a_statement_of_any_size_is_planned_and_run() {
    if left_out() {
        return;
    }
    let run = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(large())
    };
    std::thread::Builder::new()
        .stack_size(256 << 20)
        .spawn(run)
        .unwrap()
        .join()
        .unwrap();
}

async fn large() {
    let terms: Vec<String> = (0..300)
        .map(|at| format!("id = {} or name = 'n{at}'", 85050 + at * 7))
        .collect();
    check(&format!(
        "select id, name from navaids where {}",
        terms.join(" or ")
    ))
    .await;
    let terms: Vec<String> = (0..300).map(|at| format!("id * {at}")).collect();
    check(&format!(
        "select id, {} from navaids where id < 85100",
        terms.join(" + ")
    ))
    .await;
    let parts: Vec<String> = (0..60)
        .map(|at| format!("select {at} as part, count(*) from navaids where id % 60 = {at}"))
        .collect();
    check(&parts.join(" union all ")).await;
}
