//! GeoJSON: a `FeatureCollection`, one `Feature`, or a feature a line.
//!
//! - Properties are columns, typed as members of JSON lines are, but from the whole file; the geometry is the last
//!   column, `geometry`, as WKB. A property of that name is an error. The `id` of a feature is not kept.
//! - Coordinates are longitude and latitude on WGS 84 unless an old-style `crs` member says otherwise.
//! - A file is read whole by one task: its size is what it takes of memory, once as text.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryBuilder, RecordBatch};
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use object_store::{ObjectStore, ObjectStoreExt};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Error;
use super::facts::FileFacts;
use super::geojson_wkb::to_wkb;
use super::guard::guarded;
use super::locate::{Found, fetch_failed};
use super::split::Cuts;
use crate::geometry::{Crs, wkb_field};
use crate::ports::BoxError;

const GEOMETRY: &str = "geometry";

/// Reads a whole file and finds its columns.
pub(super) async fn facts(found: &Found, store: &Arc<dyn ObjectStore>) -> Result<FileFacts, Error> {
    let fetched = store.get(&found.meta.location).await;
    let fetched = fetched.map_err(|source| fetch_failed(&found.shown, source))?;
    let text = fetched
        .bytes()
        .await
        .map_err(|source| fetch_failed(&found.shown, source))?;
    let (schema, rows) = guarded(&found.shown, async {
        let document = Document::new(&text)?;
        let properties = document.features.iter().map(|f| f.properties().as_bytes());
        let columns = super::json::infer(properties)?;
        if columns.column_with_name(GEOMETRY).is_some() {
            return Err("a property is called geometry, as the geometry's column is".into());
        }
        let mut fields = columns.fields().to_vec();
        fields.push(Arc::new(wkb_field(GEOMETRY, &document.crs)));
        Ok((Arc::new(Schema::new(fields)), document.features.len()))
    })
    .await?;
    Ok(FileFacts {
        schema,
        rows: Some(rows),
        cuts: Cuts::Whole,
        footer: None,
    })
}

/// Decodes a whole file, a batch at a time.
///
/// - `schema`: all columns that are wanted; one that the file does not have is null.
pub(super) fn batches(
    text: Bytes,
    schema: SchemaRef,
    batch_rows: usize,
) -> Result<impl Iterator<Item = Result<RecordBatch, BoxError>>, BoxError> {
    // Where each feature's parts are in the text: a borrow of it would not live as long as the iterator.
    let place = |part: &str| {
        let start = part.as_ptr().addr() - text.as_ptr().addr();
        start..start + part.len()
    };
    let features: Vec<_> = Document::new(&text)?
        .features
        .iter()
        .map(|f| {
            (
                place_or_null(f.properties, &place),
                place_or_null(f.geometry, &place),
            )
        })
        .collect();
    let mut from = 0;
    Ok(std::iter::from_fn(move || {
        let rows = features.get(from..(from + batch_rows.max(1)).min(features.len()))?;
        if rows.is_empty() {
            return None;
        }
        from += rows.len();
        let part = |place: &Place| match place {
            Some(place) => text.get(place.clone()).unwrap_or_default(),
            None => b"null",
        };
        let rows = rows.iter().map(|(p, g)| (part(p), part(g)));
        Some(batch(rows.collect(), &schema))
    }))
}

type Place = Option<std::ops::Range<usize>>;

fn place_or_null(
    part: Option<&RawValue>,
    place: &impl Fn(&str) -> std::ops::Range<usize>,
) -> Place {
    part.map(|part| place(part.get()))
}

