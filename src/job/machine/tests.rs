//! One test for each rule of the life of a job.
//!
//! A script is a list of events, each with the commands that must come of it, written as words:
//! `0/1#2` publishes task 1 of stage 0 with attempt 2, `0/1#2+` the same but later than now.

use bytes::Bytes;

use super::*;
use crate::exchange::{PartitionAddress, PartitionKey};
use crate::ids::{Attempt, Incarnation, JobId, StageId, WorkerId};
use crate::job::{FailureClass, JobState, TaskFailure, TaskSuccess};
use crate::spec::{JobOptions, RetryPolicy};

/// Applies a script, an event a second, and compares what comes of each event; returns the machine.
#[track_caller]
fn check(script: &[(Event, &str)]) -> JobMachine {
    let mut machine = JobMachine::new();
    for (step, (event, expected)) in script.iter().enumerate() {
        let at = Timestamp(1_000_000 * i64::try_from(step).unwrap());
        let commands = machine.apply(at, event);
        let got = words(at, &commands);
        assert_eq!(got, *expected, "step {step}: {event:?}");
        // What is said twice says nothing new.
        let before = machine.clone();
        let again = machine.apply(at, event);
        assert_eq!(
            words(at, &again),
            "",
            "step {step}, the second time: {event:?}"
        );
        assert!(
            machine == before,
            "step {step}, the second time, changed the machine: {event:?}"
        );
    }
    machine
}

