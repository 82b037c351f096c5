//! How large a side of a join is, as far as can be said before it is read.

use std::sync::Arc;

use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};

/// Estimates the bytes that a plan gives: by its statistics, else by the bytes of the files that it reads.
pub(super) fn estimated_bytes(plan: &Arc<dyn ExecutionPlan>) -> Option<u64> {
    let statistics = StatisticsContext::new().compute(plan.as_ref(), &StatisticsArgs::new());
    let known = statistics
        .ok()
        .and_then(|of| of.total_byte_size.get_value().copied());
    known
        .and_then(|bytes| u64::try_from(bytes).ok())
        .or_else(|| file_bytes(plan))
}

/// A plan of several inputs may give far more than it reads.
fn file_bytes(plan: &Arc<dyn ExecutionPlan>) -> Option<u64> {
    match plan.children().as_slice() {
        [] => {
            let scan = plan.downcast_ref::<DataSourceExec>()?.data_source();
            let files = &scan.downcast_ref::<FileScanConfig>()?.file_groups;
            Some(
                files
                    .iter()
                    .flat_map(|group| group.iter())
                    .map(|file| file.effective_size())
                    .sum(),
            )
        }
        [child] => file_bytes(child),
        _ => None,
    }
}
