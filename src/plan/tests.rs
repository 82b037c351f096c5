//! Plans of jobs whose numbers can be checked by hand.

use super::{Catalog, PlanError, explain, plan};
use crate::grid::profile::RasterFacts;
use crate::grid::{Affine, Crs, DataType, RasterProfile};
use crate::ids::StageId;
use crate::spec::{
    JobOptions, JobSpec, NamedInput, RasterOutput, Resampling, SPEC_VERSION, TaskList,
    TaskOperation,
};

fn facts(size: u32, chunk: (u32, u32)) -> RasterFacts {
    let crs = Crs {
        epsg: Some(32630),
        ..Crs::default()
    };
    RasterFacts {
        profile: RasterProfile {
            width: size,
            height: size,
            bands: 1,
            dtype: DataType::UInt16,
            nodata: Some(0.0),
            crs,
            transform: Some(Affine::north_up(300_000.0, 5_900_000.0, 10.0, 10.0)),
            pixel_is_point: false,
        },
        chunk,
        stored_bytes: 0,
        masked: false,
        pixel_interleaved: false,
        classes: false,
        look: crate::grid::Look::default(),
        version: None,
    }
}

fn ndvi() -> JobSpec {
    let input = |name: &str| NamedInput {
        name: name.to_owned(),
        path: format!("/{name}.tif"),
        band: 1,
    };
    JobSpec {
        version: SPEC_VERSION,
        operation: TaskOperation::Index {
            names: vec!["NDVI".to_owned()],
            inputs: vec![input("N"), input("R")],
            scale: 1.0,
            offset: 0.0,
            constants: std::collections::BTreeMap::new(),
        },
        output: Some(RasterOutput::new("/out.tif").into()),
        options: JobOptions::default(),
    }
}

fn catalog(nir: RasterFacts, red: RasterFacts) -> Catalog {
    Catalog {
        query: None,
        zones: None,
        rasters: [("/N.tif".to_owned(), nir), ("/R.tif".to_owned(), red)].into(),
    }
}

#[test]
fn a_sentinel_2_tile_is_36_windows_one_overview_task_and_one_commit() {
    let tiled = facts(10_980, (512, 512));
    let plan = plan(&ndvi(), &catalog(tiled.clone(), tiled)).unwrap();
    let shapes = plan.shapes();
    let names: Vec<_> = shapes.iter().map(|s| (s.name.as_str(), s.tasks)).collect();
    assert_eq!(names, [("ndvi", 36), ("overviews 3-5", 1), ("commit", 1)]);
    assert_eq!(shapes[2].inputs, [StageId(0), StageId(1)]);
    assert_eq!(
        plan.task_inputs(StageId(1), 0),
        [(StageId(0), (0..36).collect())]
    );
    // Two inputs of 2 bytes, held twice, 4 bytes of output with its overviews and all of it encoded.
    let window = 2048 * 2048;
    assert_eq!(
        plan.stages[0].memory_bytes,
        (8 << 20) + window * 4 * 2 + window * 4 * 8 / 3
    );
    let text = explain::to_text(&explain::explain(&plan));
    assert!(text.contains("36 tasks"), "{text}");
}

#[test]
fn windows_over_a_file_of_strips_are_as_wide_as_the_raster() {
    let strips = facts(10_980, (10_980, 8));
    let plan = plan(&ndvi(), &catalog(strips.clone(), strips)).unwrap();
    // 10,980 rows in windows of 512.
    assert_eq!(plan.stages[0].tasks, 22);
}

#[test]
fn inputs_that_are_not_on_one_grid_are_refused() {
    let here = facts(100, (100, 100));
    let mut there = here.clone();
    there.profile.transform = Some(Affine::north_up(300_010.0, 5_900_000.0, 10.0, 10.0));
    let refused = plan(&ndvi(), &catalog(here.clone(), there.clone()));
    assert!(
        matches!(refused, Err(PlanError::Grids { .. })),
        "{refused:?}"
    );
    // A rounding error in the file is no other grid.
    there.profile.transform = Some(Affine::north_up(300_000.000_000_1, 5_900_000.0, 10.0, 10.0));
    assert!(plan(&ndvi(), &catalog(here.clone(), there.clone())).is_ok());
    there.profile.crs.epsg = Some(32631);
    assert!(plan(&ndvi(), &catalog(here, there)).is_err());
}

