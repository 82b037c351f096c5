//! A window of a raster that is brought together from other grids: scene after scene, each read only where the window needs it.

use std::sync::Arc;

use futures::stream::{self, StreamExt};
use tokio::sync::OnceCell;

use super::{Done, Error, Executor, check_cancelled, group, tiles};
use crate::crs::{CellMap, Definition, Lattice, Mesh, SourceGrid};
use crate::grid::{Affine, Block, DataType, Samples, Window};
use crate::io::raster::read::{EncodedWindow, RasterFile};
use crate::ops::TaskContext;
use crate::ops::warp::{Positions, Resampler, SourceBand, Stack, StackShape, validity};
use crate::plan::stage::RasterStage;
use crate::plan::warp::{WarpGrid, WarpKernel, WarpLayer};
use crate::spec::WarpMethod;

/// Bytes of one source, encoded and decoded, that are held at once; a part of the output that needs more is cut. Plans reckon with less
/// (`SOURCE_BYTES` there), but around a pole all longitudes lie under a few cells.
const SOURCE_BYTES_MAX: u64 = 384 << 20;
/// Scenes that are read while another is computed, that one counted.
const SCENES_AT_ONCE: usize = 2;

impl Executor {
    pub(super) async fn run_warp(
        &self,
        raster: Arc<RasterStage>,
        kernel: Arc<WarpKernel>,
        context: TaskContext,
    ) -> Result<Done, Error> {
        let first = *group(&raster, 0)?;
        let window = raster
            .layout
            .window(&first, context.task.index)
            .ok_or(Error::Bug {
                what: "a task beyond the raster",
            })?;
        let mut whole = blank(&raster, &window);
        let rows = kernel.rows_at_once.clamp(1, window.rows.max(1));
        let mut parts = strips(window, rows);
        while let Some(part) = parts.pop() {
            check_cancelled(&context)?;
            match self.warp_part(&raster, &kernel, part, &context).await? {
                Some(block) if part == window => whole = block,
                Some(block) => paste(&mut whole, &window, &part, block)?,
                None => parts.extend(halves(part)),
            }
        }
        let block = whole;
        self.cpu
            .run(move || tiles::store_levels(&raster, &first, block, &context))
            .await?
    }

    /// Computes a part of a window; `None` when its sources are too large to be held at once.
    async fn warp_part(
        &self,
        raster: &RasterStage,
        kernel: &Arc<WarpKernel>,
        window: Window,
        context: &TaskContext,
    ) -> Result<Option<Block>, Error> {
        let output = &raster.output;
        let shape = StackShape {
            size: (window.cols, window.rows),
            bands: output.bands,
            combine: kernel.combine,
            dtype: output.dtype,
            nodata: output.nodata,
            nudge: kernel.method != WarpMethod::Nearest,
            scenes: u32::try_from(kernel.scenes.len()).unwrap_or(u32::MAX),
        };
        let meshes = Arc::new(Meshes::new(raster, kernel, window)?);
        let mut stack = self.cpu.run(move || Stack::new(&shape)).await?;
        let mut scenes = stream::iter(0..kernel.scenes.len())
            .map(|number| self.read_scene(kernel, number, &meshes))
            .buffered(SCENES_AT_ONCE);
        while let Some(scene) = scenes.next().await {
            let scene = match scene? {
                Read::Here(scene) => scene,
                Read::Elsewhere => continue,
                Read::TooLarge => return Ok(None),
            };
            let (kernel, cancelled) = (Arc::clone(kernel), context.clone());
            stack = self
                .cpu
                .run(move || {
                    scene.push(&kernel, window, &mut stack, &cancelled)?;
                    Ok::<_, Error>(stack)
                })
                .await??;
            if stack.is_settled() {
                break;
            }
        }
        drop(scenes);
        Ok(Some(self.cpu.run(move || stack.finish()).await?))
    }

