//! The bytes of our own scans in an encoded plan.
//!
//! Encoding needs nothing of the caller: `datafusion-proto` asks the scan itself, which answers with an extension node.
//! Decoding does: the caller's `PhysicalExtensionCodec` gives [`decode`] what it does not know itself.

use std::sync::Arc;

use datafusion::datasource::physical_plan::FileScanConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::proto::ExecutionPlanEncodeCtx;
use datafusion_proto::physical_plan::from_proto::parse_protobuf_file_scan_config;
use datafusion_proto::physical_plan::{
    PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf::physical_plan_node::PhysicalPlanType;
use datafusion_proto::protobuf::{FileScanExecConf, PhysicalExtensionNode, PhysicalPlanNode};
use prost::Message;

use super::decoded::{Decode, DecodedSource};

/// What the bytes begin with; the last character is the version.
const MAGIC: &[u8] = b"swath.scan.1";

pub(super) fn encode(
    decode: Decode,
    config: &FileScanConfig,
    context: &ExecutionPlanEncodeCtx<'_>,
) -> Result<PhysicalPlanNode> {
    let mut node = MAGIC.to_vec();
    node.push(match decode {
        Decode::Arrow => b'a',
        Decode::Geojson => b'g',
        Decode::Ndjson => b'n',
    });
    node.extend(config.try_to_proto(context)?.encode_to_vec());
    let extension = PhysicalExtensionNode {
        node,
        inputs: Vec::new(),
    };
    Ok(PhysicalPlanNode {
        physical_plan_type: Some(PhysicalPlanType::Extension(extension)),
    })
}

/// Decodes a scan; returns nothing when the bytes are not those of a scan.
///
/// # Errors
/// When the bytes begin like those of a scan and are damaged, or of another version's expressions.
pub fn decode(
    bytes: &[u8],
    context: &TaskContext,
    codec: &dyn PhysicalExtensionCodec,
    converter: &dyn PhysicalProtoConverterExtension,
) -> Result<Option<Arc<dyn ExecutionPlan>>> {
    let Some((kind, config)) = bytes.strip_prefix(MAGIC).and_then(<[u8]>::split_first) else {
        return Ok(None);
    };
    let decode = match kind {
        b'a' => Decode::Arrow,
        b'g' => Decode::Geojson,
        b'n' => Decode::Ndjson,
        other => {
            let text =
                format!("a scan of kind {other} is not known; are all workers of one version?");
            return Err(DataFusionError::Plan(text));
        }
    };
    let config = FileScanExecConf::decode(config)
        .map_err(|error| DataFusionError::External(Box::new(error)))?;
    let schema = FileScanConfig::parse_table_schema_from_proto(&config)?;
    let source = Arc::new(DecodedSource::new(decode, schema));
    let context = PhysicalPlanDecodeContext::new(context, codec);
    let config = parse_protobuf_file_scan_config(&config, &context, converter, source)?;
    Ok(Some(DataSourceExec::from_data_source(config)))
}
