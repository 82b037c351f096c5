//! A geometry that many others are compared with.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use geo::coordinate_position::CoordPos;
use geo::{Coord, CoordsIter, Geometry, Intersects, PreparedGeometry, Rect, Relate};

use super::geometry::bounds;
use super::locate::{Locator, areas, position};
use super::relation::Relation;

/// After so many points an area of so many vertices gets an index.
const INDEX_AFTER_POINTS: u32 = 8;
const INDEX_FROM_VERTICES: usize = 32;

/// Up to so many pairs of vertices, asking each pair of edges is quicker than a graph of both.
const PAIRWISE_VERTICES_MAX: usize = 4096;

/// A geometry that is not empty and whose coordinates are finite.
#[derive(Debug)]
pub(super) struct Subject {
    geometry: Geometry,
    bounds: Rect,
    vertices: usize,
    points_asked: AtomicU32,
    locator: OnceLock<Locator>,
}

impl Subject {
    /// Takes a geometry; `None` for one that no other can meet: empty, or with a coordinate that is not finite.
    pub(super) fn new(geometry: Geometry) -> Option<Self> {
        let bounds = bounds(&geometry)?;
        let vertices = geometry.coords_count();
        let (points_asked, locator) = (AtomicU32::new(0), OnceLock::new());
        Some(Self {
            geometry,
            bounds,
            vertices,
            points_asked,
            locator,
        })
    }

    pub(super) const fn bounds(&self) -> &Rect {
        &self.bounds
    }

    /// Returns the bytes that this takes at most, its index included.
    pub(super) const fn bytes(&self) -> usize {
        size_of::<Self>() + self.vertices * (size_of::<Coord>() + Locator::BYTES_PER_VERTEX)
    }

    /// Says of each of the others whether this one stands so to it.
    pub(super) fn relates(&self, relation: Relation, others: &[&Self]) -> Vec<bool> {
        let near: Vec<bool> = others
            .iter()
            .map(|other| self.bounds.intersects(&other.bounds))
            .collect();
        let mut prepared = None;
        let often = near.iter().filter(|near| **near).count() > 1;
        let relates = others.iter().zip(near).map(|(other, near)| {
            if !near {
                return relation == Relation::Disjoint;
            }
            match self.relates_to_point(relation, other) {
                Some(answer) => answer,
                None if self.is_pairwise(relation, other) => {
                    self.geometry.intersects(&other.geometry)
                }
                None if often => {
                    let prepared =
                        prepared.get_or_insert_with(|| PreparedGeometry::from(&self.geometry));
                    relation.holds(&prepared.relate(&other.geometry))
                }
                None => relation.holds(&self.geometry.relate(&other.geometry)),
            }
        });
        relates.collect()
    }

    fn is_pairwise(&self, relation: Relation, other: &Self) -> bool {
        let pairs = self.vertices.saturating_mul(other.vertices);
        relation == Relation::Intersects && pairs <= PAIRWISE_VERTICES_MAX
    }

    /// Answers when one of the two is an area and the other a point.
    fn relates_to_point(&self, relation: Relation, other: &Self) -> Option<bool> {
        match (&self.geometry, &other.geometry) {
            (_, Geometry::Point(point)) => Some(relation.area_to_point(self.position(point.0)?)),
            (Geometry::Point(point), _) => {
                Some(relation.flipped().area_to_point(other.position(point.0)?))
            }
            _ => None,
        }
    }

    /// Returns where a point lies, when this is an area.
    fn position(&self, point: Coord) -> Option<CoordPos> {
        let polygons = areas(&self.geometry)?;
        let asked = self.points_asked.fetch_add(1, Ordering::Relaxed);
        if self.vertices < INDEX_FROM_VERTICES || asked < INDEX_AFTER_POINTS {
            return Some(position(polygons, point));
        }
        let locator = self.locator.get_or_init(|| Locator::new(polygons));
        Some(locator.position(polygons, point))
    }
}
