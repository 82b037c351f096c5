//! Tasks with far less memory than their data.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::datasource::MemTable;

use super::support::{Trial, rows, same, sorted, sql};
use crate::local::run_plan;
use crate::{BoxError, Error, Operation, RunStats, SpillError, SpillRoom, StageOutput};

/// `rows` rows: a number, a key among `keys`, a text of 100 letters.
async fn wide(trial: Trial, name: &str, rows: i64, key: impl Fn(i64) -> i64) -> Trial {
    let schema = Arc::new(Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("key", DataType::Int64, true),
        Field::new("text", DataType::Utf8, false),
    ]));
    let batches: Vec<RecordBatch> = (0..rows)
        .step_by(1000)
        .map(|from| {
            let numbers = from..(from + 1000).min(rows);
            let keys = Int64Array::from_iter_values(numbers.clone().map(&key));
            let texts = numbers.clone().map(|row| format!("{row:0>100}"));
            RecordBatch::try_new(
                Arc::clone(&schema),
                vec![
                    Arc::new(Int64Array::from_iter_values(numbers)),
                    Arc::new(keys),
                    Arc::new(StringArray::from_iter_values(texts)),
                ],
            )
            .unwrap()
        })
        .collect();
    let (first, second) = batches.split_at(batches.len() / 2);
    let table = MemTable::try_new(schema, vec![first.to_vec(), second.to_vec()]).unwrap();
    trial.session.register_table(name, Arc::new(table)).unwrap();
    let mut trial = trial;
    trial.tables.push(name.to_owned());
    trial
}

async fn check(trial: &mut Trial, memory_bytes: usize, statement: &str) -> RunStats {
    let alone = sorted(trial.alone(statement).await);
    assert!(!alone.is_empty());
    trial.local.memory_bytes = memory_bytes;
    let (tasks, stats) = trial.run(&sql(statement)).await;
    same(&sorted(rows(tasks.iter().flatten())), &alone, statement);
    stats
}

#[tokio::test]
async fn a_join_that_does_not_fit_is_run_in_shares() {
    let trial = wide(Trial::new(2), "a", 30_000, |row| row * 7 % 30_000).await;
    let mut trial = wide(trial, "b", 30_000, |row| row).await;
    let statement = "select a.id, b.id from a join b on a.key = b.key and a.text <> b.text";
    let stats = check(&mut trial, 2 << 20, statement).await;
    assert!(stats.shares > 1, "{stats:?}");
    assert_eq!(stats.sorted_joins, 0);
    let statement = "select a.id, a.text, b.id, b.text from a full join b on a.key + 15000 = b.key";
    assert!(check(&mut trial, 2 << 20, statement).await.shares > 1);
}

#[tokio::test]
async fn a_join_of_one_key_is_sorted_when_no_share_fits() {
    let trial = wide(Trial::new(2), "a", 60_000, |_| 7).await;
    let mut trial = wide(
        trial,
        "b",
        60_003,
        |row| if row < 60_000 { row + 100 } else { 7 },
    )
    .await;
    // The side that is collected is the one of equal keys.
    let statement =
        "select b.id, max(a.text), max(b.text) from a left join b on a.key = b.key group by b.id";
    let stats = check(&mut trial, 8 << 20, statement).await;
    assert!(stats.sorted_joins > 0, "{stats:?}");
}

#[tokio::test]
async fn a_join_with_a_table_for_every_task_is_sorted_when_that_does_not_fit() {
    let trial = wide(Trial::new(3), "a", 60_000, |row| row * 7 % 60_000).await;
    let mut trial = wide(trial, "b", 40_000, |row| row + 30_000).await;
    trial.settings.broadcast_bytes = 1 << 30;
    for how in ["", "left"] {
        let statement =
            format!("select a.id, a.text, b.id, b.text from a {how} join b on a.key = b.key");
        let plan = trial.plan(&sql(&statement)).await;
        let all = StageOutput::Whole { broadcast: true };
        assert!(plan.stages.iter().any(|stage| stage.output == all), "{how}");
        let stats = check(&mut trial, 8 << 20, &statement).await;
        assert!(stats.sorted_joins > 0, "{how}: {stats:?}");
    }
}

