//! The operators of this room as bytes, without their inputs, for a codec of whole plans.

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::physical_plan::ExecutionPlan;
use serde::{Deserialize, Serialize};

use super::join::Join;
use super::{Cells, Error, SpatialCellsExec, SpatialJoinExec};

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Node {
    Cells { geometry: usize, cells: Cells },
    Join(Join),
}

/// Encodes an operator of this room; `None` for any other, or none that can be written.
#[must_use]
pub fn encode(plan: &dyn ExecutionPlan) -> Option<Vec<u8>> {
    let node = if let Some(exec) = plan.downcast_ref::<SpatialCellsExec>() {
        Node::Cells {
            geometry: exec.geometry(),
            cells: exec.cells().as_ref().clone(),
        }
    } else {
        Node::Join(plan.downcast_ref::<SpatialJoinExec>()?.join().clone())
    };
    serde_json::to_vec(&node).ok()
}

/// Decodes an operator that reads these inputs.
///
/// # Errors
/// When the bytes are not what [`encode`] gives, or the inputs do not fit.
pub fn decode(bytes: &[u8], inputs: &[Arc<dyn ExecutionPlan>]) -> Result<Arc<dyn ExecutionPlan>> {
    let node = serde_json::from_slice(bytes).map_err(|source| Error::Bytes { source })?;
    match (node, inputs) {
        (Node::Cells { geometry, cells }, [input]) => {
            let exec = SpatialCellsExec::try_new(Arc::clone(input), geometry, Arc::new(cells))?;
            Ok(Arc::new(exec))
        }
        (Node::Join(join), [left, right]) => Ok(Arc::new(SpatialJoinExec::try_new(
            Arc::clone(left),
            Arc::clone(right),
            join,
        )?)),
        (Node::Cells { .. }, _) => Err(Error::Inputs {
            operator: "SpatialCellsExec",
            needs: "one input",
        }
        .into()),
        (Node::Join(_), _) => Err(Error::Inputs {
            operator: "SpatialJoinExec",
            needs: "two inputs",
        }
        .into()),
    }
}
