//! An opened raster: its header, and where its chunks are.

use std::sync::Arc;

use super::Error;
use super::table::ChunkTable;
use crate::grid::RasterProfile;
use crate::grid::look::Colours;
use crate::grid::profile::RasterFacts;
use crate::io::raster::tiff::directory::{Directory, read_chain};
use crate::io::raster::tiff::image::{Form, Image, Role, role};
use crate::io::raster::tiff::{self, ByteOrder, HeaderReader, Tags, georeference, look, nodata};
use crate::io::source::{self, Source, Sources};

/// A GeoTIFF or COG whose header was read: its first image, and that image's internal mask.
#[derive(Debug)]
pub struct RasterFile {
    pub(super) source: Source,
    pub(super) facts: RasterFacts,
    pub(super) data: Layer,
    pub(super) mask: Option<Layer>,
}

/// An image and where its chunks are.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) image: Arc<Image>,
    pub(super) table: ChunkTable,
}

impl RasterFile {
    /// Opens a local path or a URL and reads its header, unless `sources` remembers it.
    ///
    /// # Errors
    /// When it cannot be read, is no TIFF, is damaged, or uses what Swath does not read (which the error names).
    pub async fn open(sources: &Sources, path: &str) -> Result<Arc<Self>, Error> {
        let source = sources.open(path).await?;
        let identity = source.identity().to_owned();
        if let Some(known) = sources.headers().get(&identity) {
            return Ok(known);
        }
        let shown = source.shown().to_owned();
        let file = Self::read_header(source)
            .await
            .map_err(|source| match source {
                tiff::Error::Source(source) => Error::Source(source),
                source => Error::Header {
                    path: shown,
                    source,
                },
            })?;
        let file = Arc::new(file);
        sources.headers().put(&identity, &file);
        Ok(file)
    }

    /// As [`RasterFile::open`], the state of the file for which a job was planned: all its tasks read the same one.
    ///
    /// # Errors
    /// As [`RasterFile::open`]; and when the file has changed since.
    pub async fn open_version(
        sources: &Sources,
        path: &str,
        version: Option<u64>,
    ) -> Result<Arc<Self>, Error> {
        let file = Self::open(sources, path).await?;
        let right = |file: &Self| version.is_none() || file.facts.version == version;
        if right(&file) {
            return Ok(file);
        }
        // What is remembered may be older than the plan.
        sources.forget(path);
        let file = Self::open(sources, path).await?;
        if right(&file) {
            return Ok(file);
        }
        let path = file.path().to_owned();
        Err(Error::Source(source::Error::Changed { path }))
    }

    /// Returns what the raster says of itself.
    #[must_use]
    pub fn facts(&self) -> &RasterFacts {
        &self.facts
    }

    /// Returns the path or URL, for people.
    #[must_use]
    pub fn path(&self) -> &str {
        self.source.shown()
    }

    /// Returns the memory that the header takes.
    pub(super) fn header_bytes(&self) -> usize {
        let crs = &self.facts.profile.crs;
        let mask = self.mask.as_ref().map_or(0, |mask| mask.table.bytes());
        let keys =
            crs.key_directory.len() * 2 + crs.double_params.len() * 8 + crs.ascii_params.len();
        let palette = match &self.facts.look.colours {
            Colours::Palette(palette) => palette.len() * 2,
            _ => 0,
        };
        let look = palette + self.facts.look.metadata.len();
        size_of::<Self>() + self.data.table.bytes() + mask + keys + look
    }

    async fn read_header(source: Source) -> Result<Self, tiff::Error> {
        let mut reader = HeaderReader::new(&source);
        let (format, directories) = read_chain(&mut reader).await?;
        let mut directories = directories.into_iter();
        let first = directories.next().ok_or(tiff::Error::NotATiff)?;
        let tags = Tags::load(&mut reader, format.order, first).await?;
        let image = Image::from_tags(&tags, source.len())?;
        let mask = find_mask(&mut reader, format.order, directories, &image).await?;
        let profile = profile(&tags, &image)?;
        let look = look(&tags, &image);

        let data = Layer::load(&mut reader, image).await?;
        let mask = match mask {
            Some(mask) => Some(Layer::load(&mut reader, mask).await?),
            None => None,
        };
        let facts = RasterFacts {
            chunk: (
                data.image.chunks.cols.min(profile.width),
                data.image.chunks.rows.min(profile.height),
            ),
            stored_bytes: data.table.stored_bytes().unwrap_or_else(|| source.len()),
            masked: mask.is_some(),
            pixel_interleaved: profile.bands > 1 && !data.image.planar,
            // Two classes, whatever their colours.
            classes: data.image.palette || data.image.form == Form::Packed(1),
            look,
            profile,
            version: source.version(),
        };
        Ok(Self {
            source,
            facts,
            data,
            mask,
        })
    }
}

impl Layer {
    async fn load(reader: &mut HeaderReader<'_>, image: Image) -> Result<Self, tiff::Error> {
        let table = ChunkTable::load(reader, &image).await?;
        Ok(Self {
            image: Arc::new(image),
            table,
        })
    }
}

/// Finds the first internal mask behind the first image that is not an overview's.
async fn find_mask(
    reader: &mut HeaderReader<'_>,
    order: ByteOrder,
    directories: impl Iterator<Item = Directory>,
    raster: &Image,
) -> Result<Option<Image>, tiff::Error> {
    for directory in directories {
        let tags = Tags::load(reader, order, directory).await?;
        if role(&tags)? != Role::Mask {
            continue;
        }
        let mask = Image::mask_from_tags(&tags, reader.file_len())?;
        if (mask.width, mask.height) == (raster.width, raster.height) {
            return Ok(Some(mask));
        }
    }
    Ok(None)
}

fn profile(tags: &Tags, image: &Image) -> Result<RasterProfile, tiff::Error> {
    let dtype = image.dtype;
    let place = georeference(tags)?;
    Ok(RasterProfile {
        width: image.width,
        height: image.height,
        bands: image.samples,
        dtype,
        nodata: nodata(tags, dtype),
        crs: place.crs,
        transform: place.transform,
        pixel_is_point: place.pixel_is_point,
    })
}