    /// Reads what a window needs of a scene.
    async fn read_scene(
        &self,
        kernel: &WarpKernel,
        number: usize,
        meshes: &Arc<Meshes>,
    ) -> Result<Read<ReadScene>, Error> {
        let scene = kernel.scenes.get(number).ok_or(Error::Bug {
            what: "a scene that the kernel has not",
        })?;
        let mut layers = Vec::with_capacity(scene.layers.len());
        let mut band = 0;
        for layer in &scene.layers {
            match self.read_layer(layer, band, meshes, false).await? {
                Read::Here(read) => layers.push(read),
                Read::Elsewhere => {}
                Read::TooLarge => return Ok(Read::TooLarge),
            }
            band += layer.bands.len();
        }
        if layers.is_empty() {
            return Ok(Read::Elsewhere);
        }
        let mut read_mask = None;
        if let Some(mask) = &scene.mask {
            match self.read_layer(mask, 0, meshes, true).await? {
                Read::Here(read) => read_mask = Some(read),
                Read::Elsewhere => {}
                Read::TooLarge => return Ok(Read::TooLarge),
            }
        }
        Ok(Read::Here(ReadScene {
            layers,
            mask: read_mask,
        }))
    }

    async fn make_mesh(
        &self,
        meshes: Arc<Meshes>,
        number: usize,
        corners: bool,
    ) -> Result<Arc<Mesh>, Error> {
        let made = self.cpu.run(move || meshes.make(number, corners)).await?;
        made.map(Arc::new)
    }

    async fn read_layer(
        &self,
        layer: &WarpLayer,
        first_band: usize,
        meshes: &Arc<Meshes>,
        classes: bool,
    ) -> Result<Read<ReadLayer>, Error> {
        let number = layer.grid as usize;
        let place = meshes.place(number)?;
        let method = if classes {
            WarpMethod::Nearest
        } else {
            meshes.method
        };
        let corners = method.is_footprint();
        let cell = if corners {
            &place.corners
        } else {
            &place.centres
        };
        let mesh = cell
            .get_or_try_init(|| self.make_mesh(Arc::clone(meshes), number, corners))
            .await?;
        let resampler = Resampler::new(method, place.grid.scale);
        let source = &place.grid.grid;
        let Some(window) = mesh.source_window(source, resampler.reach()) else {
            return Ok(Read::Elsewhere);
        };
        let file =
            RasterFile::open_version(&self.ports.sources, &layer.path, layer.version).await?;
        check_place(&file, &layer.path, source, meshes)?;
        if !classes {
            check_type(&file, &layer.path, meshes)?;
        }
        let sample_bytes = 2 * file.facts().profile.dtype.bytes() as u64 + 1;
        let cell_bytes = sample_bytes * layer.bands.len() as u64;
        if window.cells().saturating_mul(cell_bytes) > SOURCE_BYTES_MAX && meshes.window.cells() > 1
        {
            return Ok(Read::TooLarge);
        }
        let encoded = file.fetch(&layer.bands, window).await?;
        Ok(Read::Here(ReadLayer {
            first_band,
            window,
            size: (source.width, source.height),
            around: source.is_around(),
            mesh: Arc::clone(mesh),
            resampler,
            corners,
            encoded,
        }))
    }
}

