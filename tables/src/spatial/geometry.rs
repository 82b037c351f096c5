//! Geometries of a column, whatever its encoding, and their bounding boxes.

use arrow::array::Array;
use arrow::datatypes::Field;
use geo::{Coord, CoordsIter, Geometry, GeometryCollection, MultiPoint, Rect};
use geo_traits::to_geo::{
    ToGeoLine, ToGeoLineString, ToGeoMultiLineString, ToGeoMultiPolygon, ToGeoPoint, ToGeoPolygon,
    ToGeoRect, ToGeoTriangle,
};
use geo_traits::{GeometryCollectionTrait, GeometryTrait, GeometryType, MultiPointTrait};
use geoarrow_array::array::from_arrow_array;
use geoarrow_array::{GeoArrowArray, GeoArrowArrayAccessor, downcast_geoarrow_array};
use geoarrow_schema::error::GeoArrowError;

use super::Error;

/// Reads the geometries of a column: WKB, WKT, or any encoding of GeoArrow; heights and measures are left out.
///
/// # Errors
/// When the column is of another type, or bytes are wrong.
pub(super) fn geometries(array: &dyn Array, field: &Field) -> Result<Vec<Option<Geometry>>, Error> {
    let column = from_arrow_array(array, field).map_err(|source| Error::NotGeometries {
        column: field.name().clone(),
        data_type: field.data_type().to_string(),
        source: Box::new(source),
    })?;
    let column = column.as_ref();
    read(column).map_err(|(row, source)| Error::Unreadable {
        column: field.name().clone(),
        row,
        source: Box::new(source),
    })
}

type Rows = Result<Vec<Option<Geometry>>, (usize, GeoArrowError)>;

fn read(column: &dyn GeoArrowArray) -> Rows {
    downcast_geoarrow_array!(column, read_rows)
}

fn read_rows<'a>(column: &'a impl GeoArrowArrayAccessor<'a>) -> Rows {
    let row = |row| match column.get(row) {
        Ok(geometry) => Ok(geometry.map(|geometry| planar(&geometry))),
        Err(source) => Err((row, source)),
    };
    (0..column.len()).map(row).collect()
}

/// Empty points have no form in `geo`: they are empty collections, and are left out of others.
fn planar(geometry: &impl GeometryTrait<T = f64>) -> Geometry {
    use GeometryType as Of;
    match geometry.as_type() {
        Of::Point(point) => match point.try_to_point() {
            Some(point) => Geometry::Point(point),
            None => Geometry::GeometryCollection(GeometryCollection::default()),
        },
        Of::LineString(line) => Geometry::LineString(line.to_line_string()),
        Of::Polygon(polygon) => Geometry::Polygon(polygon.to_polygon()),
        Of::MultiPoint(points) => {
            let points = points.points().filter_map(|point| point.try_to_point());
            Geometry::MultiPoint(MultiPoint::new(points.collect()))
        }
        Of::MultiLineString(lines) => Geometry::MultiLineString(lines.to_multi_line_string()),
        Of::MultiPolygon(polygons) => Geometry::MultiPolygon(polygons.to_multi_polygon()),
        Of::GeometryCollection(collection) => {
            let members = collection.geometries().map(|member| planar(&member));
            Geometry::GeometryCollection(GeometryCollection::from(members.collect::<Vec<_>>()))
        }
        Of::Rect(rect) => Geometry::Polygon(rect.to_rect().to_polygon()),
        Of::Triangle(triangle) => Geometry::Polygon(triangle.to_triangle().to_polygon()),
        Of::Line(line) => Geometry::LineString(line.to_line().into()),
    }
}

/// Returns the bounding box, or `None` when the geometry is empty or a coordinate is not a finite number.
pub(super) fn bounds(geometry: &Geometry) -> Option<Rect> {
    let mut corners: Option<(Coord, Coord)> = None;
    for at in geometry.coords_iter() {
        if !at.x.is_finite() || !at.y.is_finite() {
            return None;
        }
        let (min, max) = corners.get_or_insert((at, at));
        (min.x, min.y) = (min.x.min(at.x), min.y.min(at.y));
        (max.x, max.y) = (max.x.max(at.x), max.y.max(at.y));
    }
    corners.map(|(min, max)| Rect::new(min, max))
}
