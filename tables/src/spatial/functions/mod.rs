//! The `ST_*` functions: geodatafusion's, made to take WKB everywhere, and relations of our own.

mod lenient;
mod relate;

use std::sync::Arc;

use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::ScalarUDF;
use datafusion::prelude::SessionContext;

use lenient::Lenient;
use relate::Relate;

use super::Relation;

/// Registers all `ST_*` functions.
///
/// They take geometries as WKB (with or without GeoArrow's field metadata), WKT, or in the encodings of GeoArrow.
///
/// - measures: `ST_Area` `ST_Distance` `ST_Length`
/// - shapes: `ST_Centroid` `ST_ConvexHull` `ST_OrientedEnvelope` `ST_PointOnSurface` `ST_Simplify` `ST_SimplifyPreserveTopology`
///   `ST_SimplifyVW`
/// - relations: `ST_Contains` `ST_CoveredBy` `ST_Covers` `ST_Crosses` `ST_Disjoint` `ST_Equals` `ST_Intersects` `ST_Overlaps` `ST_Touches`
///   `ST_Within`
/// - parts: `ST_CoordDim` `ST_Dump` `ST_EndPoint` `ST_GeometryType` `GeometryType` `ST_IsClosed` `ST_IsEmpty` `ST_IsValid` `ST_IsValidReason`
///   `ST_M` `ST_NDims` `ST_NPoints` `ST_NumInteriorRings` `ST_StartPoint` `ST_X` `ST_Y` `ST_Z`
/// - boxes: `Box2D` `Box3D` `ST_Extent` (an aggregate) `ST_MakeBox2D` `ST_3DMakeBox` `ST_XMax` `ST_XMin` `ST_YMax` `ST_YMin` `ST_ZMax` `ST_ZMin`
/// - from and to: `ST_AsBinary` `ST_AsText` `ST_Box2DFromGeoHash` `ST_GeoHash` `ST_GeomFromText` `ST_GeomFromWKB` `ST_MakePoint`
///   `ST_MakePointM` `ST_Point` `ST_PointFromGeoHash` `ST_PointM` `ST_PointZ` `ST_PointZM`
pub fn register_functions(context: &SessionContext) {
    let kept = SessionContext::new_with_state(SessionStateBuilder::new().build());
    geodatafusion::register(&kept);
    let kept = kept.state();
    for function in kept.scalar_functions().values() {
        let function = Lenient::new(ScalarUDF::clone(function));
        context.register_udf(ScalarUDF::new_from_impl(function));
    }
    for function in kept.aggregate_functions().values() {
        context.register_udaf(function.as_ref().clone());
    }
    for relation in Relation::ALL {
        context.register_udf(function(relation));
    }
}

/// Returns the SQL function of a relation.
pub(super) fn function(relation: Relation) -> ScalarUDF {
    ScalarUDF::new_from_shared_impl(Arc::new(Relate::new(relation)))
}

#[cfg(test)]
mod tests;
