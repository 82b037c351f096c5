use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryArray, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, UInt32Type};
use arrow::record_batch::RecordBatch;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::GreedyMemoryPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::repartition::RepartitionExec;
use datafusion::physical_plan::{
    ExecutionPlan, Partitioning, collect, replace_children_if_necessary,
};
use datafusion::prelude::SessionConfig;
use geo::{Coord, Geometry, Relate};
use geoarrow_array::GeoArrowArray;
use geoarrow_array::builder::WkbBuilder;
use geoarrow_schema::WkbType;
use proptest::prelude::*;
use proptest::strategy::Strategy as Generator;

use super::{Side, Strategy, physical_plan};
use crate::spatial::codec::{decode, encode};
use crate::spatial::geometry::bounds;
use crate::spatial::{Cells, Relation};

/// Geometries and their numbers, in batches of three over so many partitions.
fn table(geometries: &[Option<Geometry>], partitions: usize) -> Arc<dyn ExecutionPlan> {
    let mut builder = WkbBuilder::<i32>::new(WkbType::default());
    for geometry in geometries {
        builder.push_geometry(geometry.as_ref()).unwrap();
    }
    let wkb = builder.finish().to_array_ref();
    let numbers: ArrayRef = Arc::new(UInt32Array::from_iter_values(0..geometries.len() as u32));
    let fields = vec![
        Field::new("n", DataType::UInt32, false),
        Field::new("g", DataType::Binary, true),
    ];
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![numbers, wkb]).unwrap();
    let mut of_partitions = vec![Vec::new(); partitions];
    for start in (0..batch.num_rows()).step_by(3) {
        let rows = 3.min(batch.num_rows() - start);
        of_partitions[start / 3 % partitions].push(batch.slice(start, rows));
    }
    MemorySourceConfig::try_new_exec(&of_partitions, schema, None).unwrap()
}

async fn pairs(plan: Arc<dyn ExecutionPlan>) -> Vec<(u32, u32)> {
    let config = SessionConfig::new().with_batch_size(7);
    let context = Arc::new(TaskContext::default().with_session_config(config));
    let batches = collect(plan, context).await.unwrap();
    let mut pairs = Vec::new();
    for batch in batches {
        let of = |column: usize| {
            batch
                .column(column)
                .as_primitive::<UInt32Type>()
                .values()
                .to_vec()
        };
        pairs.extend(of(0).into_iter().zip(of(2)));
    }
    pairs.sort_unstable();
    pairs
}

/// What a loop over all pairs and the matrices of `geo` give.
fn oracle(
    left: &[Option<Geometry>],
    right: &[Option<Geometry>],
    relation: Relation,
) -> Vec<(u32, u32)> {
    let mut pairs = Vec::new();
    for (i, a) in (0..).zip(left) {
        for (j, b) in (0..).zip(right) {
            if let (Some(a), Some(b)) = (a, b)
                && bounds(a).is_some()
                && bounds(b).is_some()
                && relation.holds(&a.relate(b))
            {
                pairs.push((i, j));
            }
        }
    }
    pairs
}

fn joined(
    left: &[Option<Geometry>],
    right: &[Option<Geometry>],
    relation: Relation,
    strategy: Strategy,
) -> Arc<dyn ExecutionPlan> {
    physical_plan(table(left, 2), 1, table(right, 3), 1, relation, strategy).unwrap()
}

