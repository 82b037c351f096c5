//! The merge of a range of zones: partial statistics of all windows, finished, with the zones' attributes.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Builder, StringBuilder, UInt64Builder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use futures::stream::{self, StreamExt, TryStreamExt};
use tokio::sync::mpsc;

use super::super::{Done, Error as TaskError, Executor, addresses, check_cancelled};
use super::Error;
use super::rows::{read_partials, read_values};
use super::runs::Runs;
use crate::exchange::{PartitionAddress, PartitionKey};
use crate::ops::TaskContext;
use crate::ops::zonal::{
    Frequencies, Needs, Partial, Quantiles, Value, ValueFacts, WHOLE, finish, from_key,
};
use crate::plan::stage::ZonalStage;
use crate::spec::{Pixels, StatisticKind};
use crate::tables::{self, EncodedRows};
use crate::wire::InputStage;

/// Partitions fetched at once.
const FETCHES_AT_ONCE: usize = 8;
/// Batches that wait to be merged.
const BATCHES_WAITING: usize = 16;
/// Values in memory, 24 bytes each.
const VALUES_IN_MEMORY: usize = 4 << 20;
/// Memory of the encoder of the result.
const ENCODER_BYTES: usize = 32 << 20;

/// What the merging thread is sent, in this order.
enum Piece {
    Partials(RecordBatch),
    Values(RecordBatch),
    Attributes(RecordBatch),
    /// That was all: a sender that fails never says this.
    End,
}

impl Executor {
    pub(super) async fn run_merge(
        &self,
        stage: Arc<ZonalStage>,
        inputs: Vec<InputStage>,
        context: TaskContext,
    ) -> Result<Done, TaskError> {
        let (sender, receiver) = mpsc::channel(BATCHES_WAITING);
        let folder = self.ports.store.spill_dir();
        let merging = {
            let (stage, context) = (Arc::clone(&stage), context.clone());
            self.cpu.run(move || {
                let mut merge = Merge::new(&stage, &context, Runs::new(VALUES_IN_MEMORY, folder));
                merge.take_all(receiver)?;
                merge.finish()
            })
        };
        let sending = self.send_all(&stage, &inputs, &context, sender);
        let (sent, merged) = tokio::join!(sending, merging);
        match (sent, merged?) {
            // A merge that failed stops the sender; its error is the cause.
            (_, Err(error)) if !matches!(error, TaskError::Cancelled) => Err(error),
            (Err(error), _) => Err(error),
            (Ok(()), merged) => merged,
        }
    }

    async fn send_all(
        &self,
        stage: &ZonalStage,
        inputs: &[InputStage],
        context: &TaskContext,
        sender: mpsc::Sender<Piece>,
    ) -> Result<(), TaskError> {
        let [zones, windows] = inputs else {
            return Err(TaskError::Bug {
                what: "a merge without its two inputs",
            });
        };
        let range = context.task.index;
        let of = |input, partition| addresses(&context.job, input, partition);
        self.send(of(windows, range)?, Piece::Partials, context, &sender)
            .await?;
        if Needs::of(&stage.spec.statistics).values {
            let values = of(windows, stage.ranges + range)?;
            self.send(values, Piece::Values, context, &sender).await?;
        }
        let attributes = of(zones, stage.windows + range)?;
        self.send(attributes, Piece::Attributes, context, &sender)
            .await?;
        let end = sender.send(Piece::End).await;
        end.map_err(|_| TaskError::Cancelled)
    }

    async fn send(
        &self,
        from: Vec<(u32, PartitionAddress)>,
        piece: fn(RecordBatch) -> Piece,
        context: &TaskContext,
        sender: &mpsc::Sender<Piece>,
    ) -> Result<(), TaskError> {
        let open = |(_, address): (u32, PartitionAddress)| async move {
            self.ports.exchange.fetch(&address).await
        };
        let mut opened = stream::iter(from).map(open).buffered(FETCHES_AT_ONCE);
        while let Some(mut batches) = opened.try_next().await? {
            while let Some(batch) = batches.try_next().await? {
                check_cancelled(context)?;
                // The merge is gone: it has failed, and says why.
                let sent = sender.send(piece(batch)).await;
                sent.map_err(|_| TaskError::Cancelled)?;
            }
        }
        Ok(())
    }
}

