use datafusion::error::DataFusionError;
use geoarrow_schema::error::GeoArrowError;

/// Says why geometries cannot be read or joined.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bytes or the text of a geometry are wrong.
    #[error("the geometry in column `{column}`, row {row} of its batch, cannot be read")]
    Unreadable {
        /// The column.
        column: String,
        /// The row within the batch, from 0.
        row: usize,
        /// What is wrong.
        source: Box<GeoArrowError>,
    },
    /// The type of a column is none that holds geometries.
    #[error(
        "column `{column}` of type {data_type} holds no geometries; WKB, WKT and GeoArrow columns do"
    )]
    NotGeometries {
        /// The column.
        column: String,
        /// Its type.
        data_type: String,
        /// What is wrong.
        source: Box<GeoArrowError>,
    },
    /// A side of a spatial join has no geometry column.
    #[error(
        "table `{table}` has no geometry column among {columns}; \
         for coordinates in columns use sql with ST_Intersects(ST_Point(lon, lat), …)"
    )]
    NoGeometryColumn {
        /// The table.
        table: String,
        /// The names of its columns.
        columns: String,
    },
    /// The sides of a join are in different coordinate reference systems.
    #[error("`{left}` is in {left_crs}, `{right}` in {right_crs}; reproject one of them first")]
    CrsDiffer {
        /// The geometry column of the left.
        left: String,
        /// Its CRS.
        left_crs: String,
        /// The geometry column of the right.
        right: String,
        /// Its CRS.
        right_crs: String,
    },
    /// A relation that pairs of far geometries have cannot be joined by.
    #[error("a spatial join by {relation} would pair nearly all rows; use it in WHERE instead")]
    NotJoinable {
        /// The relation.
        relation: &'static str,
    },
    /// The bytes of an operator are not those of this version.
    #[error("the bytes of a spatial operator cannot be read")]
    Bytes {
        /// What is wrong.
        source: serde_json::Error,
    },
    /// An operator was given a plan that does not fit it.
    #[error("{operator} cannot read a plan of {columns} columns by column {column}")]
    NoSuchColumn {
        /// The operator.
        operator: &'static str,
        /// The column that it needs.
        column: usize,
        /// The columns there are.
        columns: usize,
    },
    /// An operator was given too many or too few inputs, or inputs of different numbers of partitions.
    #[error("{operator} needs {needs}")]
    Inputs {
        /// The operator.
        operator: &'static str,
        /// What it needs.
        needs: &'static str,
    },
    /// More rows than an index counts.
    #[error("a partition of a spatial join has more than 4294967295 rows; use more partitions")]
    TooManyRows,
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        Self::External(Box::new(error))
    }
}
