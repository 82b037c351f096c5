//! Files are read as workers read them: the plan is encoded, decoded in another session, and each partition run alone.

mod expected;
mod hostile;
mod remote;
mod rules;

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_proto::bytes::{
    physical_plan_from_bytes_with_extension_codec, physical_plan_to_bytes_with_extension_codec,
};
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use futures::TryStreamExt;

use super::{SourceContext, SourceFacts, register};
use crate::query::{Format, NamedTable};

/// Returns the folder of shared test data; a machine without it leaves out what needs it, and says so.
pub(super) fn shared_data() -> Option<PathBuf> {
    use crate::tests::support::{data, left_out};
    (!left_out()).then(data)
}

#[derive(Debug)]
struct Codec;

impl PhysicalExtensionCodec for Codec {
    fn try_decode(
        &self,
        buf: &[u8],
        _: &[Arc<dyn ExecutionPlan>],
        ctx: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        super::codec::decode(buf, ctx, self, converter)?
            .ok_or_else(|| DataFusionError::Plan("not a scan".to_owned()))
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        _: &mut Vec<u8>,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        Err(DataFusionError::Plan(format!(
            "{} has no bytes",
            node.name()
        )))
    }
}

fn session(sources: &SourceContext, partitions: usize) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(partitions);
    let runtime = RuntimeEnvBuilder::new()
        .with_object_store_registry(sources.registry())
        .build_arc()
        .unwrap();
    SessionContext::new_with_config_rt(config, runtime)
}

struct Read {
    facts: SourceFacts,
    schema: SchemaRef,
    /// The batches of each partition.
    partitions: Vec<Vec<RecordBatch>>,
    plan: String,
}

impl Read {
    fn rows(&self) -> usize {
        self.batches().iter().map(RecordBatch::num_rows).sum()
    }

    fn batches(&self) -> Vec<RecordBatch> {
        self.partitions.concat()
    }
}

/// Runs a statement over one table, `t`.
async fn read(
    paths: &[String],
    format: Option<Format>,
    statement: &str,
    partitions: usize,
    sources: &SourceContext,
) -> anyhow_lite::Result<Read> {
    let context = session(sources, partitions);
    let table = NamedTable {
        name: "t".to_owned(),
        paths: paths.to_vec(),
        format,
    };
    let facts = register(&context, &[table], sources).await?;
    let plan = context.sql(statement).await?.create_physical_plan().await?;
    let text = datafusion::physical_plan::displayable(plan.as_ref())
        .indent(false)
        .to_string();
    let bytes = physical_plan_to_bytes_with_extension_codec(plan, &Codec)?;

    let worker = session(sources, 1);
    let task = worker.task_ctx();
    let plan = physical_plan_from_bytes_with_extension_codec(&bytes, &task, &Codec)?;
    let mut read = Vec::new();
    for partition in 0..plan.properties().output_partitioning().partition_count() {
        // A plan of its own for each, as if each ran elsewhere.
        let plan = physical_plan_from_bytes_with_extension_codec(&bytes, &task, &Codec)?;
        let stream = plan.execute(partition, Arc::clone(&task))?;
        read.push(stream.try_collect::<Vec<_>>().await?);
    }
    Ok(Read {
        facts: facts[0],
        schema: plan.schema(),
        partitions: read,
        plan: text,
    })
}

/// Errors of several kinds, with all their causes in the text.
mod anyhow_lite {
    pub(super) type Result<T> = std::result::Result<T, Text>;

    #[derive(Debug)]
    pub(super) struct Text(pub(super) String);

    impl<E: std::error::Error + 'static> From<E> for Text {
        fn from(error: E) -> Self {
            let mut text = error.to_string();
            let mut cause = error.source();
            while let Some(error) = cause {
                text = format!("{text}: {error}");
                cause = error.source();
            }
            Self(text)
        }
    }
}
