//! The polygons of zonal statistics: read in order, by whoever asks.

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use swath_tables::geometry::Rings;
use swath_tables::zones::read_zones;
use tokio::runtime::Builder;

use super::{Error, Tables, ask};
use crate::spec::ZonalStats;

/// What is known of a file of polygons before its rows.
#[derive(Debug, Clone)]
pub(crate) struct ZoneTable {
    /// The columns.
    pub(crate) schema: SchemaRef,
    /// The place of the geometry among them.
    pub(crate) geometry: usize,
    /// The CRS as the file says it: a code, WKT or PROJJSON.
    pub(crate) crs: Option<String>,
}

/// Takes the rows of a file of polygons, batch by batch.
pub(crate) trait TakeZones<E> {
    /// Is told what the rows are like, once, before all of them.
    fn begin(&mut self, table: ZoneTable) -> Result<(), E>;
    /// Takes rows and the polygons of each; none for a null or an empty geometry.
    fn rows(&mut self, rows: RecordBatch, polygons: Vec<Vec<Rings>>) -> Result<(), E>;
}

impl Tables {
    /// Reads the polygons on this thread, which may block and compute.
    pub(crate) fn read_zones<E: From<Error>>(
        &self,
        spec: &ZonalStats,
        take: &mut impl TakeZones<E>,
    ) -> Result<(), E> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::Other(error.into()))?;
        let read = runtime.block_on(async {
            let format = spec.zones_format.map(ask::format);
            let mut zones = read_zones(&spec.zones, format, &self.sources)
                .await
                .map_err(Error::Zones)?;
            take.begin(ZoneTable {
                schema: zones.schema.clone(),
                geometry: zones.geometry(),
                crs: zones.crs(),
            })?;
            let mut before = 0;
            while let Some(rows) = zones.next().await.map_err(Error::Zones)? {
                let polygons = zones.polygons(&rows, before).map_err(Error::Zones)?;
                before += rows.num_rows() as u64;
                take.rows(rows, polygons)?;
            }
            Ok(())
        });
        // Reads that nobody waits for any more may go on for a moment.
        runtime.shutdown_background();
        read
    }
}
