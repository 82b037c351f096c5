//! Real tables against what pandas and DuckDB made of them (`shared/data/expected`).

use super::support::{Trial, expected, rows, same, sorted, sql};
use crate::tests::support::left_out;
use crate::{JoinKind, Operation, StageOutput};

const COUNTRIES: &str = "tables/ourairports/countries.csv";
const NAVAIDS: &str = "tables/ourairports/navaids.csv";
const REGIONS: &str = "tables/ourairports/regions.csv";

async fn airports(partitions: u32) -> Trial {
    let trial = Trial::new(partitions).csv("navaids", NAVAIDS).await;
    trial
        .csv("countries", COUNTRIES)
        .await
        .csv("regions", REGIONS)
        .await
}

async fn check(statement: &str, file: &str) {
    let trial = airports(3).await;
    let plan = trial.plan(&sql(statement)).await;
    assert!(plan.stages.len() > 1, "{file} is distributed");
    same(&trial.sql(statement).await, &expected(file), file);
}

#[tokio::test]
async fn groups_have_the_sums_that_other_tools_find() {
    if left_out() {
        return;
    }
    check(
        "select type, count(*), count(frequency_khz), min(frequency_khz), max(frequency_khz),
                avg(elevation_ft), cast(sum(elevation_ft) as double), count(distinct iso_country)
         from navaids group by type order by type",
        "groupby_navaids_type.csv",
    )
    .await;
    check(
        "select iso_country, \"usageType\", count(*), cast(min(elevation_ft) as double),
                cast(max(elevation_ft) as double)
         from navaids group by 1, 2 order by 1, 2",
        "groupby_navaids_country_usage.csv",
    )
    .await;
    check(
        "select continent, count(*), count(distinct iso_country) from regions group by 1 order by 1",
        "groupby_regions_continent.csv",
    )
    .await;
}

#[tokio::test]
async fn a_join_has_the_rows_that_other_tools_find() {
    if left_out() {
        return;
    }
    check(
        "select c.continent, c.name, count(*) as navaids, avg(n.latitude_deg)
         from navaids n join countries c on n.iso_country = c.code
         group by 1, 2 order by navaids desc, c.name",
        "join_navaids_countries.csv",
    )
    .await;
}

#[tokio::test]
async fn rows_without_a_partner_are_those_that_other_tools_find() {
    if left_out() {
        return;
    }
    check(
        "select code, name from countries c
         where not exists (select 1 from navaids n where n.iso_country = c.code) order by code",
        "antijoin_countries_without_navaids.csv",
    )
    .await;
    let trial = airports(3).await;
    let statement = "select code, name from countries
        where code not in (select iso_country from navaids where iso_country is not null) order by code";
    same(
        &trial.sql(statement).await,
        &expected("antijoin_countries_without_navaids.csv"),
        "not in",
    );
}

#[tokio::test]
async fn a_table_in_order_is_that_of_other_tools() {
    if left_out() {
        return;
    }
    let trial = airports(3).await;
    let by = ["elevation_ft desc nulls last", "iso_country", "id"]
        .map(str::to_owned)
        .to_vec();
    let (tasks, _) = trial.run(&Operation::Sort { by }).await;
    assert_eq!(tasks.len(), 3);
    assert!(
        tasks
            .iter()
            .all(|task| task.iter().map(|batch| batch.num_rows()).sum::<usize>() > 2000)
    );
    let all = rows(tasks.iter().flatten());
    let first: Vec<Vec<String>> = all
        .iter()
        .take(200)
        .map(|row| [0, 2, 9, 8].map(|at| row[at].clone()).to_vec())
        .collect();
    same(
        &first,
        &expected("sort_navaids_first200.csv"),
        "the first rows",
    );
    let ids: Vec<&str> = all.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(ids.len(), 11008);
    let mut keys: Vec<(f64, &str, u64)> = all
        .iter()
        .map(|row| {
            let height = row[8]
                .parse::<f64>()
                .map_or(f64::INFINITY, |height| -height);
            (height, row[9].as_str(), row[0].parse().unwrap())
        })
        .collect();
    let order = keys.clone();
    keys.sort_by(|a, b| a.partial_cmp(b).unwrap());
    assert_eq!(order, keys);
}