/// Merges, and then writes the rows of the result.
struct Merge<'a> {
    stage: &'a ZonalStage,
    context: &'a TaskContext,
    /// The first zone of the range.
    first: u32,
    partials: Vec<Partial>,
    runs: Runs,
    /// What is known of the values of each zone, once all are there.
    values: Option<Vec<ValueFacts>>,
    kinds: Vec<StatisticKind>,
    rows: EncodedRows,
    schema: Option<SchemaRef>,
    written: u32,
}

impl<'a> Merge<'a> {
    fn new(stage: &'a ZonalStage, context: &'a TaskContext, runs: Runs) -> Self {
        let first = context.task.index.saturating_mul(stage.zones_per_range);
        let count = stage.zones.saturating_sub(first).min(stage.zones_per_range);
        let key = PartitionKey {
            partition: 0,
            ..context.partition_key(0)
        };
        Self {
            stage,
            context,
            first,
            partials: vec![Partial::default(); count as usize],
            runs,
            values: None,
            kinds: stage.spec.statistics.iter().map(|s| s.kind()).collect(),
            rows: EncodedRows::of(
                Arc::clone(&context.store),
                key,
                &stage.output,
                ENCODER_BYTES,
            ),
            schema: None,
            written: 0,
        }
    }

    fn take_all(&mut self, mut receiver: mpsc::Receiver<Piece>) -> Result<(), TaskError> {
        loop {
            check_cancelled(self.context)?;
            match receiver.blocking_recv() {
                Some(Piece::Partials(batch)) => self.take_partials(&batch)?,
                Some(Piece::Values(batch)) => {
                    let runs = &mut self.runs;
                    read_values(&batch, |zone, key, weight| {
                        Ok(runs.push(zone, key, weight).map_err(Error::from)?)
                    })?;
                }
                Some(Piece::Attributes(batch)) => self.write(&batch)?,
                Some(Piece::End) => return Ok(()),
                None => return Err(TaskError::Cancelled),
            }
        }
    }

    fn take_partials(&mut self, batch: &RecordBatch) -> Result<(), TaskError> {
        let (first, partials) = (self.first, &mut self.partials);
        read_partials(batch, |zone, partial| {
            let at = zone.checked_sub(first).map(|at| at as usize);
            let known = at.and_then(|at| partials.get_mut(at));
            known.ok_or(STRANGER)?.merge(&partial);
            Ok(())
        })
    }