/// Decodes features, given as the text of their properties and of their geometry.
fn batch(features: Vec<(&[u8], &[u8])>, schema: &SchemaRef) -> Result<RecordBatch, BoxError> {
    let wanted = |field: &&Arc<arrow::datatypes::Field>| field.name() != GEOMETRY;
    let fields: Vec<_> = schema.fields().iter().filter(wanted).cloned().collect();
    let mut decoder = super::json::decoder(Arc::new(Schema::new(fields)), features.len().max(1))?;
    for (properties, _) in &features {
        let properties = match properties.trim_ascii() {
            b"null" => b"{}",
            object => object,
        };
        decoder.decode(properties)?;
    }
    let properties = decoder.flush()?;
    let mut geometry = BinaryBuilder::new();
    for (_, text) in &features {
        match serde_json::from_slice::<Option<&RawValue>>(text)? {
            Some(text) => geometry.append_value(to_wkb(text.get())?),
            None => geometry.append_null(),
        }
    }
    let geometry: ArrayRef = Arc::new(geometry.finish());
    let column = |field: &Arc<arrow::datatypes::Field>| match &properties {
        _ if field.name() == GEOMETRY => Ok(Arc::clone(&geometry)),
        Some(properties) => match properties.column_by_name(field.name()) {
            Some(column) => Ok(Arc::clone(column)),
            None => Err(format!("property {} is lost", field.name()).into()),
        },
        None => Err("the features have no properties".into()),
    };
    let columns: Result<Vec<_>, BoxError> = schema.fields().iter().map(column).collect();
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(features.len()));
    Ok(RecordBatch::try_new_with_options(
        Arc::clone(schema),
        columns?,
        &options,
    )?)
}

/// A file, taken apart as far as features.
struct Document<'a> {
    features: Vec<Feature<'a>>,
    crs: Crs,
}

#[derive(Deserialize)]
struct Feature<'a> {
    #[serde(rename = "type")]
    kind: std::borrow::Cow<'a, str>,
    #[serde(borrow, default)]
    properties: Option<&'a RawValue>,
    #[serde(borrow, default)]
    geometry: Option<&'a RawValue>,
}

impl<'a> Feature<'a> {
    fn new(text: &'a str) -> Result<Self, BoxError> {
        let feature: Self = serde_json::from_str(text)?;
        match feature.kind.as_ref() {
            "Feature" => Ok(feature),
            other => Err(format!("where a Feature should be is a {other}").into()),
        }
    }

    fn properties(&self) -> &'a str {
        self.properties.map_or("null", RawValue::get)
    }
}

impl<'a> Document<'a> {
    fn new(text: &'a [u8]) -> Result<Self, BoxError> {
        #[derive(Deserialize)]
        struct Collection<'a> {
            #[serde(rename = "type")]
            kind: std::borrow::Cow<'a, str>,
            #[serde(borrow, default)]
            features: Option<Vec<&'a RawValue>>,
            crs: Option<Value>,
        }
        let text = std::str::from_utf8(text)?;
        let text = text.trim_start_matches('\u{feff}');
        // Objects one after the other: RFC 8142 puts a record separator before each.
        let mut document = Self {
            features: Vec::new(),
            crs: Crs::Wgs84,
        };
        for object in objects(text) {
            let object: &RawValue = object?;
            let collection: Collection<'a> = serde_json::from_str(object.get())?;
            match (collection.kind.as_ref(), collection.features) {
                ("FeatureCollection", Some(features)) => {
                    for feature in features {
                        document.features.push(Feature::new(feature.get())?);
                    }
                }
                ("Feature", _) => document.features.push(Feature::new(object.get())?),
                (other, _) => {
                    return Err(format!(
                        "it is a {other}; a FeatureCollection or a Feature a line can be read"
                    )
                    .into());
                }
            }
            if let Some(crs) = collection.crs {
                document.crs = member_crs(&crs);
            }
        }
        Ok(document)
    }
}

fn objects(text: &str) -> impl Iterator<Item = Result<&RawValue, serde_json::Error>> {
    let parts = text.split('\u{1e}');
    parts.flat_map(|part| serde_json::Deserializer::from_str(part).into_iter())
}

/// Reads the `crs` member of GeoJSON before RFC 7946.
fn member_crs(crs: &Value) -> Crs {
    match crs.get("properties").and_then(|p| p.get("name")) {
        Some(name) => Crs::from_json(name),
        None => Crs::Unknown,
    }
}
