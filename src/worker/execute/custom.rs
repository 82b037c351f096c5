//! A task of a queue: calls an operation.

use super::{Done, Error, Executor};
use crate::ids::OperationName;
use crate::ops::TaskContext;

impl Executor {
    pub(super) async fn run_custom(
        &self,
        operation: OperationName,
        params: Vec<u8>,
        context: TaskContext,
    ) -> Result<Done, Error> {
        let registry = self.ports.registry.clone();
        let call = move || registry.call(&operation, &params, &context);
        let result = self.cpu.run(call).await??;
        // Nothing to say is not worth a place in the log.
        let result = (result != b"null").then_some(result);
        Ok(Done {
            stored_bytes: 0,
            result,
        })
    }
}