#[tokio::test]
async fn groups_that_do_not_fit_spill_or_are_run_in_shares() {
    let mut trial = wide(Trial::new(2), "a", 40_000, |row| row * 3 % 40_000).await;
    let statement = "select key, text, count(*), max(id) from a group by key, text";
    let stats = check(&mut trial, 2 << 20, statement).await;
    assert!(stats.spilled_bytes > 0 || stats.shares > 1, "{stats:?}");
    let statement = "select key % 1000 as k, count(distinct text) from a group by 1";
    check(&mut trial, 2 << 20, statement).await;
}

#[tokio::test]
async fn a_sort_of_ten_times_the_memory_is_stable_and_whole() {
    let mut trial = wide(Trial::new(3), "a", 60_000, |row| row * 7919 % 100).await;
    trial.local.memory_bytes = 1 << 20;
    let (tasks, stats) = trial
        .run(&Operation::Sort {
            by: vec!["key desc".to_owned()],
        })
        .await;
    assert!(stats.shares > 1, "ranges are split further: {stats:?}");
    let all = rows(tasks.iter().flatten());
    let mut expected: Vec<(i64, i64)> = (0..60_000).map(|row| (-(row * 7919 % 100), row)).collect();
    expected.sort();
    let found: Vec<(i64, i64)> = all
        .iter()
        .map(|row| (-row[1].parse::<i64>().unwrap(), row[0].parse().unwrap()))
        .collect();
    assert_eq!(found, expected);
    assert!(
        tasks
            .iter()
            .all(|task| task.iter().map(RecordBatch::num_rows).sum::<usize>() > 15_000)
    );
}

#[tokio::test]
async fn windows_and_orders_within_groups_survive_little_memory() {
    let mut trial = wide(Trial::new(2), "a", 20_000, |row| row % 500).await;
    let statement = "select id, row_number() over (partition by key order by text desc) from a";
    check(&mut trial, 4 << 20, statement).await;
}

/// Room for some bytes.
#[derive(Debug)]
struct Room {
    left: AtomicI64,
}

#[derive(Debug, thiserror::Error)]
#[error("the cupboard is full")]
struct CupboardFull;

impl SpillRoom for Room {
    fn take(&self, bytes: u64) -> Result<(), BoxError> {
        let bytes = i64::try_from(bytes)?;
        match self.left.fetch_sub(bytes, Ordering::Relaxed) >= bytes {
            true => Ok(()),
            false => {
                self.left.fetch_add(bytes, Ordering::Relaxed);
                Err(CupboardFull.into())
            }
        }
    }

    fn give(&self, bytes: u64) {
        let bytes = i64::try_from(bytes).unwrap();
        self.left.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_spill_without_room_says_so_and_leaves_neither_files_nor_debts() {
    let mut trial = wide(Trial::new(2), "a", 100_000, |row| row % 2).await;
    let statement = "select id, row_number() over (partition by key order by text desc) from a";
    let room = Arc::new(Room {
        left: AtomicI64::new(1 << 30),
    });
    trial.local.memory_bytes = 8 << 20;
    trial.local.spill_room = Arc::clone(&room) as Arc<dyn SpillRoom>;
    let plan = trial.plan(&sql(statement)).await;
    let (_, stats) = run_plan(&plan, &trial.local).await.unwrap();
    assert!(stats.spilled_bytes > 1 << 20, "{stats:?}");
    assert_eq!(room.left.load(Ordering::Relaxed), 1 << 30);

    room.left.store(1 << 20, Ordering::Relaxed);
    let error = run_plan(&plan, &trial.local).await.unwrap_err();
    assert!(error.to_string().contains("--store-disk"), "{error}");
    let Error::Spill { source } = error else {
        panic!("{error:?}");
    };
    let SpillError::Room { folder, source, .. } = source else {
        panic!("{source:?}");
    };
    assert_eq!(folder, trial.local.spill_dir);
    assert!(source.is::<CupboardFull>());
    assert_eq!(room.left.load(Ordering::Relaxed), 1 << 20);
    let left = std::fs::read_dir(&trial.local.spill_dir).unwrap().count();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_spill_into_a_folder_that_is_gone_names_it() {
    let mut trial = wide(Trial::new(2), "a", 100_000, |row| row % 2).await;
    let statement = "select id, row_number() over (partition by key order by text desc) from a";
    trial.local.memory_bytes = 8 << 20;
    trial.local.spill_dir = trial.local.spill_dir.join("gone");
    let plan = trial.plan(&sql(statement)).await;
    let error = run_plan(&plan, &trial.local).await.unwrap_err();
    let Error::Spill { source } = error else {
        panic!("{error:?}");
    };
    assert!(source.to_string().contains("gone"), "{source}");
}