    /// Appends the statistics to rows of attributes.
    fn write(&mut self, batch: &RecordBatch) -> Result<(), TaskError> {
        if self.values.is_none() {
            self.values = Some(self.value_facts()?);
        }
        let schema = match &self.schema {
            Some(schema) => Arc::clone(schema),
            None => {
                let schema = Arc::new(self.result_schema(batch.schema_ref()));
                self.rows.begin_rows(&schema);
                self.schema = Some(Arc::clone(&schema));
                schema
            }
        };
        let start = self.written as usize;
        let end = start + batch.num_rows();
        let partials = self.partials.get(start..end).ok_or(STRANGER)?;
        let values = self.values.as_deref().unwrap_or_default();
        let none = ValueFacts::default();
        let fractional = self.stage.spec.pixels == Pixels::Fractional;
        let rows = partials.iter().enumerate().map(|(at, partial)| {
            let values = values.get(start + at).unwrap_or(&none);
            finish(&self.kinds, fractional, partial, values)
        });
        let rows: Vec<Vec<Option<Value>>> = rows.collect();
        let mut columns = batch.columns().to_vec();
        for (number, kind) in self.kinds.iter().enumerate() {
            let cells = rows
                .iter()
                .map(|row| row.get(number).and_then(Option::as_ref));
            columns.push(column(cells, &column_type(*kind, fractional)));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let result = RecordBatch::try_new_with_options(schema, columns, &options)?;
        self.written = u32::try_from(end).unwrap_or(u32::MAX);
        Ok(self.rows.write_rows(&result).map_err(tables::Error::from)?)
    }

    fn result_schema(&self, attributes: &SchemaRef) -> Schema {
        let spec = &self.stage.spec;
        let fractional = spec.pixels == Pixels::Fractional;
        let statistics = spec.statistics.iter().map(|statistic| {
            let name = format!("{}{}", spec.prefix, statistic.name());
            let data_type = column_type(statistic.kind(), fractional);
            Arc::new(Field::new(name, data_type, true))
        });
        let fields = attributes.fields().iter().cloned().chain(statistics);
        Schema::new(fields.collect::<Vec<_>>())
    }

    /// Looks through the values of every zone, in order: once for how often they occur, and again for percentiles.
    fn value_facts(&mut self) -> Result<Vec<ValueFacts>, TaskError> {
        let mut facts = vec![ValueFacts::default(); self.partials.len()];
        if !Needs::of(&self.stage.spec.statistics).values {
            return Ok(facts);
        }
        let categories = self.kinds.contains(&StatisticKind::Categories);
        let first = self.first;
        let mut merged = self.runs.merged().map_err(Error::from)?;
        while let Some(zone) = merged.zone() {
            let at = zone.checked_sub(first).ok_or(STRANGER)? as usize;
            let facts = facts.get_mut(at).ok_or(STRANGER)?;
            facts.frequencies = Frequencies::new(categories);
            while let Some((key, weight)) = merged.next_of(zone).map_err(Error::from)? {
                let pushed = facts.frequencies.push(from_key(key), weight);
                pushed.ok_or(Error::Categories { zone })?;
            }
        }
        let percentiles: Vec<f64> = self.kinds.iter().filter_map(percentile).collect();
        if percentiles.is_empty() {
            return Ok(facts);
        }
        let mut merged = self.runs.merged().map_err(Error::from)?;
        let fractional = self.stage.spec.pixels == Pixels::Fractional;
        while let Some(zone) = merged.zone() {
            let at = zone.checked_sub(first).ok_or(STRANGER)? as usize;
            let (Some(facts), Some(partial)) = (facts.get_mut(at), self.partials.get(at)) else {
                return Err(STRANGER);
            };
            let cells = |weight: u128| weight as f64 / f64::from(WHOLE);
            let mut quantiles = match fractional {
                true => {
                    let variety = facts.frequencies.variety;
                    Quantiles::of_weights(&percentiles, cells(partial.weight), variety)
                }
                false => Quantiles::of_cells(&percentiles, partial.weight),
            };
            while let Some((key, weight)) = merged.next_of(zone).map_err(Error::from)? {
                quantiles.push(from_key(key), weight, cells(weight));
            }
            facts.percentiles = quantiles.finish();
        }
        Ok(facts)
    }

    fn finish(self) -> Result<Done, TaskError> {
        if self.written as usize != self.partials.len() || self.schema.is_none() {
            return Err(STRANGER);
        }
        Ok(Done {
            stored_bytes: self.rows.finish().map_err(tables::Error::from)?,
            result: None,
        })
    }
}

const STRANGER: TaskError = TaskError::Bug {
    what: "zones of another range in a merge",
};

fn percentile(kind: &StatisticKind) -> Option<f64> {
    match kind {
        StatisticKind::Median => Some(50.0),
        StatisticKind::Percentile(percent) => Some(*percent),
        _ => None,
    }
}

fn column_type(kind: StatisticKind, fractional: bool) -> DataType {
    match kind {
        StatisticKind::Count | StatisticKind::Nodata if !fractional => DataType::UInt64,
        StatisticKind::Variety => DataType::UInt64,
        StatisticKind::Categories => DataType::Utf8,
        _ => DataType::Float64,
    }
}

fn column<'v>(cells: impl Iterator<Item = Option<&'v Value>>, data_type: &DataType) -> ArrayRef {
    match data_type {
        DataType::UInt64 => {
            let mut column = UInt64Builder::new();
            cells.for_each(|cell| {
                column.append_option(match cell {
                    Some(Value::Count(count)) => Some(*count),
                    _ => None,
                });
            });
            Arc::new(column.finish())
        }
        DataType::Utf8 => {
            let mut column = StringBuilder::new();
            cells.for_each(|cell| {
                column.append_option(match cell {
                    Some(Value::Text(text)) => Some(text),
                    _ => None,
                });
            });
            Arc::new(column.finish())
        }
        _ => {
            let mut column = Float64Builder::new();
            cells.for_each(|cell| {
                column.append_option(match cell {
                    Some(Value::Number(number)) => Some(*number),
                    _ => None,
                });
            });
            Arc::new(column.finish())
        }
    }
}