#[tokio::test]
async fn a_filter_counts_what_other_tools_count() {
    if left_out() {
        return;
    }
    let trial = airports(3).await;
    let statement = "select count(*), sum(id) from navaids
        where longitude_deg >= -10 and longitude_deg <= 30 and latitude_deg >= 35 and latitude_deg <= 60";
    assert_eq!(trial.sql(statement).await, [["1814", "164382974"]]);
}

#[tokio::test]
async fn commands_say_the_same_as_statements() {
    if left_out() {
        return;
    }
    let trial = airports(3).await;
    let group = Operation::GroupBy {
        by: vec!["usageType".to_owned()],
        aggregates: vec!["count(*) as n".to_owned(), "max(elevation_ft)".to_owned()],
    };
    let plan = trial.plan(&group).await;
    let names: Vec<&str> = plan
        .schema
        .fields()
        .iter()
        .map(|field| field.name().as_str())
        .collect();
    assert_eq!(names, ["usageType", "n", "max(elevation_ft)"]);
    assert!(matches!(
        plan.stages[0].output,
        StageOutput::Hash { partitions: 3, .. }
    ));
    let (tasks, _) = trial.run(&group).await;
    let statement = "select \"usageType\", count(*), max(elevation_ft) from navaids group by 1";
    let alone = sorted(trial.alone(statement).await);
    same(&sorted(rows(tasks.iter().flatten())), &alone, "a group-by");
}

#[tokio::test]
async fn every_kind_of_join_is_whole_partitioned_and_broadcast() {
    if left_out() {
        return;
    }
    for (how, words) in [
        (JoinKind::Inner, "join"),
        (JoinKind::Left, "left join"),
        (JoinKind::Right, "right join"),
        (JoinKind::Full, "full join"),
    ] {
        let columns = "r.id, r.local_code, r.name, r.iso_country, c.name";
        let statement =
            format!("select {columns} from regions r {words} countries c on r.local_code = c.code");
        check_join(how, &statement, &[0, 2, 3, 5, 10]).await;
    }
    for (how, word) in [(JoinKind::Semi, ""), (JoinKind::Anti, "not")] {
        let columns = "r.id, r.local_code, r.name, r.iso_country";
        let statement = format!(
            "select {columns} from regions r where {word} exists
             (select 1 from countries c where c.code = r.local_code)"
        );
        check_join(how, &statement, &[0, 2, 3, 5]).await;
    }
}

async fn check_join(how: JoinKind, statement: &str, columns: &[usize]) {
    let trial = Trial::new(3)
        .csv("regions", REGIONS)
        .await
        .csv("countries", COUNTRIES)
        .await;
    let alone = sorted(trial.alone(statement).await);
    assert!(!alone.is_empty());
    same(&sorted(trial.sql(statement).await), &alone, statement);
    for broadcast in [false, true] {
        let on = vec![("local_code".to_owned(), "code".to_owned())];
        let join = Operation::Join { on, how, broadcast };
        let plan = trial.plan(&join).await;
        let sent = plan
            .stages
            .iter()
            .any(|stage| stage.output == StageOutput::Whole { broadcast: true });
        let sound = !matches!(how, JoinKind::Right | JoinKind::Full);
        assert_eq!(sent, broadcast && sound, "{how:?}");
        let (tasks, _) = trial.run(&join).await;
        let all = rows(tasks.iter().flatten()).into_iter();
        let all = all
            .map(|row| columns.iter().map(|at| row[*at].clone()).collect())
            .collect();
        same(
            &sorted(all),
            &alone,
            &format!("{how:?}, broadcast {broadcast}"),
        );
    }
}