/// Checks that a file is what the plan was made for: a catalogue may have said so, or the file may be another by now.
fn check_place(
    file: &RasterFile,
    path: &str,
    planned: &SourceGrid,
    meshes: &Meshes,
) -> Result<(), Error> {
    let facts = file.facts();
    let moved = |problem: String| {
        Err(Error::Moved {
            path: path.to_owned(),
            problem,
        })
    };
    let found = &facts.profile;
    if (found.width, found.height) != (planned.width, planned.height) {
        return moved(format!(
            "it has {} × {} cells, not {} × {}",
            found.width, found.height, planned.width, planned.height
        ));
    }
    let transform = found.transform.unwrap_or(Affine::identity());
    let far = (f64::from(found.width), f64::from(found.height));
    let near = |(col, row)| {
        let ((x, y), (a, b)) = (transform.apply(col, row), planned.transform.apply(col, row));
        let cell = planned.transform.0[1].abs() + planned.transform.0[2].abs();
        (x - a).hypot(y - b) <= 1e-3 * cell
    };
    if !near((0.0, 0.0)) || !near(far) {
        let ([x, .., y, _, _], [a, .., b, _, _]) = (transform.0, planned.transform.0);
        return moved(format!("it begins at ({x}, {y}), not at ({a}, {b})"));
    }
    if !meshes.crs_is_given
        && let Ok(crs) = Definition::of(&found.crs)
        && crs != planned.crs
    {
        return moved(format!("its CRS is {crs}, not {}", planned.crs));
    }
    if facts.masked && meshes.nodata.is_none() {
        return moved("it has a mask, which the first scene has not; give --nodata".to_owned());
    }
    Ok(())
}

/// Checks that a file has the type that the plan was made for: values of another would be cut to fit.
fn check_type(file: &RasterFile, path: &str, meshes: &Meshes) -> Result<(), Error> {
    let found = file.facts().profile.dtype;
    match meshes.source_dtype {
        Some(wanted) if wanted != found => Err(Error::SceneType {
            path: path.to_owned(),
            found,
            wanted,
        }),
        _ => Ok(()),
    }
}

/// The positions of a window's cells in the grids of its scenes, each computed once, when a scene first needs it.
struct Meshes {
    method: WarpMethod,
    tolerance: f64,
    size: (u32, u32),
    window: Window,
    nodata: Option<f64>,
    crs_is_given: bool,
    source_dtype: Option<DataType>,
    places: Vec<Place>,
}

struct Place {
    grid: WarpGrid,
    map: CellMap,
    centres: OnceCell<Arc<Mesh>>,
    corners: OnceCell<Arc<Mesh>>,
}

impl Meshes {
    fn new(raster: &RasterStage, kernel: &WarpKernel, window: Window) -> Result<Self, Error> {
        let output = &raster.output;
        let transform = output.transform.ok_or(Error::Bug {
            what: "an output that is nowhere",
        })?;
        let place = |grid: &WarpGrid| {
            Ok::<_, Error>(Place {
                map: CellMap::new(transform, &kernel.crs, &grid.grid)?,
                grid: grid.clone(),
                centres: OnceCell::new(),
                corners: OnceCell::new(),
            })
        };
        Ok(Self {
            method: kernel.method,
            tolerance: kernel.tolerance,
            size: (output.width, output.height),
            window,
            nodata: output.nodata,
            crs_is_given: kernel.crs_is_given,
            source_dtype: kernel.source_dtype,
            places: kernel.grids.iter().map(place).collect::<Result<_, _>>()?,
        })
    }

    fn place(&self, number: usize) -> Result<&Place, Error> {
        self.places.get(number).ok_or(Error::Bug {
            what: "a scene on no grid",
        })
    }

    fn make(&self, number: usize, corners: bool) -> Result<Mesh, Error> {
        let place = self.place(number)?;
        let (width, height) = self.size;
        let Window {
            col,
            row,
            cols,
            rows,
        } = self.window;
        let (lattice, window) = if corners {
            (
                Lattice::corners(width, height),
                (col, row, cols + 1, rows + 1),
            )
        } else {
            (Lattice::centres(width, height), (col, row, cols, rows))
        };
        Ok(Mesh::new(&place.map, lattice, window, self.tolerance))
    }
}

/// What came of reading.
enum Read<T> {
    Here(T),
    /// It does not lie in the window.
    Elsewhere,
    /// It is more than can be held at once.
    TooLarge,
}

/// What a window needs of a scene.
struct ReadScene {
    layers: Vec<ReadLayer>,
    mask: Option<ReadLayer>,
}

struct ReadLayer {
    first_band: usize,
    window: Window,
    size: (u32, u32),
    around: bool,
    mesh: Arc<Mesh>,
    resampler: Resampler,
    corners: bool,
    encoded: EncodedWindow,
}