#[test]
fn a_million_tasks_are_a_number() {
    let spec = JobSpec {
        operation: TaskOperation::Custom {
            operation: crate::ids::OperationName::new("noop").unwrap(),
            tasks: TaskList::from_ndjson(&"{}\n".repeat(1_000_000)).unwrap(),
        },
        output: None,
        ..ndvi()
    };
    let plan = plan(&spec, &Catalog::default()).unwrap();
    assert_eq!(plan.stages[0].tasks, 1_000_000);
    assert!(crate::wire::encode(&plan).unwrap().len() < 200);
}

#[test]
fn a_spec_of_a_later_version_is_refused() {
    let spec = JobSpec {
        version: SPEC_VERSION + 1,
        ..ndvi()
    };
    let refused = plan(&spec, &Catalog::default());
    assert!(matches!(refused, Err(PlanError::Version { .. })));
}

#[test]
fn overviews_of_classes_are_nearest_and_of_measurements_means() {
    for classes in [false, true] {
        let facts = RasterFacts {
            classes,
            ..facts(2000, (512, 512))
        };
        let spec = JobSpec {
            operation: TaskOperation::Convert {
                input: "/N.tif".to_owned(),
            },
            ..ndvi()
        };
        let plan = plan(&spec, &catalog(facts.clone(), facts)).unwrap();
        let super::StageWork::Raster(raster) = &plan.stages[0].work else {
            panic!()
        };
        let wanted = if classes {
            Resampling::Nearest
        } else {
            Resampling::Average
        };
        assert_eq!(raster.resampling, wanted);
    }
}

