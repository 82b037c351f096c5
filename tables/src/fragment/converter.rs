//! Reads plans, and gives functions back what DataFusion's encoding leaves out.

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::error::Result;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{
    DefaultPhysicalProtoConverter, PhysicalExtensionCodec, PhysicalPlanDecodeContext,
    PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf::{PhysicalExprNode, PhysicalPlanNode};

/// The encoding keeps the type that a function returns and not the metadata of its field, which says that bytes are a
/// geometry. The function can say it again.
#[derive(Debug)]
pub(super) struct Converter;

impl PhysicalProtoConverterExtension for Converter {
    fn proto_to_execution_plan(
        &self,
        proto: &PhysicalPlanNode,
        context: &PhysicalPlanDecodeContext<'_>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        self.default_proto_to_execution_plan(proto, context)
    }

    fn execution_plan_to_proto(
        &self,
        plan: &Arc<dyn ExecutionPlan>,
        codec: &dyn PhysicalExtensionCodec,
    ) -> Result<PhysicalPlanNode> {
        DefaultPhysicalProtoConverter {}.execution_plan_to_proto(plan, codec)
    }

    fn proto_to_physical_expr(
        &self,
        proto: &PhysicalExprNode,
        schema: &Schema,
        context: &PhysicalPlanDecodeContext<'_>,
    ) -> Result<Arc<dyn PhysicalExpr>> {
        let read = self.default_proto_to_physical_expr(proto, schema, context)?;
        let Some(call) = read.downcast_ref::<ScalarFunctionExpr>() else {
            return Ok(read);
        };
        let again = ScalarFunctionExpr::try_new(
            Arc::new(call.fun().clone()),
            call.args().to_vec(),
            schema,
            Arc::new(call.config_options().clone()),
        );
        // What the planner knew of the types and the function alone does not stays as it was read.
        Ok(match again {
            Ok(again) if again.return_type() == call.return_type() => Arc::new(again),
            Ok(_) | Err(_) => read,
        })
    }

    fn physical_expr_to_proto(
        &self,
        expression: &Arc<dyn PhysicalExpr>,
        codec: &dyn PhysicalExtensionCodec,
    ) -> Result<PhysicalExprNode> {
        DefaultPhysicalProtoConverter {}.physical_expr_to_proto(expression, codec)
    }
}
