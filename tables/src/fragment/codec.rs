//! The operators that DataFusion's encoding does not know.

use std::sync::Arc;

use arrow::datatypes::Schema;
use datafusion::common::{internal_datafusion_err, internal_err};
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_expr::equivalence::{
    AcrossPartitions, ConstExpr, EquivalenceClass, EquivalenceGroup,
};
use datafusion::physical_expr::{
    EquivalenceProperties, LexOrdering, PhysicalExpr, PhysicalSortExpr,
};
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::from_proto::parse_physical_sort_exprs;
use datafusion_proto::physical_plan::to_proto::serialize_physical_sort_exprs;
use datafusion_proto::physical_plan::{
    PhysicalExtensionCodec, PhysicalPlanDecodeContext, PhysicalProtoConverterExtension,
};
use datafusion_proto::protobuf::{self, PhysicalExprNode, PhysicalSortExprNode};
use prost::Message;

use crate::exchange::{ExchangeReadExec, ReadMode};
use crate::{source, spatial};

/// What the bytes of an operator begin with.
const EXCHANGE: u8 = b'e';
const SPATIAL: u8 = b'j';

#[derive(Debug)]
pub(super) struct Codec;

#[derive(Clone, PartialEq, Message)]
struct ReadNode {
    #[prost(uint32, tag = "1")]
    exchange: u32,
    #[prost(message, optional, tag = "2")]
    schema: Option<protobuf::Schema>,
    #[prost(oneof = "Mode", tags = "3, 4, 5")]
    mode: Option<Mode>,
    #[prost(message, repeated, tag = "6")]
    orderings: Vec<Ordering>,
    #[prost(message, repeated, tag = "7")]
    equal: Vec<Expressions>,
    #[prost(message, optional, tag = "8")]
    constant: Option<Expressions>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Mode {
    #[prost(message, tag = "3")]
    Hash(HashMode),
    #[prost(message, tag = "4")]
    Sorted(SortedMode),
    #[prost(bool, tag = "5")]
    Broadcast(bool),
}

#[derive(Clone, PartialEq, Message)]
struct HashMode {
    #[prost(message, repeated, tag = "1")]
    keys: Vec<PhysicalExprNode>,
    #[prost(uint64, tag = "2")]
    partitions: u64,
}

#[derive(Clone, PartialEq, Message)]
struct SortedMode {
    #[prost(message, repeated, tag = "1")]
    keys: Vec<PhysicalSortExprNode>,
    #[prost(uint64, tag = "2")]
    ranges: u64,
    #[prost(uint64, optional, tag = "3")]
    fetch: Option<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct Ordering {
    #[prost(message, repeated, tag = "1")]
    keys: Vec<PhysicalSortExprNode>,
}

#[derive(Clone, PartialEq, Message)]
struct Expressions {
    #[prost(message, repeated, tag = "1")]
    items: Vec<PhysicalExprNode>,
}

impl PhysicalExtensionCodec for Codec {
    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buffer: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        if let Some(read) = node.downcast_ref::<ExchangeReadExec>() {
            let writer = Writer {
                codec: self,
                converter,
            };
            buffer.push(EXCHANGE);
            buffer.extend(writer.read(read)?.encode_to_vec());
        } else if let Some(bytes) = spatial::codec::encode(node.as_ref()) {
            buffer.push(SPATIAL);
            buffer.extend(bytes);
        } else {
            return internal_err!("{} cannot be sent to another worker", node.name());
        }
        Ok(())
    }

    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if let Some(scan) = source::codec::decode(bytes, context, self, converter)? {
            return Ok(scan);
        }
        let bytes = match bytes.split_first() {
            Some((&EXCHANGE, bytes)) => bytes,
            Some((&SPATIAL, bytes)) => return spatial::codec::decode(bytes, inputs),
            _ => return Err(missing()),
        };
        let node = ReadNode::decode(bytes).map_err(|error| {
            internal_datafusion_err!("an exchange that cannot be read: {error}")
        })?;
        let schema: Schema = node.schema.as_ref().ok_or_else(missing)?.try_into()?;
        let reader = Reader {
            context: PhysicalPlanDecodeContext::new(context, self),
            converter,
            schema,
        };
        Ok(Arc::new(reader.read(node)?))
    }
}

struct Writer<'a> {
    codec: &'a Codec,
    converter: &'a dyn PhysicalProtoConverterExtension,
}