#[test]
fn a_task_is_told_of_the_scenes_in_its_window_and_of_no_other() {
    use super::StageWork;
    use super::stage::KernelSpec;
    use crate::spec::{Combine, Composite, Scene, SceneLayer, TargetGrid, WarpSettings};

    // A row of 300 scenes of 1000 cells, each ten cells over the next.
    let mut catalog = Catalog::default();
    let scenes = (0..300).map(|n| {
        let path = format!("/scenes/{n}.tif");
        let mut facts = facts(1000, (512, 512));
        let left = 300_000.0 + 9_900.0 * f64::from(n);
        facts.profile.transform = Some(Affine::north_up(left, 5_900_000.0, 10.0, 10.0));
        catalog.rasters.insert(path.clone(), facts);
        Scene {
            layers: vec![SceneLayer {
                path,
                band: None,
                grid: None,
            }],
            mask: None,
        }
    });
    let spec = JobSpec {
        operation: TaskOperation::Composite(Composite {
            scenes: scenes.collect(),
            combine: Combine::Last,
            grid: TargetGrid::default(),
            warp: WarpSettings::default(),
            mask_values: Vec::new(),
        }),
        ..ndvi()
    };
    let plan = plan(&spec, &catalog).unwrap();
    // 299 × 990 + 1000 cells in windows of 2048: 145.03.
    assert_eq!(plan.stages[0].tasks, 146);
    let kernel = |work: &StageWork| match work {
        StageWork::Raster(raster) => match &raster.kernel {
            KernelSpec::Warp(kernel) => kernel.clone(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    };
    let third = kernel(&plan.stages[0].work.for_task(3));
    let paths: Vec<&str> = third
        .scenes
        .iter()
        .map(|s| s.layers[0].path.as_str())
        .collect();
    // Cells 6144 to 8191: scene n has cells 990 n to 990 n + 999, and the planner leaves a margin. The last wins.
    let sure = ["/scenes/8.tif", "/scenes/7.tif", "/scenes/6.tif"];
    assert!(paths.windows(3).any(|three| three == sure), "{paths:?}");
    assert!(
        paths.len() <= 5 && third.grids.len() == paths.len(),
        "{paths:?}"
    );
    let bytes = crate::wire::encode(&plan.stages[0].work.for_task(3)).unwrap();
    assert!(bytes.len() < 4000, "{}", bytes.len());
    // Stages that do not read scenes do not know them.
    let last = plan.stages.last().unwrap();
    assert!(crate::wire::encode(&last.work).unwrap().len() < 2000);
}

/// Plans a conversion of `/N.tif`; returns what is computed and what comes out.
fn convert(
    facts: RasterFacts,
    change: impl FnOnce(&mut RasterOutput),
) -> Result<super::stage::RasterStage, PlanError> {
    let mut output = RasterOutput::new("/out.tif");
    change(&mut output);
    let spec = JobSpec {
        operation: TaskOperation::Convert {
            input: "/N.tif".to_owned(),
        },
        output: Some(output.into()),
        ..ndvi()
    };
    let plan = plan(&spec, &catalog(facts.clone(), facts))?;
    match &plan.stages[0].work {
        super::StageWork::Raster(raster) => Ok((**raster).clone()),
        other => panic!("{other:?}"),
    }
}

fn masked(dtype: DataType, nodata: Option<f64>) -> RasterFacts {
    let mut facts = facts(100, (100, 100));
    facts.profile.dtype = dtype;
    facts.profile.nodata = nodata;
    facts.masked = true;
    facts
}

#[test]
fn a_mask_becomes_no_data_where_there_is_a_value_and_opacity_where_not() {
    use crate::grid::look::Extra;
    let plain = convert(masked(DataType::UInt16, Some(0.0)), |_| {}).unwrap();
    assert_eq!((plain.output.bands, plain.output.nodata), (1, Some(0.0)));
    assert_eq!(plain.kernel, super::stage::KernelSpec::Copy);

    let alpha = convert(masked(DataType::UInt16, None), |_| {}).unwrap();
    assert_eq!((alpha.output.bands, alpha.output.nodata), (2, None));
    assert_eq!(alpha.look().extra, [Extra::Alpha]);
    assert_eq!(alpha.alpha(), Some(1));

    let asked = convert(masked(DataType::UInt16, None), |o| o.nodata = Some(7.0)).unwrap();
    assert_eq!((asked.output.bands, asked.output.nodata), (1, Some(7.0)));

    let float = convert(masked(DataType::Float32, None), |_| {}).unwrap();
    assert!(float.output.nodata.is_some_and(f64::is_nan));

    let refused = convert(masked(DataType::Int32, None), |_| {});
    assert!(matches!(refused, Err(PlanError::Mask { .. })));
}

#[test]
fn no_data_of_the_input_is_kept_where_the_type_can_hold_it() {
    let input = |dtype, nodata| RasterFacts {
        masked: false,
        ..masked(dtype, nodata)
    };
    let to = |dtype| move |output: &mut RasterOutput| output.dtype = Some(dtype);
    let kept = convert(input(DataType::Float32, Some(-9999.0)), to(DataType::Int16)).unwrap();
    assert_eq!(kept.output.nodata, Some(-9999.0));
    assert_eq!(kept.output.dtype, DataType::Int16);
    let refused = convert(input(DataType::Float32, Some(-9999.0)), to(DataType::UInt8));
    assert!(matches!(refused, Err(PlanError::NodataOfInput { .. })));
    // A float raster may hold NaN, and no integer can say so.
    let refused = convert(input(DataType::Float64, None), to(DataType::UInt8));
    assert!(matches!(refused, Err(PlanError::NodataMissing { .. })));
    let none = convert(input(DataType::UInt8, None), to(DataType::UInt16)).unwrap();
    assert_eq!(none.output.nodata, None);
}

#[test]
fn overviews_are_made_as_asked() {
    let asked = convert(facts(2000, (512, 512)), |output| {
        output.overview_resampling = Some(Resampling::Nearest);
    });
    assert_eq!(asked.unwrap().resampling, Resampling::Nearest);
}
