//! How DataFusion is set up, for planning and for running alike.

use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::execution::object_store::ObjectStoreRegistry;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::prelude::{SessionConfig, SessionContext};

use super::joins::{BROADCAST_ALWAYS, LocalJoins};
use crate::spatial::{SpatialSettings, register_functions, with_spatial_joins};
use crate::{Error, JoinKind, Operation, PlanSettings};

/// Rows of a batch, unless a task says otherwise.
const BATCH_ROWS: usize = 8192;
/// Below this, a task more costs more than it saves.
const WORTH_A_TASK_BYTES: u64 = 4 << 20;
/// Every producer of a hash exchange writes so many partitions at most.
const PARTITIONS_MAX: u64 = 4096;

/// Makes a session to register tables in and to plan with.
///
/// - `stores`: opens the tables' files.
///
/// # Errors
/// When DataFusion refuses the settings.
pub fn planning_session(
    settings: &PlanSettings,
    stores: Arc<dyn ObjectStoreRegistry>,
) -> Result<SessionContext, Error> {
    let runtime = RuntimeEnvBuilder::new()
        .with_object_store_registry(stores)
        .build_arc();
    let runtime = runtime.map_err(super::query)?;
    Ok(session(config(BATCH_ROWS), runtime, settings))
}

/// Makes a session whose plans do not depend on one process: nothing that one partition learns changes another.
pub(crate) fn session(
    config: SessionConfig,
    runtime: Arc<RuntimeEnv>,
    settings: &PlanSettings,
) -> SessionContext {
    let spatial = SpatialSettings {
        broadcast_bytes: settings.broadcast_bytes,
    };
    let mut rules = PhysicalOptimizer::default().rules;
    let after = rules
        .iter()
        .position(|rule| rule.name() == "join_selection")
        .map_or(0, |at| at + 1);
    rules.insert(after, Arc::new(LocalJoins));
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(runtime)
        .with_default_features()
        .with_physical_optimizer_rules(rules);
    let session = SessionContext::new_with_state(with_spatial_joins(state, spatial).build());
    register_functions(&session);
    session
}

/// Returns the settings of every session.
pub(crate) fn config(batch_rows: usize) -> SessionConfig {
    let mut config = SessionConfig::new().with_batch_size(batch_rows.max(1));
    let options = config.options_mut();
    // Partitions of one scan would take each other's files, and a task has but one partition.
    options.execution.enable_file_stream_work_stealing = false;
    options.execution.collect_statistics = true;
    // Views keep the buffers of whole batches alive, which an exchange would send over and over.
    options.execution.parquet.schema_force_view_types = false;
    options.sql_parser.map_string_types_to_utf8view = false;
    // The exchanges are ours, and spread rows by keys only.
    options.optimizer.enable_round_robin_repartition = false;
    // Dynamic filters pass through memory that all partitions share.
    options.optimizer.enable_dynamic_filter_pushdown = false;
    options.optimizer.enable_join_dynamic_filter_pushdown = false;
    options.optimizer.enable_topk_dynamic_filter_pushdown = false;
    options.optimizer.enable_aggregate_dynamic_filter_pushdown = false;
    options.optimizer.prefer_existing_sort = false;
    config
}

/// Returns the number of partitions of every exchange: as many as slots while each has enough to do, more when
/// a partition would pass `partition_bytes`, and then so many that all slots are busy to the end.
pub(crate) fn partitions(bytes: u64, settings: &PlanSettings) -> usize {
    let wanted = settings.partitions.map_or_else(
        || {
            let sized = bytes.div_ceil(settings.partition_bytes.max(1));
            let slots = u64::from(settings.slots.max(1));
            if sized > slots {
                return sized.next_multiple_of(slots);
            }
            sized.max(slots.min(bytes.div_ceil(WORTH_A_TASK_BYTES)))
        },
        u64::from,
    );
    usize::try_from(wanted.clamp(1, PARTITIONS_MAX)).unwrap_or(1)
}

/// Sets what the planner has to know about the query at hand.
pub(crate) fn size(
    session: &SessionContext,
    partitions: usize,
    operation: &Operation,
    settings: &PlanSettings,
) {
    let broadcast_bytes = usize::try_from(settings.broadcast_bytes).unwrap_or(usize::MAX);
    let state = session.state_ref();
    let mut state = state.write();
    let options = state.config_mut().options_mut();
    options.execution.target_partitions = partitions;
    options.optimizer.join_reordering = true;
    options.optimizer.hash_join_single_partition_threshold = broadcast_bytes;
    options.optimizer.hash_join_single_partition_threshold_rows = broadcast_bytes / 128;
    if let Operation::Join {
        broadcast: true,
        how,
        ..
    } = operation
    {
        force_broadcast(options, *how);
    }
}

/// `logical` puts the side that goes whole to every task on the left, where DataFusion collects.
fn force_broadcast(options: &mut datafusion::config::ConfigOptions, how: JoinKind) {
    if how != JoinKind::Full {
        options.optimizer.join_reordering = false;
        options.optimizer.hash_join_single_partition_threshold = BROADCAST_ALWAYS;
        options.optimizer.hash_join_single_partition_threshold_rows = BROADCAST_ALWAYS;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_follow_the_bytes_and_keep_all_slots_busy() {
        let check = |mib: u64, slots: u32, wanted: Option<u32>, expected: usize| {
            let settings = PlanSettings {
                slots,
                partitions: wanted,
                ..PlanSettings::default()
            };
            assert_eq!(
                partitions(mib << 20, &settings),
                expected,
                "{mib} MiB, {slots} slots"
            );
        };
        // 128 MiB a partition, 4 MiB at least.
        check(0, 8, None, 1);
        check(8, 8, None, 2);
        check(100, 8, None, 8);
        check(300, 1, None, 3);
        check(300, 2, None, 4);
        check(300, 3, None, 3);
        check(1100, 8, None, 16);
        check(300, 2, Some(3), 3);
    }
}