impl Writer<'_> {
    fn read(&self, node: &ExchangeReadExec) -> Result<ReadNode> {
        let properties = node.properties().equivalence_properties();
        let constants = properties
            .constants()
            .into_iter()
            .map(|constant| constant.expr);
        Ok(ReadNode {
            exchange: node.exchange(),
            schema: Some(node.schema().as_ref().try_into()?),
            mode: Some(self.mode(node.mode())?),
            orderings: properties
                .oeq_class()
                .iter()
                .filter_map(|ordering| self.ordering(ordering))
                .collect(),
            equal: properties
                .eq_group()
                .iter()
                .map(|class| self.columns(class.iter().cloned()))
                .filter(|class| class.items.len() > 1)
                .collect(),
            constant: Some(self.columns(constants)),
        })
    }

    fn mode(&self, mode: &ReadMode) -> Result<Mode> {
        Ok(match mode {
            ReadMode::Whole { broadcast } => Mode::Broadcast(*broadcast),
            ReadMode::Hash { keys, partitions } => Mode::Hash(HashMode {
                keys: keys
                    .iter()
                    .map(|key| self.expression(key))
                    .collect::<Result<_>>()?,
                partitions: *partitions as u64,
            }),
            ReadMode::Sorted {
                ordering,
                ranges,
                fetch,
            } => Mode::Sorted(SortedMode {
                keys: self.keys(ordering)?,
                ranges: *ranges as u64,
                fetch: fetch.map(|fetch| fetch as u64),
            }),
        })
    }

    fn expression(&self, expr: &Arc<dyn PhysicalExpr>) -> Result<PhysicalExprNode> {
        self.converter.physical_expr_to_proto(expr, self.codec)
    }

    fn keys(&self, ordering: &LexOrdering) -> Result<Vec<PhysicalSortExprNode>> {
        serialize_physical_sort_exprs(ordering.iter().cloned(), self.codec, self.converter)
    }

    /// What is known of the rows is a hint: what is more than columns is left out.
    fn ordering(&self, ordering: &LexOrdering) -> Option<Ordering> {
        let known: Vec<PhysicalSortExpr> = ordering
            .iter()
            .take_while(|key| is_column(&key.expr))
            .cloned()
            .collect();
        let keys = serialize_physical_sort_exprs(known, self.codec, self.converter).ok()?;
        (!keys.is_empty()).then_some(Ordering { keys })
    }

    fn columns(&self, expressions: impl Iterator<Item = Arc<dyn PhysicalExpr>>) -> Expressions {
        let items = expressions
            .filter(is_column)
            .filter_map(|expr| self.expression(&expr).ok())
            .collect();
        Expressions { items }
    }
}

fn is_column(expr: &Arc<dyn PhysicalExpr>) -> bool {
    expr.is::<datafusion::physical_expr::expressions::Column>()
}

struct Reader<'a> {
    context: PhysicalPlanDecodeContext<'a>,
    converter: &'a dyn PhysicalProtoConverterExtension,
    schema: Schema,
}

impl Reader<'_> {
    fn read(&self, node: ReadNode) -> Result<ExchangeReadExec> {
        let mode = match node.mode.as_ref().ok_or_else(missing)? {
            Mode::Broadcast(broadcast) => ReadMode::Whole {
                broadcast: *broadcast,
            },
            Mode::Hash(hash) => ReadMode::Hash {
                keys: self.expressions(&hash.keys)?,
                partitions: count(hash.partitions)?,
            },
            Mode::Sorted(sorted) => ReadMode::Sorted {
                ordering: LexOrdering::new(self.keys(&sorted.keys)?).ok_or_else(missing)?,
                ranges: count(sorted.ranges)?,
                fetch: sorted.fetch.map(count).transpose()?,
            },
        };
        Ok(ExchangeReadExec::new(
            node.exchange,
            mode,
            self.properties(&node)?,
        ))
    }

    fn properties(&self, node: &ReadNode) -> Result<EquivalenceProperties> {
        let mut properties = EquivalenceProperties::new(Arc::new(self.schema.clone()));
        let classes = node
            .equal
            .iter()
            .map(|class| Ok(EquivalenceClass::new(self.expressions(&class.items)?)))
            .collect::<Result<Vec<_>>>()?;
        properties.add_equivalence_group(EquivalenceGroup::new(classes))?;
        if let Some(constant) = &node.constant {
            let constants = self.expressions(&constant.items)?;
            properties.add_constants(
                constants
                    .into_iter()
                    .map(|expr| ConstExpr::new(expr, AcrossPartitions::Heterogeneous)),
            )?;
        }
        for ordering in &node.orderings {
            properties.add_ordering(self.keys(&ordering.keys)?);
        }
        Ok(properties)
    }

    fn expressions(&self, nodes: &[PhysicalExprNode]) -> Result<Vec<Arc<dyn PhysicalExpr>>> {
        nodes
            .iter()
            .map(|node| {
                self.converter
                    .proto_to_physical_expr(node, &self.schema, &self.context)
            })
            .collect()
    }

    fn keys(&self, nodes: &[PhysicalSortExprNode]) -> Result<Vec<PhysicalSortExpr>> {
        parse_physical_sort_exprs(nodes, &self.context, &self.schema, self.converter)
    }
}

fn count(number: u64) -> Result<usize> {
    usize::try_from(number).map_err(|_| internal_datafusion_err!("{number} is too many"))
}

fn missing() -> datafusion::error::DataFusionError {
    internal_datafusion_err!("an exchange lacks a part")
}
