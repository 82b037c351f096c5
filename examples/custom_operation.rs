//! Registers an operation of its own, enqueues thousands of tasks of it, collects what they return.
//!
//! `cargo run --release --example custom_operation`

use std::error::Error;

use serde::{Deserialize, Serialize};
use swath::cluster::{LocalCluster, LocalOptions};
use swath::ids::OperationName;
use swath::ops::{Operation, OperationError, Registry, TaskContext};
use swath::spec::{JobOptions, SPEC_VERSION, TaskList};
use swath::{Coordinator, JobSpec, TaskOperation};

/// Counts the steps of the Collatz sequence from a number to 1.
struct Collatz;

#[derive(Deserialize)]
struct Start {
    from: u64,
}

#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(crate) struct Steps {
    pub(crate) from: u64,
    pub(crate) steps: u32,
}

impl Operation for Collatz {
    type Params = Start;
    type Output = Steps;

    fn name(&self) -> &'static str {
        "collatz"
    }

    fn summary(&self) -> &'static str {
        "counts the steps of the Collatz sequence from `from` to 1"
    }

    fn run(&self, params: Start, context: &TaskContext) -> Result<Steps, OperationError> {
        let fatal = |message: &str| OperationError::Fatal {
            message: message.to_owned(),
        };
        let mut number = params.from;
        let mut steps = 0;
        while number > 1 {
            if context.is_cancelled() {
                return Err(OperationError::Cancelled);
            }
            number = if number.is_multiple_of(2) {
                number / 2
            } else {
                let next = number.checked_mul(3).and_then(|n| n.checked_add(1));
                next.ok_or_else(|| fatal("the sequence grows beyond 64 bits"))?
            };
            steps += 1;
        }
        Ok(Steps {
            from: params.from,
            steps,
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let results = run(10_000).await?;
    let longest = results.iter().max_by_key(|(_, steps)| steps.steps);
    println!(
        "{} results, the longest sequence: {longest:?}",
        results.len()
    );
    Ok(())
}

/// Enqueues `count` tasks and collects their results, by task number.
pub(crate) async fn run(count: u64) -> Result<Vec<(u32, Steps)>, Box<dyn Error>> {
    let options = LocalOptions {
        registry: Registry::built_in().with(Collatz),
        ..LocalOptions::default()
    };
    let cluster = LocalCluster::start(options).await?;
    let params: Vec<_> = (1..=count)
        .map(|from| serde_json::json!({ "from": from }))
        .collect();
    let spec = JobSpec {
        version: SPEC_VERSION,
        operation: TaskOperation::Custom {
            operation: OperationName::new("collatz")?,
            tasks: TaskList::new(&params),
        },
        output: None,
        options: JobOptions::default(),
    };
    let job = Coordinator::submit_on(cluster.client(), &spec).await?;
    let results = job.collect_results::<Steps>().await?;
    assert!(job.is_complete().await?);
    cluster.stop().await;
    Ok(results)
}