impl ReadScene {
    /// Computes the scene's values and pushes them onto a stack.
    fn push(
        self,
        kernel: &WarpKernel,
        window: Window,
        stack: &mut Stack,
        context: &TaskContext,
    ) -> Result<(), Error> {
        let mut mask = self.mask.map(Mask::new).transpose()?;
        let mut layers = Vec::with_capacity(self.layers.len());
        for layer in self.layers {
            check_cancelled(context)?;
            layers.push(Layer::new(layer)?);
        }
        let cols = window.cols as usize;
        let (mut values, mut valid) = (vec![0.0; cols], vec![false; cols]);
        let mut clear = vec![true; cols];
        for down in 0..window.rows {
            check_cancelled(context)?;
            if let Some(mask) = &mut mask {
                mask.row(window.row + down, &kernel.mask_values, &mut clear);
            }
            for layer in &mut layers {
                layer.lines.read(&layer.mesh, window.row + down, cols);
                for (band, samples) in layer.block.bands.iter().enumerate() {
                    let source = SourceBand {
                        window: layer.window,
                        size: layer.size,
                        samples,
                        around: layer.around,
                        valid: layer.valid.get(band).and_then(Option::as_deref),
                    };
                    let positions = layer.lines.positions();
                    layer
                        .resampler
                        .row(&source, positions, &mut values, &mut valid);
                    if mask.is_some() {
                        valid.iter_mut().zip(&clear).for_each(|(v, c)| *v &= *c);
                    }
                    stack.push(layer.first_band + band, down as usize, &values, &valid);
                }
            }
        }
        Ok(())
    }
}

/// A decoded layer.
struct Layer {
    first_band: usize,
    window: Window,
    size: (u32, u32),
    around: bool,
    mesh: Arc<Mesh>,
    resampler: Resampler,
    lines: Lines,
    block: Block,
    valid: Vec<Option<Vec<bool>>>,
}

impl Layer {
    fn new(read: ReadLayer) -> Result<Self, Error> {
        let block = read.encoded.decode()?;
        let valid = block
            .bands
            .iter()
            .map(|band| validity(&block, band))
            .collect();
        Ok(Self {
            first_band: read.first_band,
            window: read.window,
            size: read.size,
            around: read.around,
            mesh: read.mesh,
            resampler: read.resampler,
            lines: Lines {
                corners: read.corners,
                ..Lines::default()
            },
            block,
            valid,
        })
    }
}

/// Positions of one row of cells.
#[derive(Default)]
struct Lines {
    corners: bool,
    /// Columns and rows of the centres, or of the upper corners, then of the lower ones.
    positions: [Vec<f64>; 4],
    /// The row of corners that is in the lower lines.
    lower: Option<u32>,
}

impl Lines {
    fn read(&mut self, mesh: &Mesh, row: u32, cols: usize) {
        let [xs, ys, lower_xs, lower_ys] = &mut self.positions;
        if !self.corners {
            xs.resize(cols, 0.0);
            ys.resize(cols, 0.0);
            return mesh.row(row, xs, ys);
        }
        for line in [&mut *xs, &mut *ys, &mut *lower_xs, &mut *lower_ys] {
            line.resize(cols + 1, 0.0);
        }
        // The lower corners of one row are the upper ones of the next.
        if self.lower == Some(row) {
            std::mem::swap(xs, lower_xs);
            std::mem::swap(ys, lower_ys);
        } else {
            mesh.row(row, xs, ys);
        }
        mesh.row(row + 1, lower_xs, lower_ys);
        self.lower = Some(row + 1);
    }

    fn positions(&self) -> Positions<'_> {
        let [xs, ys, lower_xs, lower_ys] = &self.positions;
        if self.corners {
            Positions::Corners([xs, ys, lower_xs, lower_ys])
        } else {
            Positions::Centres(xs, ys)
        }
    }
}