/// Everything is on whole numbers up to 12, so that edges, corners and cells meet often.
fn geometry() -> impl Generator<Value = Option<Geometry>> {
    let at = || {
        (0_i8..12, 0_i8..12).prop_map(|(x, y)| Coord {
            x: f64::from(x),
            y: f64::from(y),
        })
    };
    let size = || {
        (1_i8..6, 1_i8..6).prop_map(|(w, h)| Coord {
            x: f64::from(w),
            y: f64::from(h),
        })
    };
    let rect = move || (at(), size()).prop_map(|(at, size)| geo::Rect::new(at, at + size));
    let point = at().prop_map(|at| Geometry::Point(at.into()));
    let boxed = rect().prop_map(|rect| Geometry::Polygon(rect.to_polygon()));
    let holed = (at(), 3_i8..7).prop_map(|(at, size)| {
        let ring = |inset: f64| {
            let far = f64::from(size) - inset;
            geo::Rect::new(
                at + Coord { x: inset, y: inset },
                at + Coord { x: far, y: far },
            )
            .to_polygon()
            .exterior()
            .clone()
        };
        Geometry::Polygon(geo::Polygon::new(ring(0.0), vec![ring(1.0)]))
    });
    let triangle = (at(), size()).prop_map(|(at, size)| {
        let corners = [
            at,
            at + Coord { x: size.x, y: 0.0 },
            at + Coord { x: 0.0, y: size.y },
        ];
        Geometry::Polygon(geo::Triangle::from(corners).to_polygon())
    });
    let line =
        (at(), size()).prop_map(|(at, size)| Geometry::LineString(vec![at, at + size].into()));
    let islands = (at(), size()).prop_map(|(at, size)| {
        let far = at + Coord { x: 7.0, y: 0.0 };
        let polygons = [at, far].map(|at| geo::Rect::new(at, at + size).to_polygon());
        Geometry::MultiPolygon(polygons.to_vec().into())
    });
    let nothing = Just(Geometry::LineString(geo::LineString::new(vec![])));
    let any = prop_oneof![4 => point, 3 => boxed, 1 => holed, 1 => triangle, 1 => line, 1 => islands, 1 => nothing];
    prop_oneof![9 => any.prop_map(Some), 1 => Just(None)]
}

fn cells() -> impl Generator<Value = Cells> {
    let places = prop::collection::vec((0_i8..14, 0_i8..14), 0..30);
    (places, 1_u32..12).prop_map(|(places, count)| {
        let places = places.into_iter().map(|(x, y)| Coord {
            x: f64::from(x),
            y: f64::from(y),
        });
        Cells::fit(places.collect(), count)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn every_pair_is_found_once_whatever_the_cells_and_the_side_that_is_indexed(
        left in prop::collection::vec(geometry(), 0..30),
        right in prop::collection::vec(geometry(), 0..30),
        cells in cells(),
        partitions in 1_usize..5,
        relation in prop::sample::select(vec![
            Relation::Intersects, Relation::Within, Relation::Contains, Relation::Covers, Relation::CoveredBy, Relation::Touches,
        ]),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let expected = oracle(&left, &right, relation);
        for build in [Side::Left, Side::Right] {
            let partitioned = Strategy::Partitioned { build, cells: cells.clone(), partitions };
            for strategy in [Strategy::Broadcast { build }, partitioned] {
                let plan = joined(&left, &right, relation, strategy.clone());
                let found = runtime.block_on(pairs(plan));
                prop_assert_eq!(&found, &expected, "{:?} {:?}", relation, strategy);
            }
        }
    }
}

fn square(x: f64, y: f64, size: f64) -> Option<Geometry> {
    let far = Coord {
        x: x + size,
        y: y + size,
    };
    Some(Geometry::Polygon(
        geo::Rect::new(Coord { x, y }, far).to_polygon(),
    ))
}

fn four_cells() -> Cells {
    let corners = [(0.0, 0.0), (0.0, 10.0), (10.0, 0.0), (10.0, 10.0)];
    Cells::fit(corners.map(|(x, y)| Coord { x, y }).to_vec(), 4)
}

#[tokio::test]
async fn operators_do_the_same_after_being_bytes() {
    let left = [square(1.0, 1.0, 12.0), square(20.0, 20.0, 1.0)];
    let right = [square(5.0, 5.0, 7.0), None, square(20.5, 20.5, 1.0)];
    for strategy in [
        Strategy::Broadcast { build: Side::Right },
        Strategy::Partitioned {
            build: Side::Left,
            cells: four_cells(),
            partitions: 2,
        },
    ] {
        let plan = joined(&left, &right, Relation::Intersects, strategy);
        let copied = copy(&plan);
        assert_eq!(pairs(copied).await, [(0, 0), (1, 2)]);
    }
    assert_eq!(encode(table(&left, 1).as_ref()), None);
    assert!(
        decode(b"{}", &[])
            .unwrap_err()
            .to_string()
            .contains("cannot be read")
    );
}

/// Encodes and decodes every operator of ours in a plan.
fn copy(plan: &Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
    let children: Vec<_> = plan.children().into_iter().map(copy).collect();
    match encode(plan.as_ref()) {
        Some(bytes) => decode(&bytes, &children).unwrap(),
        None if children.is_empty() => Arc::clone(plan),
        None => replace_children_if_necessary(Arc::clone(plan), children).unwrap(),
    }
}

#[tokio::test]
async fn a_side_that_memory_does_not_hold_is_resources_exhausted() {
    let many: Vec<_> = (0..500).map(|i| square(f64::from(i), 0.0, 2.0)).collect();
    let plan = joined(
        &many,
        &many,
        Relation::Intersects,
        Strategy::Broadcast { build: Side::Left },
    );
    let pool = Arc::new(GreedyMemoryPool::new(10_000));
    let runtime = RuntimeEnvBuilder::new()
        .with_memory_pool(pool)
        .build_arc()
        .unwrap();
    let context = Arc::new(TaskContext::default().with_runtime(runtime));
    let error = collect(plan, context).await.unwrap_err();
    assert!(
        matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)),
        "{error}"
    );
}