fn words(at: Timestamp, commands: &[Command]) -> String {
    let word = |command: &Command| match command {
        Command::Plan {
            attempt: Attempt(0),
            not_before,
        } if *not_before <= at => "plan".to_owned(),
        Command::Plan {
            attempt,
            not_before,
        } => {
            let later = if *not_before > at { "+" } else { "" };
            format!("plan#{attempt}{later}")
        }
        Command::Publish {
            task,
            attempt,
            not_before,
        } => {
            let later = if *not_before > at { "+" } else { "" };
            format!("{task}#{attempt}{later}")
        }
        Command::PublishAgain { task, attempt } => format!("{task}#{attempt}again"),
        Command::Stop { task, attempt } => format!("stop:{task}#{attempt}"),
        Command::Bury { task } => format!("bury:{task}"),
        Command::WatchDeadline { at } => format!("watch:{}", at.0 / 1000),
        Command::Finish(outcome) => match outcome.as_ref() {
            Outcome::Succeeded => "succeed".to_owned(),
            Outcome::Cancelled => "cancel".to_owned(),
            Outcome::Failed { task, failure } => {
                let task = task.map(|task| format!("{task}:")).unwrap_or_default();
                format!("fail:{task}{}", failure.code)
            }
        },
        Command::Release => "release".to_owned(),
    };
    commands.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// Compares what is outstanding at the end of a script.
#[track_caller]
fn outstanding(machine: &JobMachine, expected: &str) {
    assert_eq!(words(Timestamp(i64::MAX), &machine.outstanding()), expected);
}

fn submit_with(options: JobOptions) -> Event {
    Event::Submitted(Submission {
        spec: Payload::Blob("spec".to_owned()),
        title: "test".to_owned(),
        options,
        seed: 7,
        start_at: None,
    })
}

fn submit() -> Event {
    submit_with(JobOptions::default())
}

/// A plan; each stage is its number of tasks and the stages it reads.
fn planned(stages: &[(u32, &[u32])]) -> Event {
    let shape = |(tasks, inputs): &(u32, &[u32])| StageShape {
        name: "s".to_owned(),
        tasks: *tasks,
        inputs: inputs.iter().copied().map(StageId).collect(),
    };
    Event::Planned {
        stages: stages.iter().map(shape).collect(),
        plan: Payload::Inline(Bytes::new()),
        retry: None,
    }
}

fn task(stage: u32, index: u32) -> TaskId {
    TaskId {
        stage: StageId(stage),
        index,
    }
}

fn plan_failed(life: u32, class: FailureClass) -> Event {
    plan_failed_at(life, 0, class)
}

fn plan_failed_at(life: u32, attempt: u32, class: FailureClass) -> Event {
    Event::PlanFailed {
        life,
        attempt: Attempt(attempt),
        failure: failure(class),
    }
}

fn finished(life: u32, outcome: Outcome) -> Event {
    Event::Finished { life, outcome }
}

fn failed_by(class: FailureClass) -> Outcome {
    let failure = failure(class);
    Outcome::Failed {
        task: None,
        failure,
    }
}

const fn retried(life: u32) -> Event {
    Event::Retried { life }
}

/// A worker in its first life.
fn worker(name: &str) -> WorkerRef {
    WorkerRef {
        id: WorkerId::new(name).unwrap(),
        incarnation: Incarnation(1),
        flight: String::new(),
    }
}

fn ok(stage: u32, index: u32, attempt: u32, execution: u64, by: &str) -> Event {
    Event::TaskSucceeded(TaskSuccess {
        task: task(stage, index),
        attempt: Attempt(attempt),
        execution: ExecutionId(execution),
        worker: worker(by),
        run_us: 10,
        stored_bytes: 100,
        result: None,
    })
}

fn ng(stage: u32, index: u32, attempt: u32, class: FailureClass) -> Event {
    Event::TaskFailed(TaskFailure {
        task: task(stage, index),
        attempt: Attempt(attempt),
        execution: ExecutionId(999),
        worker: worker("x"),
        failure: failure(class),
    })
}

fn failure(class: FailureClass) -> Failure {
    Failure {
        class,
        code: "why".to_owned(),
        message: "because".to_owned(),
    }
}

const RETRY: FailureClass = FailureClass::Retry { after_ms: None };

/// A reader misses a partition of a run of a task.
fn missed(stage: u32, index: u32, execution: u64, on: &str) -> FailureClass {
    FailureClass::InputLost(Box::new(PartitionAddress {
        key: PartitionKey {
            job: JobId::new("j").unwrap(),
            task: task(stage, index),
            execution: ExecutionId(execution),
            partition: 0,
        },
        worker: worker(on),
    }))
}

fn lost(name: &str) -> Event {
    let WorkerRef {
        id, incarnation, ..
    } = worker(name);
    Event::WorkerLost {
        worker: id,
        incarnation,
    }
}

/// Returns the failure with which a job is to end.
fn failure_of(machine: &JobMachine) -> Failure {
    match machine.outstanding().pop() {
        Some(Command::Finish(outcome)) => match *outcome {
            Outcome::Failed { failure, .. } => failure,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_submission_and_the_first_plan_count() {
    let machine = check(&[
        (planned(&[(9, &[])]), ""),
        (plan_failed(0, RETRY), ""),
        (submit(), "plan"),
        (
            submit_with(JobOptions {
                deadline_ms: Some(1),
                ..JobOptions::default()
            }),
            "",
        ),
        (planned(&[(2, &[])]), "0/0#0 0/1#0"),
        (planned(&[(3, &[])]), ""),
        (plan_failed(0, RETRY), ""),
        (Event::DeadlineReached { life: 0 }, ""),
        (ok(0, 2, 0, 1, "a"), ""),
        (ok(0, 1, 0, 1, "a"), ""),
        (ok(0, 0, 0, 2, "a"), "succeed"),
        (finished(0, Outcome::Succeeded), "release"),
    ]);
    assert_eq!(machine.stages().len(), 1);
    assert_eq!(machine.submission().unwrap().options.deadline_ms, None);
    assert_eq!(
        machine.winner(task(0, 1)),
        Some((&worker("a"), ExecutionId(1)))
    );
}

#[test]
fn a_plan_that_is_empty_or_has_empty_stages_ends_well() {
    check(&[(submit(), "plan"), (planned(&[]), "succeed")]);
    check(&[
        (submit(), "plan"),
        (planned(&[(0, &[]), (0, &[0])]), "succeed"),
    ]);
    check(&[
        (submit(), "plan"),
        (planned(&[(1, &[]), (0, &[0]), (1, &[1])]), "0/0#0 2/0#0"),
        (ok(2, 0, 0, 1, "a"), ""),
        (ok(0, 0, 0, 2, "a"), "succeed"),
    ]);
}

#[test]
fn a_plan_that_may_be_made_later_is_tried_again_as_often_as_a_task_is() {
    let machine = check(&[
        (submit(), "plan"),
        (plan_failed_at(0, 0, RETRY), "plan#1+"),
        // Another coordinator's try, and one of a number that nobody asked for.
        (plan_failed_at(0, 0, FailureClass::Fatal), ""),
        (plan_failed_at(0, 2, FailureClass::Fatal), ""),
        (plan_failed_at(1, 1, FailureClass::Fatal), ""),
        (plan_failed_at(0, 1, FailureClass::Panic), "plan#2+"),
    ]);
    outstanding(&machine, "plan#2");
    // Half a second, doubled with each further try; a half of it at least.
    let Some(Command::Plan { not_before, .. }) = machine.outstanding().pop() else {
        panic!("{:?}", machine.outstanding())
    };
    assert!(
        (5_500_000..=6_000_000).contains(&not_before.0),
        "{not_before:?}"
    );
    let start = || {
        vec![
            (submit(), "plan"),
            (plan_failed_at(0, 0, RETRY), "plan#1+"),
            (plan_failed_at(0, 1, RETRY), "plan#2+"),
            (plan_failed_at(0, 2, RETRY), "plan#3+"),
        ]
    };
    let mut script = start();
    script.extend([
        // A plan is welcome at any moment.
        (planned(&[(1, &[])]), "0/0#0"),
        (plan_failed_at(0, 3, RETRY), ""),
    ]);
    check(&script);
    let mut script = start();
    script.extend([
        (plan_failed_at(0, 3, RETRY), "fail:why"),
        (planned(&[(1, &[])]), ""),
        (finished(0, failed_by(RETRY)), "release"),
        (retried(1), "plan"),
        (plan_failed_at(1, 0, RETRY), "plan#1+"),
        (Event::CancelRequested, "cancel"),
    ]);
    let machine = check(&script[..5]);
    let message = failure_of(&machine).message;
    assert_eq!(message, "planning failed after 4 tries: because");
    check(&script);
}

#[test]
fn the_operation_says_how_its_tasks_are_tried_again_where_the_job_does_not() {
    let once = || {
        let Event::Planned { stages, plan, .. } = planned(&[(1, &[])]) else {
            panic!()
        };
        let retry = Some(RetryPolicy {
            max_attempts: 1,
            ..RetryPolicy::default()
        });
        Event::Planned {
            stages,
            plan,
            retry,
        }
    };
    let start = |options| vec![(submit_with(options), "plan"), (once(), "0/0#0")];
    let mut script = start(JobOptions::default());
    script.push((ng(0, 0, 0, RETRY), "fail:0/0:why"));
    check(&script);
    let mut script = start(JobOptions {
        retry: Some(RetryPolicy::default()),
        ..JobOptions::default()
    });
    script.push((ng(0, 0, 0, RETRY), "0/0#1+"));
    check(&script);
}

fn taken_up(hold: u64) -> Event {
    let worker = WorkerId::new(format!("w{hold}")).unwrap();
    Event::TakenUp { worker, hold }
}

#[test]
fn a_job_that_kills_who_coordinates_it_fails_as_poison_and_a_retry_revives_it() {
    let died = |holds: std::ops::Range<u64>| holds.map(|hold| (taken_up(hold), ""));
    let mut script = vec![(taken_up(0), ""), (submit(), "plan")];
    script.extend(died(1..6));
    // A rolling restart: each gives the job back in good order.
    for hold in 6..12 {
        script.splice(2..2, [(taken_up(hold), ""), (Event::Held { hold }, "")]);
    }
    let planned_at_last = [(planned(&[(2, &[])]), "0/0#0 0/1#0")];
    let mut goes_on = script.clone();
    goes_on.extend(planned_at_last);
    // It got further, so the count begins anew.
    goes_on.extend(died(20..25));
    goes_on.push((ok(0, 0, 0, 1, "a"), ""));
    goes_on.extend(died(30..35));
    goes_on.push((taken_up(35), "fail:poison-job"));
    check(&goes_on);

    script.push((taken_up(50), "fail:poison-job"));
    let machine = check(&script);
    assert!(machine.is_taken_up(50), "it may record the end");
    let failure = failure_of(&machine);
    assert_eq!(failure.class, FailureClass::Poison);
    let history =
        "5 workers took the job up and ended before it got any further: w1, w2, w3, w4, w5;";
    assert!(failure.message.starts_with(history), "{failure}");
    script.extend([
        (finished(0, failed_by(FailureClass::Poison)), "release"),
        (taken_up(51), ""),
        (retried(1), "plan"),
        (taken_up(52), ""),
        (planned(&[(1, &[])]), "0/0#0"),
    ]);
    check(&script);
}

#[test]
fn a_plan_that_cannot_be_made_or_cannot_end_fails_the_job() {
    let fails = |event, expected| {
        check(&[
            (submit(), "plan"),
            (event, expected),
            (planned(&[(1, &[])]), ""),
        ]);
    };
    fails(plan_failed(0, FailureClass::Fatal), "fail:why");
    fails(planned(&[(1, &[0])]), "fail:malformed-plan");
    fails(
        planned(&[(1, &[]), (1, &[2]), (1, &[])]),
        "fail:malformed-plan",
    );
    fails(planned(&[(1, &[u32::MAX])]), "fail:malformed-plan");
    fails(
        planned(&[(u32::MAX, &[]), (u32::MAX, &[])]),
        "fail:malformed-plan",
    );
    fails(
        planned(&vec![(1, &[] as &[u32]); 1025]),
        "fail:malformed-plan",
    );
    let wide = vec![0; 70_000];
    fails(planned(&[(1, &[]), (1, &wide)]), "fail:malformed-plan");
}

#[test]
fn a_stage_waits_for_all_tasks_of_its_inputs_and_for_no_other() {
    check(&[
        (submit(), "plan"),
        (
            planned(&[(2, &[]), (1, &[]), (1, &[0]), (1, &[1, 2])]),
            "0/0#0 0/1#0 1/0#0",
        ),
        (ok(0, 1, 0, 1, "a"), ""),
        (ok(0, 0, 0, 2, "a"), "2/0#0"),
        (ok(2, 0, 0, 3, "b"), ""),
        (ok(1, 0, 0, 4, "b"), "3/0#0"),
        (ok(3, 0, 0, 5, "b"), "succeed"),
    ]);
}

#[test]
fn the_first_success_wins_whatever_attempt_it_carries() {
    let machine = check(&[
        (submit(), "plan"),
        (planned(&[(2, &[])]), "0/0#0 0/1#0"),
        (ng(0, 0, 0, FailureClass::WorkerGone), "0/0#1"),
        (ok(0, 0, 7, 9, "x"), ""),
        (ok(0, 0, 0, 1, "a"), ""),
        (ok(0, 0, 1, 2, "b"), ""),
        (ok(7, 0, 0, 3, "b"), ""),
        (ok(u32::MAX, u32::MAX, u32::MAX, 3, "b"), ""),
    ]);
    assert_eq!(
        machine.winner(task(0, 0)),
        Some((&worker("a"), ExecutionId(1)))
    );
    assert_eq!(machine.winner(task(0, 1)), None);
    assert_eq!(machine.winner(task(0, 2)), None);
    assert_eq!(machine.winner(task(u32::MAX, u32::MAX)), None);
    outstanding(&machine, "0/1#0");
}

#[test]
fn own_failures_are_tried_again_later_until_the_attempts_are_used_up() {
    let retry = RetryPolicy {
        max_attempts: 3,
        base_ms: 100,
        max_ms: 1000,
    };
    let machine = check(&[
        (
            submit_with(JobOptions {
                retry: Some(retry),
                ..JobOptions::default()
            }),
            "plan",
        ),
        (planned(&[(1, &[])]), "0/0#0"),
        (ng(0, 0, 0, RETRY), "0/0#1+"),
        (ng(0, 0, 0, RETRY), ""),
        (ng(0, 0, 1, FailureClass::WorkerGone), "0/0#2"),
        (ng(0, 0, 2, FailureClass::Timeout), "0/0#3+"),
        (ng(0, 0, 3, RETRY), "fail:0/0:why"),
    ]);
    let failure = failure_of(&machine);
    assert_eq!(failure.message, "task 0/0 failed after 3 tries: because");
    assert_eq!(failure.class, RETRY);
    assert_eq!(
        (machine.progress().failed(), machine.progress().retried()),
        (3, 3)
    );
}

#[test]
fn a_wait_is_kept_across_a_replay() {
    let machine = check(&[
        (submit(), "plan"),
        (planned(&[(1, &[])]), "0/0#0"),
        (
            ng(
                0,
                0,
                0,
                FailureClass::Retry {
                    after_ms: Some(9_000),
                },
            ),
            "0/0#1+",
        ),
    ]);
    let not_before = Timestamp(2_000_000 + 9_000_000);
    let asked = Command::Publish {
        task: task(0, 0),
        attempt: Attempt(1),
        not_before,
    };
    assert_eq!(machine.outstanding(), [asked]);
}

#[test]
fn a_failure_that_no_try_can_mend_fails_the_job() {
    check(&[
        (submit(), "plan"),
        (planned(&[(2, &[])]), "0/0#0 0/1#0"),
        (ng(0, 1, 1, FailureClass::Fatal), ""),
        (ng(0, 1, 0, FailureClass::Fatal), "fail:0/1:why"),
        (ok(0, 0, 0, 1, "a"), ""),
    ]);
}

#[test]
fn a_task_that_breaks_its_workers_is_buried_and_the_others_go_on() {
    let machine = check(&[
        (submit(), "plan"),
        (
            planned(&[(3, &[]), (1, &[0]), (2, &[])]),
            "0/0#0 0/1#0 0/2#0 2/0#0 2/1#0",
        ),
        (ng(0, 1, 0, FailureClass::Poison), "bury:0/1"),
        (ok(0, 0, 0, 1, "a"), ""),
        (ok(0, 2, 0, 2, "a"), ""),
        (ok(2, 0, 0, 3, "a"), ""),
        // Only now is there nothing left but the dead task and the one that waits for it.
        (ok(2, 1, 0, 4, "a"), "fail:0/1:why"),
    ]);
    outstanding(&machine, "bury:0/1 fail:0/1:why");
    let progress = machine.progress();
    assert_eq!((progress.dead(), progress.done()), (1, 4));
}

#[test]
fn a_task_that_panics_or_never_ends_is_buried_when_its_attempts_are_used_up() {
    let options = JobOptions {
        retry: Some(RetryPolicy {
            max_attempts: 2,
            base_ms: 1,
            max_ms: 1,
        }),
        ..JobOptions::default()
    };
    let none = FailureClass::Retry { after_ms: None };
    for (class, end) in [
        (FailureClass::Panic, "bury:0/0"),
        (FailureClass::Timeout, "bury:0/0"),
        (none, "fail:0/0:why"),
    ] {
        check(&[
            (submit_with(options.clone()), "plan"),
            (planned(&[(2, &[])]), "0/0#0 0/1#0"),
            (ng(0, 0, 0, class.clone()), "0/0#1+"),
            (ng(0, 0, 1, class), end),
        ]);
    }
}

#[test]
fn a_run_that_straggles_gets_a_second_one_and_the_first_success_stops_the_other() {
    let straggles = |index, attempt| Event::Straggling {
        task: task(0, index),
        attempt: Attempt(attempt),
    };
    let script = [
        (submit(), "plan"),
        (planned(&[(2, &[])]), "0/0#0 0/1#0"),
        (straggles(0, 1), ""),
        (straggles(0, 0), "0/0#0again"),
    ];
    outstanding(&check(&script), "0/0#0 0/1#0 0/0#0again");
    let won = [
        (ok(0, 0, 0, 1, "a"), "stop:0/0#0"),
        // The other run was told to stop, or was not told in time.
        (ng(0, 0, 0, FailureClass::Cancelled), ""),
        (ok(0, 0, 0, 2, "b"), ""),
        (straggles(0, 0), ""),
        (ok(0, 1, 0, 3, "a"), "succeed"),
    ];
    let machine = check(&[&script[..], &won[..]].concat());
    assert_eq!(machine.progress().retried(), 0);
    // A failure of either answers the attempt; a success of the other still counts.
    check(
        &[
            &script[..],
            &[
                (ng(0, 0, 0, FailureClass::WorkerGone), "0/0#1"),
                (ok(0, 0, 0, 2, "b"), ""),
                (ok(0, 1, 0, 3, "a"), "succeed"),
            ],
        ]
        .concat(),
    );
}

#[test]
fn a_job_that_is_not_to_begin_yet_waits_unless_something_is_decided() {
    let options = JobOptions {
        deadline_ms: Some(500),
        ..JobOptions::default()
    };
    let start = Timestamp(9_000_000);
    let Event::Submitted(mut submission) = submit_with(options) else {
        unreachable!();
    };
    submission.start_at = Some(start);
    let mut machine = JobMachine::new();
    // The deadline counts from when it may begin.
    let commands = machine.apply(Timestamp(0), &Event::Submitted(submission));
    assert_eq!(words(Timestamp(0), &commands), "plan watch:9500");
    assert_eq!(machine.waits_until(), Some(start));
    let mut planned_machine = machine.clone();
    planned_machine.apply(start, &planned(&[(1, &[])]));
    assert_eq!(planned_machine.waits_until(), None);
    machine.apply(Timestamp(1), &Event::CancelRequested);
    assert_eq!(machine.waits_until(), None);
}

#[test]
fn a_dead_task_runs_again_when_the_job_is_retried() {
    let machine = check(&[
        (submit(), "plan"),
        (planned(&[(2, &[])]), "0/0#0 0/1#0"),
        (ng(0, 0, 0, FailureClass::Poison), "bury:0/0"),
        (ok(0, 1, 0, 1, "a"), "fail:0/0:why"),
        (
            Event::Finished {
                life: 0,
                outcome: Outcome::Failed {
                    task: None,
                    failure: failure(FailureClass::Poison),
                },
            },
            "release",
        ),
        (Event::Retried { life: 1 }, "0/0#1"),
        (ok(0, 0, 1, 2, "a"), "succeed"),
    ]);
    assert_eq!(machine.dead().count(), 0);
}

#[test]
fn a_dead_task_that_ends_well_after_all_has_ended_well() {
    let machine = check(&[
        (submit(), "plan"),
        (planned(&[(2, &[])]), "0/0#0 0/1#0"),
        (ng(0, 0, 0, FailureClass::Poison), "bury:0/0"),
        (ok(0, 0, 0, 1, "a"), ""),
        (ok(0, 1, 0, 2, "a"), "succeed"),
    ]);
    assert_eq!(machine.progress().dead(), 0);
}

#[test]
fn a_job_whose_tasks_all_die_fails_before_all_have() {
    let mut machine = JobMachine::new();
    machine.apply(Timestamp(0), &submit());
    machine.apply(Timestamp(1), &planned(&[(2_000, &[])]));
    let mut ends = |index| {
        let commands = machine.apply(Timestamp(2), &ng(0, index, 0, FailureClass::Poison));
        matches!(commands.last(), Some(Command::Finish(_)))
    };
    assert_eq!((0..2_000).find(|index| ends(*index)), Some(999));
}

#[test]
fn what_is_not_the_tasks_fault_is_not_charged_but_bounded() {
    for class in [FailureClass::WorkerGone, FailureClass::Cancelled] {
        let mut script = vec![(submit(), "plan"), (planned(&[(1, &[])]), "0/0#0")];
        let words: Vec<String> = (1..=1000).map(|n| format!("0/0#{n}")).collect();
        for (attempt, word) in (0..).zip(&words) {
            script.push((ng(0, 0, attempt, class.clone()), word));
        }
        script.push((ng(0, 0, 1000, class), "fail:0/0:task-keeps-returning"));
        let machine = check(&script);
        assert_eq!(machine.progress().failed(), 0);
    }
}

#[test]
fn a_lost_input_is_made_again_and_then_its_reader_runs_again() {
    check(&[
        (submit(), "plan"),
        (planned(&[(2, &[]), (1, &[0])]), "0/0#0 0/1#0"),
        (ok(0, 0, 0, 1, "a"), ""),
        (ok(0, 1, 0, 2, "a"), "1/0#0"),
        (ng(1, 0, 0, missed(0, 1, 2, "a")), "0/1#1"),
        (ng(1, 0, 0, missed(0, 0, 1, "a")), ""),
        (ok(0, 1, 1, 3, "b"), "1/0#1"),
        // The reader had an old address; or names what it does not read, or what never was.
        (ng(1, 0, 1, missed(0, 1, 2, "a")), "1/0#2"),
        (ng(1, 0, 2, missed(1, 0, 2, "a")), "1/0#3"),
        (ng(1, 0, 3, missed(u32::MAX, u32::MAX, 2, "a")), "1/0#4"),
        (ok(1, 0, 4, 4, "b"), "succeed"),
    ]);
}

#[test]
fn a_worker_found_without_its_partitions_again_and_again_is_taken_as_lost() {
    let mut script = vec![
        (submit(), "plan"),
        (
            planned(&[(6, &[]), (1, &[0])]),
            "0/0#0 0/1#0 0/2#0 0/3#0 0/4#0 0/5#0",
        ),
    ];
    for index in 0..5 {
        script.push((ok(0, index, 0, u64::from(index), "a"), ""));
    }
    script.push((ok(0, 5, 0, 5, "b"), "1/0#0"));
    script.extend([
        (ng(1, 0, 0, missed(0, 0, 0, "a")), "0/0#1"),
        (ok(0, 0, 1, 10, "a"), "1/0#1"),
        (ng(1, 0, 1, missed(0, 1, 1, "a")), "0/1#1"),
        (ok(0, 1, 1, 11, "a"), "1/0#2"),
        (ng(1, 0, 2, missed(0, 2, 2, "a")), "0/2#1"),
        (ok(0, 2, 1, 12, "a"), "1/0#3"),
        // The fourth: all that worker a holds is made again, what worker b holds is not.
        (
            ng(1, 0, 3, missed(0, 3, 3, "a")),
            "0/0#2 0/1#2 0/2#2 0/3#1 0/4#1",
        ),
    ]);
    check(&script);
}

#[test]
fn a_partition_that_vanishes_each_time_fails_the_job() {
    let mut machine = JobMachine::new();
    let at = Timestamp(0);
    machine.apply(at, &submit());
    machine.apply(at, &planned(&[(1, &[]), (1, &[0])]));
    for round in 0..32 {
        let execution = u64::from(round);
        assert_eq!(
            words(at, &machine.apply(at, &ok(0, 0, round, execution, "a"))),
            format!("1/0#{round}")
        );
        let event = ng(1, 0, round, missed(0, 0, execution, "a"));
        assert_eq!(
            words(at, &machine.apply(at, &event)),
            format!("0/0#{}", round + 1)
        );
    }
    machine.apply(at, &ok(0, 0, 32, 32, "a"));
    let event = ng(1, 0, 32, missed(0, 0, 32, "a"));
    assert_eq!(
        words(at, &machine.apply(at, &event)),
        "fail:1/0:partition-keeps-vanishing"
    );
}

#[test]
fn a_lost_worker_costs_what_is_still_needed_and_nothing_else() {
    let machine = check(&[
        (submit(), "plan"),
        (planned(&[(1, &[]), (2, &[0]), (1, &[1])]), "0/0#0"),
        (ok(0, 0, 0, 1, "a"), "1/0#0 1/1#0"),
        (ok(1, 0, 0, 2, "a"), ""),
        (ok(1, 1, 0, 3, "b"), "2/0#0"),
        // The first stage is read: lost with worker a, and needed no more.
        (lost("c"), ""),
        (lost("b"), "1/1#1"),
        // Now the first stage is needed again, and so is what it has on a worker that is lost later.
        (lost("a"), "0/0#1"),
        (ok(0, 0, 1, 4, "d"), "1/1#1 1/0#1"),
        (ok(1, 0, 1, 5, "d"), ""),
        (ok(1, 1, 1, 6, "d"), "2/0#0"),
        (ok(2, 0, 0, 7, "d"), "succeed"),
    ]);
    assert_eq!(machine.progress().failed(), 0);
}

#[test]
fn a_stage_that_is_needed_again_is_made_again_where_its_worker_was_lost_before() {
    check(&[
        (submit(), "plan"),
        (planned(&[(1, &[]), (1, &[0]), (1, &[1])]), "0/0#0"),
        (ok(0, 0, 0, 1, "a"), "1/0#0"),
        (ok(1, 0, 0, 2, "b"), "2/0#0"),
        (lost("a"), ""),
        (ng(2, 0, 0, missed(1, 0, 2, "b")), "0/0#1"),
        (ok(0, 0, 1, 3, "c"), "1/0#1"),
        (ok(1, 0, 1, 4, "c"), "2/0#1"),
        (ok(2, 0, 1, 5, "c"), "succeed"),
    ]);
}

#[test]
fn the_results_of_a_last_stage_stand_when_their_worker_is_lost() {
    check(&[
        (submit(), "plan"),
        (planned(&[(3, &[])]), "0/0#0 0/1#0 0/2#0"),
        (ok(0, 0, 0, 1, "a"), ""),
        (lost("a"), ""),
        (ok(0, 1, 0, 2, "a"), ""),
        (ok(0, 2, 0, 3, "b"), "succeed"),
    ]);
}

#[test]
fn a_life_that_was_told_lost_and_succeeds_goes_on() {
    // A worker that was cut off for a while, and is the only one: it took the same task a thousand times once.
    check(&[
        (lost("a"), ""),
        (submit(), "plan"),
        (
            planned(&[(3, &[]), (1, &[0]), (1, &[1])]),
            "0/0#0 0/1#0 0/2#0",
        ),
        (ok(0, 0, 0, 1, "a"), ""),
        (lost("a"), "0/0#1"),
        (ok(0, 0, 1, 2, "a"), ""),
        (ok(0, 1, 0, 3, "a"), ""),
        (ok(0, 2, 0, 4, "b"), "1/0#0"),
        (ok(1, 0, 0, 5, "a"), "2/0#0"),
        // Of the first stage, too, as the second is to run again.
        (lost("a"), "0/0#2 0/1#1"),
        (ok(0, 0, 2, 6, "a"), ""),
        (lost("a"), "0/0#3"),
        (ok(0, 0, 3, 7, "a"), ""),
        (ok(0, 1, 1, 8, "b"), "1/0#1"),
        (ok(1, 0, 1, 9, "b"), "2/0#0"),
        (ok(2, 0, 0, 10, "b"), "succeed"),
    ]);
}

#[test]
fn a_result_that_nobody_needs_any_more_cannot_fail_the_job() {
    check(&[
        (submit(), "plan"),
        (planned(&[(1, &[]), (1, &[0]), (2, &[1])]), "0/0#0"),
        (ok(0, 0, 0, 1, "a"), "1/0#0"),
        (ok(1, 0, 0, 2, "b"), "2/0#0 2/1#0"),
        (ok(2, 0, 0, 3, "c"), ""),
        (lost("b"), "1/0#1"),
        // The other reader had read its input before it was lost.
        (ok(2, 1, 0, 4, "c"), "succeed"),
    ]);
    check(&[
        (submit(), "plan"),
        (planned(&[(1, &[]), (1, &[0]), (1, &[])]), "0/0#0 2/0#0"),
        (ok(0, 0, 0, 1, "a"), "1/0#0"),
        (lost("a"), "0/0#1"),
        (ok(1, 0, 0, 2, "b"), ""),
        (ng(0, 0, 1, FailureClass::Fatal), ""),
        (ok(2, 0, 0, 3, "b"), "succeed"),
    ]);
}

#[test]
fn published_readers_are_asked_for_again_when_their_inputs_stand_again() {
    let machine = check(&[
        (submit(), "plan"),
        (planned(&[(1, &[]), (2, &[0])]), "0/0#0"),
        (ok(0, 0, 0, 1, "a"), "1/0#0 1/1#0"),
        (
            ng(
                1,
                1,
                0,
                FailureClass::Retry {
                    after_ms: Some(60_000),
                },
            ),
            "1/1#1+",
        ),
        (lost("a"), "0/0#1"),
    ]);
    // A coordinator that takes over now could make no message for the readers.
    outstanding(&machine, "0/0#1");
    let mut machine = machine;
    let at = Timestamp(6_000_000);
    assert_eq!(
        words(at, &machine.apply(at, &ok(0, 0, 1, 2, "b"))),
        "1/0#0 1/1#1+"
    );
    outstanding(&machine, "1/0#0 1/1#1");
}

#[test]
fn the_first_decision_stands_and_the_first_recorded_end_counts() {
    let start = || vec![(submit(), "plan"), (planned(&[(1, &[])]), "0/0#0")];
    let after = |more: &[(Event, &'static str)]| check(&[start(), more.to_vec()].concat());
    let machine = after(&[
        (Event::CancelRequested, "cancel"),
        (ok(0, 0, 0, 1, "a"), ""),
        (Event::DeadlineReached { life: 0 }, ""),
    ]);
    outstanding(&machine, "cancel");
    assert_eq!(machine.progress().state, JobState::Finishing);
    assert!(!machine.is_finished());

    let machine = after(&[
        (ok(0, 0, 0, 1, "a"), "succeed"),
        (Event::CancelRequested, ""),
    ]);
    outstanding(&machine, "succeed");

    let machine = after(&[
        (Event::CancelRequested, "cancel"),
        (finished(0, Outcome::Cancelled), "release"),
        (finished(0, Outcome::Succeeded), ""),
        (submit(), ""),
    ]);
    outstanding(&machine, "release");
    assert_eq!(machine.outcome(), Some(&Outcome::Cancelled));
    assert_eq!(machine.progress().state, JobState::Cancelled);
    assert_eq!(machine.progress().finished_at, Some(Timestamp(3_000_000)));

    // An end that this machine would not have chosen is still the end.
    let machine = after(&[(finished(0, Outcome::Succeeded), "release")]);
    assert!(machine.is_finished());
}

#[test]
fn a_retry_runs_what_did_not_succeed_and_nothing_else() {
    let end = failed_by(FailureClass::Fatal);
    let machine = check(&[
        (submit(), "plan"),
        (planned(&[(3, &[]), (1, &[0])]), "0/0#0 0/1#0 0/2#0"),
        (ok(0, 0, 0, 1, "a"), ""),
        (ng(0, 1, 0, RETRY), "0/1#1+"),
        (retried(1), ""),
        (ng(0, 1, 1, FailureClass::Fatal), "fail:0/1:why"),
        (retried(1), ""),
        (finished(0, end.clone()), "release"),
        // Not the life that comes next.
        (retried(0), ""),
        (retried(2), ""),
        (retried(1), "0/1#2 0/2#1"),
        // What coordinators of the first life still say of its end is not about this one.
        (finished(0, end), ""),
        (plan_failed(0, FailureClass::Fatal), ""),
        (ng(0, 1, 1, FailureClass::Fatal), ""),
        // A run of the first life ends well after all: it counts, and its successor is not needed.
        (ok(0, 2, 0, 2, "b"), ""),
        // The task begins with a clean record.
        (ng(0, 1, 2, RETRY), "0/1#3+"),
        (ok(0, 1, 3, 3, "b"), "1/0#0"),
        (ok(1, 0, 0, 4, "b"), "succeed"),
        (finished(1, Outcome::Succeeded), "release"),
        // There is nothing left to retry.
        (retried(2), ""),
    ]);
    let progress = machine.progress();
    assert_eq!(progress.state, JobState::Succeeded);
    assert_eq!((progress.retries, machine.life()), (1, 1));
    assert_eq!(machine.seed(), 8);
    assert_eq!(
        machine.winner(task(0, 0)),
        Some((&worker("a"), ExecutionId(1)))
    );
}

#[test]
fn a_retry_of_a_cancelled_job_makes_its_dropped_partitions_again() {
    check(&[
        (submit(), "plan"),
        (
            planned(&[(1, &[]), (2, &[0]), (1, &[1]), (2, &[])]),
            "0/0#0 3/0#0 3/1#0",
        ),
        (ok(0, 0, 0, 1, "a"), "1/0#0 1/1#0"),
        (ok(3, 0, 0, 2, "a"), ""),
        (ok(1, 0, 0, 3, "a"), ""),
        (Event::CancelRequested, "cancel"),
        (finished(0, Outcome::Cancelled), "release"),
        // The results of a last stage are in the log, and stand.
        (retried(1), "0/0#1 3/1#1"),
        (ok(0, 0, 1, 4, "a"), "1/0#1 1/1#1"),
        (ok(1, 0, 1, 5, "a"), ""),
        (ok(1, 1, 1, 6, "a"), "2/0#0"),
        (ok(2, 0, 0, 7, "a"), ""),
        (ok(3, 1, 1, 8, "a"), "succeed"),
    ]);
}

#[test]
fn a_retry_plans_a_job_that_was_not_planned_and_gives_it_its_whole_time() {
    let deadline = JobOptions {
        deadline_ms: Some(5_000),
        ..JobOptions::default()
    };
    let end = failed_by(FailureClass::Fatal);
    let machine = check(&[
        (submit_with(deadline), "plan watch:5000"),
        (plan_failed(0, FailureClass::Fatal), "fail:why"),
        (finished(0, end.clone()), "release"),
        (retried(1), "watch:8000 plan"),
        (plan_failed(0, FailureClass::Fatal), ""),
        (Event::DeadlineReached { life: 0 }, ""),
        (planned(&[(1, &[])]), "0/0#0"),
        (Event::DeadlineReached { life: 1 }, "fail:deadline"),
        (finished(1, end), "release"),
        (retried(2), "watch:14000 0/0#1"),
    ]);
    outstanding(&machine, "watch:14000 0/0#1");
    // What was never submitted has no end and nothing to retry: something came late to a job of this id that was forgotten.
    check(&[
        (finished(0, Outcome::Cancelled), ""),
        (retried(1), ""),
        (Event::CancelRequested, ""),
        (submit(), "plan"),
    ]);
}

#[test]
fn the_deadline_is_watched_and_fails_the_job() {
    let deadline = JobOptions {
        deadline_ms: Some(5_000),
        ..JobOptions::default()
    };
    let machine = check(&[(submit_with(deadline.clone()), "plan watch:5000")]);
    outstanding(&machine, "watch:5000 plan");
    let machine = check(&[
        (Event::DeadlineReached { life: 0 }, ""),
        (submit_with(deadline), "plan watch:6000"),
        (planned(&[(1, &[])]), "0/0#0"),
        (Event::DeadlineReached { life: 0 }, "fail:deadline"),
    ]);
    outstanding(&machine, "fail:deadline");
    let failure = failure_of(&machine);
    assert_eq!(failure.class, FailureClass::Timeout);
}

#[test]
fn no_more_than_a_window_is_on_the_queue() {
    let published = |machine: &JobMachine| machine.progress().published();
    let mut machine = JobMachine::new();
    let at = Timestamp(0);
    machine.apply(at, &submit());
    assert_eq!(machine.apply(at, &planned(&[(5_000, &[])])).len(), 16);
    assert_eq!(machine.apply(at, &Event::Capacity { slots: 10 }).len(), 24);
    assert_eq!(published(&machine), 40);
    // Fewer slots: what is out stays out, nothing new until it has drained.
    assert_eq!(machine.apply(at, &Event::Capacity { slots: 5 }).len(), 0);
    for index in 0..20 {
        assert_eq!(machine.apply(at, &ok(0, index, 0, 1, "a")).len(), 0);
    }
    assert_eq!(
        words(at, &machine.apply(at, &ok(0, 20, 0, 1, "a"))),
        "0/40#0 0/41#0"
    );
    // Tasks that wait out a backoff leave room for others.
    assert_eq!(
        words(at, &machine.apply(at, &ng(0, 21, 0, RETRY))),
        "0/21#1+ 0/42#0"
    );
    // Tiny tasks: the window grows with what a second brings.
    for index in 22..42 {
        machine.apply(at, &ok(0, index, 0, 1, "a"));
    }
    assert_eq!(published(&machine), 41 + 1);
}

#[test]
fn progress_tells_times_counts_and_states() {
    let mut machine = JobMachine::new();
    assert_eq!(machine.progress().state, JobState::Unknown);
    machine.apply(Timestamp(1), &submit());
    assert_eq!(machine.progress().state, JobState::Submitted);
    machine.apply(Timestamp(2), &planned(&[(3, &[]), (1, &[0])]));
    assert_eq!(machine.progress().state, JobState::Planned);
    machine.apply(Timestamp(3), &ok(0, 0, 0, 1, "a"));
    machine.apply(Timestamp(4), &ng(0, 1, 0, RETRY));
    let progress = machine.progress();
    assert_eq!(progress.state, JobState::Running);
    assert_eq!(
        (progress.tasks(), progress.done(), progress.published()),
        (4, 1, 2)
    );
    assert_eq!(
        (
            progress.retried(),
            progress.failed(),
            progress.stored_bytes()
        ),
        (1, 1, 100)
    );
    assert_eq!(
        (progress.submitted_at, progress.planned_at),
        (Some(Timestamp(1)), Some(Timestamp(2)))
    );
    assert_eq!(progress.stages[0].run_us, 10);
}

/// Runs a job of one stage to its end; returns the machine and the greatest heap on the way.
fn run_whole(tasks: u32) -> (JobMachine, usize) {
    let mut machine = JobMachine::new();
    let mut heap_bytes_max = 0;
    machine.apply(Timestamp(0), &submit());
    let mut asked = machine.apply(Timestamp(0), &planned(&[(tasks, &[])]));
    let mut at = 0;
    while let Some(command) = asked.pop() {
        let Command::Publish { task, attempt, .. } = command else {
            assert_eq!(command, Command::Finish(Box::new(Outcome::Succeeded)));
            break;
        };
        at += 100;
        let TaskId { stage, index } = task;
        let name = ["a", "b", "c"][(index % 3) as usize];
        let event = ok(stage.0, index, attempt.0, u64::from(index), name);
        asked.extend(machine.apply(Timestamp(at), &event));
        if index % 4096 == 0 {
            heap_bytes_max = heap_bytes_max.max(machine.heap_bytes());
        }
    }
    assert!(machine.decided.is_some());
    (machine, heap_bytes_max)
}

#[test]
fn a_task_costs_at_most_100_bytes_and_a_plan_costs_nothing() {
    let mut machine = JobMachine::new();
    machine.apply(Timestamp(0), &submit());
    machine.apply(Timestamp(0), &planned(&[(1_000_000, &[])]));
    assert!(
        machine.heap_bytes() < 10_000,
        "{} bytes for a plan",
        machine.heap_bytes()
    );
    let tasks = 50_000;
    let (_, heap_bytes_max) = run_whole(tasks);
    let per_task = heap_bytes_max / tasks as usize;
    assert!(per_task <= 72, "{per_task} bytes a task");
}

#[test]
fn a_lost_worker_of_a_large_job_keeps_it_under_100_bytes_a_task() {
    let tasks = 20_000;
    let mut machine = JobMachine::new();
    machine.apply(Timestamp(0), &submit());
    machine.apply(Timestamp(0), &planned(&[(tasks, &[]), (1, &[0])]));
    for index in 0..tasks {
        machine.apply(Timestamp(0), &ok(0, index, 0, 1, "a"));
    }
    assert_eq!(machine.progress().done(), u64::from(tasks));
    machine.apply(Timestamp(0), &lost("a"));
    assert_eq!(machine.progress().done(), 0);
    let per_task = machine.heap_bytes() / tasks as usize;
    assert!(per_task <= 100, "{per_task} bytes a task");
}

/// Prints what a job of a million tasks costs. By hand, in release:
/// `cargo test --release -p swath --lib a_million -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement, run by hand in release"]
fn a_million_tasks_are_folded_in_seconds() {
    let resident = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS"))
            .unwrap();
        line.split_whitespace()
            .nth(1)
            .unwrap()
            .parse::<usize>()
            .unwrap()
    };
    let before_kib = resident();
    let begin = std::time::Instant::now();
    let (machine, heap_bytes_max) = run_whole(1_000_000);
    println!(
        "1,000,000 tasks: {:?}; at most {heap_bytes_max} bytes by count, {} KiB more resident",
        begin.elapsed(),
        resident() - before_kib,
    );
    assert!(heap_bytes_max <= 100_000_000);
    assert!(machine.progress().done() == 1_000_000);
}