/// The classes of a scene.
///
/// A cell without a class, beyond the mask's edge for one, is clear: a class says what to leave out. The mask's own no-data value is
/// a class like any other.
struct Mask {
    layer: Layer,
    values: Vec<f64>,
    valid: Vec<bool>,
}

impl Mask {
    fn new(read: ReadLayer) -> Result<Self, Error> {
        Ok(Self {
            layer: Layer::new(read)?,
            values: Vec::new(),
            valid: Vec::new(),
        })
    }

    fn row(&mut self, row: u32, classes: &[f64], clear: &mut [bool]) {
        let cols = clear.len();
        self.values.resize(cols, 0.0);
        self.valid.resize(cols, false);
        let layer = &mut self.layer;
        layer.lines.read(&layer.mesh, row, cols);
        clear.fill(true);
        let Some(samples) = layer.block.bands.first() else {
            return;
        };
        let source = SourceBand {
            window: layer.window,
            size: layer.size,
            samples,
            around: layer.around,
            valid: None,
        };
        let positions = layer.lines.positions();
        layer
            .resampler
            .row(&source, positions, &mut self.values, &mut self.valid);
        for (clear, (value, valid)) in clear.iter_mut().zip(self.values.iter().zip(&self.valid)) {
            *clear = !(*valid && classes.contains(value));
        }
    }
}

/// Makes the block of a window, with nothing in it yet.
fn blank(raster: &RasterStage, window: &Window) -> Block {
    let cells = usize::try_from(window.cells()).unwrap_or(usize::MAX);
    let output = &raster.output;
    let band = |_| Samples::zeros(output.dtype, cells);
    Block {
        cols: window.cols,
        rows: window.rows,
        bands: (0..output.bands).map(band).collect(),
        nodata: output.nodata,
        mask: None,
    }
}

/// Cuts a window into strips of some rows; the uppermost is the last.
fn strips(window: Window, rows: u32) -> Vec<Window> {
    let mut strips = Vec::new();
    let mut row = window.row;
    while row < window.row_end() {
        let rows = rows.min(window.row_end() - row);
        strips.push(Window {
            row,
            rows,
            ..window
        });
        row += rows;
    }
    strips.reverse();
    strips
}

/// Cuts a window of more than one cell along its longer side.
fn halves(window: Window) -> [Window; 2] {
    let (mut first, mut second) = (window, window);
    if window.cols >= window.rows {
        first.cols = window.cols / 2;
        second.cols -= first.cols;
        second.col += first.cols;
    } else {
        first.rows = window.rows / 2;
        second.rows -= first.rows;
        second.row += first.rows;
    }
    [second, first]
}

/// Copies a part into the window that it is a part of.
fn paste(whole: &mut Block, window: &Window, part: &Window, block: Block) -> Result<(), Error> {
    let (col, row) = (part.col - window.col, part.row - window.row);
    let (width, cols) = (whole.cols as usize, part.cols as usize);
    let start = row as usize * width + col as usize;
    for (to, from) in whole.bands.iter_mut().zip(&block.bands) {
        copy(to, from, (start, width, cols)).ok_or(Error::Bug {
            what: "a part of another type than its window",
        })?;
    }
    Ok(())
}

/// Copies rows of `cols` cells to `start` and every `width` cells after.
fn copy(
    to: &mut Samples,
    from: &Samples,
    (start, width, cols): (usize, usize, usize),
) -> Option<()> {
    macro_rules! copy {
        ($($variant:ident),*) => {
            match (to, from) {
                $((Samples::$variant(to), Samples::$variant(from)) => {
                    for (number, row) in from.chunks_exact(cols.max(1)).enumerate() {
                        let at = start + number * width;
                        to.get_mut(at..at + cols)?.copy_from_slice(row);
                    }
                })*
                _ => return None,
            }
        };
    }
    copy!(
        UInt8, Int8, UInt16, Int16, UInt32, Int32, UInt64, Int64, Float32, Float64
    );
    Some(())
}
