//! Jobs on tables as the command line spells them.

use clap::{Args, ValueEnum};
use swath::TaskOperation;
use swath::spec::{
    JoinKind, NamedTable, Output, SpatialPredicate, TableCompression, TableFormat, TableInput,
    TableOutput, TableSettings,
};
use swath::units::parse_bytes;

use crate::failure::CliError;
use crate::job::absolute;

#[derive(Debug, Args)]
pub(crate) struct GroupBy {
    /// Columns that make a group, separated by commas
    #[arg(long, required = true)]
    by: String,
    /// Aggregates, such as 'sum(x), avg(y), count(*) as n'
    #[arg(long, required = true)]
    agg: String,
    /// Files, patterns or folders of the table
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Sort {
    /// Keys, such as 'a desc nulls last, b'
    #[arg(long, required = true)]
    by: String,
    /// Files, patterns or folders of the table
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Join {
    /// Files, patterns or folders of the left table
    #[arg(long, required = true, num_args = 1..)]
    left: Vec<String>,
    /// Files, patterns or folders of the right table
    #[arg(long, required = true, num_args = 1..)]
    right: Vec<String>,
    /// Columns that must be equal: k, or left=right; several separated by commas
    #[arg(long, required = true)]
    on: String,
    /// Which rows without a partner are kept
    #[arg(long, default_value = "inner")]
    how: JoinName,
    /// Send the right table whole to every task
    #[arg(long)]
    broadcast: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct Sql {
    /// The SELECT statement; it may begin with a comment
    #[arg(allow_hyphen_values = true)]
    statement: String,
    /// A table of the statement; given again for the same name it adds a file
    #[arg(long = "table", required = true, value_name = "NAME=PATH")]
    tables: Vec<String>,
    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(crate) struct SpatialJoin {
    /// Files, patterns or folders of the left table
    #[arg(long, required = true, num_args = 1..)]
    left: Vec<String>,
    /// Files, patterns or folders of the right table
    #[arg(long, required = true, num_args = 1..)]
    right: Vec<String>,
    /// How the left geometry stands to the right one
    #[arg(long, default_value = "intersects")]
    predicate: PredicateName,
    #[command(flatten)]
    common: Common,
}

/// Where a table goes.
#[derive(Debug, Args)]
pub(crate) struct OutputTable {
    /// The file to write, or a folder of parts when it ends in / or has no known extension
    #[arg(short, long, value_name = "OUT")]
    output: String,
    /// Replace an existing output
    #[arg(long)]
    overwrite: bool,
    /// Format of the output [default: by its name, Parquet for a folder]
    #[arg(long)]
    output_format: Option<FormatName>,
    /// Compression of Parquet pages [default: snappy]
    #[arg(long)]
    compress: Option<CompressionName>,
}

/// What all jobs on tables have.
#[derive(Debug, Args)]
struct Common {
    #[command(flatten)]
    output: OutputTable,
    /// Format of the inputs [default: by their names]
    #[arg(long)]
    format: Option<FormatName>,
    /// Partitions of every exchange [default: from the bytes at hand]
    #[arg(long)]
    partitions: Option<u32>,
    /// Bytes of input that one task should have at most [default: 128MiB]
    #[arg(long, value_parser = parse_bytes, value_name = "SIZE")]
    partition_size: Option<u64>,
    /// Send a side of a join whole to every task when it is smaller than this [default: 16MiB]
    #[arg(long, value_parser = parse_bytes, value_name = "SIZE")]
    broadcast_below: Option<u64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum FormatName {
    Parquet,
    Csv,
    Ndjson,
    Geojson,
    Arrow,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum CompressionName {
    None,
    Snappy,
    Zstd,
    Gzip,
    Lz4,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum JoinName {
    Inner,
    Left,
    Right,
    Full,
    Semi,
    Anti,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PredicateName {
    Intersects,
    Within,
    Contains,
}

type Made = Result<(TaskOperation, Option<Output>), CliError>;

impl GroupBy {
    pub(crate) fn into_spec(self) -> Made {
        let operation = TaskOperation::GroupBy {
            input: self.common.input(&self.inputs)?,
            by: split(&self.by),
            aggregates: split(&self.agg),
            settings: self.common.settings(),
        };
        Ok((operation, Some(self.common.output()?)))
    }
}

impl Sort {
    pub(crate) fn into_spec(self) -> Made {
        let operation = TaskOperation::Sort {
            input: self.common.input(&self.inputs)?,
            by: split(&self.by),
            settings: self.common.settings(),
        };
        Ok((operation, Some(self.common.output()?)))
    }
}

impl Join {
    pub(crate) fn into_spec(self) -> Made {
        let pair = |text: &String| match text.split_once('=') {
            Some((left, right)) => (left.trim().to_owned(), right.trim().to_owned()),
            None => (text.clone(), text.clone()),
        };
        let operation = TaskOperation::Join {
            left: self.common.input(&self.left)?,
            right: self.common.input(&self.right)?,
            on: split(&self.on).iter().map(pair).collect(),
            how: match self.how {
                JoinName::Inner => JoinKind::Inner,
                JoinName::Left => JoinKind::Left,
                JoinName::Right => JoinKind::Right,
                JoinName::Full => JoinKind::Full,
                JoinName::Semi => JoinKind::Semi,
                JoinName::Anti => JoinKind::Anti,
            },
            broadcast: self.broadcast,
            settings: self.common.settings(),
        };
        Ok((operation, Some(self.common.output()?)))
    }
}

impl Sql {
    pub(crate) fn into_spec(self) -> Made {
        let mut tables: Vec<NamedTable> = Vec::new();
        for text in &self.tables {
            let (name, path) = text.split_once('=').ok_or_else(|| {
                let message = format!("'{text}' is not NAME=PATH, such as fields=fields.parquet");
                CliError::asked("spec-table", message)
            })?;
            let path = absolute(path)?;
            match tables.iter_mut().find(|table| table.name == name) {
                Some(table) => table.input.paths.push(path),
                None => tables.push(NamedTable {
                    name: name.to_owned(),
                    input: TableInput {
                        paths: vec![path],
                        format: self.common.format.map(FormatName::into_spec),
                    },
                }),
            }
        }
        let operation = TaskOperation::Sql {
            statement: self.statement,
            tables,
            settings: self.common.settings(),
        };
        Ok((operation, Some(self.common.output()?)))
    }
}

impl SpatialJoin {
    pub(crate) fn into_spec(self) -> Made {
        let operation = TaskOperation::SpatialJoin {
            left: self.common.input(&self.left)?,
            right: self.common.input(&self.right)?,
            predicate: match self.predicate {
                PredicateName::Intersects => SpatialPredicate::Intersects,
                PredicateName::Within => SpatialPredicate::Within,
                PredicateName::Contains => SpatialPredicate::Contains,
            },
            settings: self.common.settings(),
        };
        Ok((operation, Some(self.common.output()?)))
    }
}

impl Common {
    fn input(&self, paths: &[String]) -> Result<TableInput, CliError> {
        let paths: Result<_, _> = paths.iter().map(|path| absolute(path)).collect();
        Ok(TableInput {
            paths: paths?,
            format: self.format.map(FormatName::into_spec),
        })
    }

    fn settings(&self) -> TableSettings {
        TableSettings {
            partitions: self.partitions,
            partition_bytes: self.partition_size,
            broadcast_bytes: self.broadcast_below,
        }
    }

    fn output(self) -> Result<Output, CliError> {
        self.output.into_spec()
    }
}

impl OutputTable {
    pub(crate) fn into_spec(self) -> Result<Output, CliError> {
        let mut path = absolute(&self.output)?;
        // Made absolute, a path loses the stroke that says that it is a folder.
        if self.output.ends_with('/') && !path.ends_with('/') {
            path.push('/');
        }
        Ok(Output::Table(TableOutput {
            path,
            overwrite: self.overwrite,
            format: self.output_format.map(FormatName::into_spec),
            compress: self.compress.map(CompressionName::into_spec),
        }))
    }
}

impl FormatName {
    pub(crate) const fn into_spec(self) -> TableFormat {
        match self {
            Self::Parquet => TableFormat::Parquet,
            Self::Csv => TableFormat::Csv,
            Self::Ndjson => TableFormat::Ndjson,
            Self::Geojson => TableFormat::Geojson,
            Self::Arrow => TableFormat::Arrow,
        }
    }
}

impl CompressionName {
    const fn into_spec(self) -> TableCompression {
        match self {
            Self::None => TableCompression::None,
            Self::Snappy => TableCompression::Snappy,
            Self::Zstd => TableCompression::Zstd,
            Self::Gzip => TableCompression::Gzip,
            Self::Lz4 => TableCompression::Lz4,
        }
    }
}

/// Splits a list at its commas, but not within parentheses or quotes.
fn split(list: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut depth, mut quote) = (0_u32, None);
    for c in list.chars() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('\'' | '"', None) => quote = Some(c),
            ('(', None) => depth += 1,
            (')', None) => depth = depth.saturating_sub(1),
            (',', None) if depth == 0 => {
                parts.push(String::new());
                continue;
            }
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(c);
        }
    }
    let trimmed = parts.iter().map(|part| part.trim().to_owned());
    trimmed.filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_split_at_its_own_commas_only() {
        let check = |list, expected: &[&str]| assert_eq!(split(list), expected);
        check("a, b", &["a", "b"]);
        check("sum(x), coalesce(y, 0),", &["sum(x)", "coalesce(y, 0)"]);
        check("\"a,b\" desc, 'c,('", &["\"a,b\" desc", "'c,('"]);
        check("", &[]);
    }
}