#[tokio::test]
async fn a_finer_partitioning_by_the_cell_gives_the_same() {
    let left: Vec<_> = (0..20)
        .map(|i| square(f64::from(i), f64::from(i), 3.0))
        .collect();
    let plan = || {
        let build = Side::Left;
        let coarse = Strategy::Partitioned {
            build,
            cells: four_cells(),
            partitions: 1,
        };
        joined(&left, &left, Relation::Intersects, coarse)
    };
    let finer = |child: &Arc<dyn ExecutionPlan>| -> Arc<dyn ExecutionPlan> {
        let Partitioning::Hash(by, _) = child.properties().partitioning.clone() else {
            panic!("{child:?}")
        };
        Arc::new(RepartitionExec::try_new(Arc::clone(child), Partitioning::Hash(by, 5)).unwrap())
    };
    let coarse = plan();
    let children = coarse.children().into_iter().map(finer).collect();
    let found = pairs(replace_children_if_necessary(coarse, children).unwrap()).await;
    assert_eq!(found.len(), 20 + 2 * (19 + 18 + 17));
    assert_eq!(found, pairs(plan()).await);
}

#[tokio::test]
async fn a_geometry_that_is_no_wkb_is_an_error_with_column_and_row() {
    let schema = Arc::new(Schema::new(vec![Field::new(
        "shape",
        DataType::Binary,
        true,
    )]));
    let bytes: ArrayRef = Arc::new(BinaryArray::from_opt_vec(vec![None, Some(b"\x01\x03\x00")]));
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![bytes]).unwrap();
    let bad = MemorySourceConfig::try_new_exec(&[vec![batch]], schema, None).unwrap();
    let good = table(&[square(0.0, 0.0, 1.0)], 1);
    for strategy in [
        Strategy::Broadcast { build: Side::Left },
        Strategy::Partitioned {
            build: Side::Right,
            cells: four_cells(),
            partitions: 2,
        },
    ] {
        let plan = physical_plan(
            good.clone(),
            1,
            bad.clone(),
            0,
            Relation::Intersects,
            strategy,
        )
        .unwrap();
        let error = collect(plan, Arc::default()).await.unwrap_err().to_string();
        assert!(
            error.contains("column `shape`, row 1 of its batch, cannot be read"),
            "{error}"
        );
    }
}
