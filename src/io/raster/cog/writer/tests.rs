//! What is written is read back by the `tiff` crate, which shares no code with us.

use std::io::Cursor;

use tiff::decoder::{Decoder, DecodingResult};
use tiff::tags::Tag;

use super::*;
use crate::grid::{Affine, Block, Crs, DataType, Samples};
use crate::io::raster::encode::{TileEncoder, halve};
use crate::spec::Compression;
use crate::spec::Resampling;

const TILE: u32 = 16;

fn profile(width: u32, height: u32, bands: u16, dtype: DataType) -> RasterProfile {
    RasterProfile {
        width,
        height,
        bands,
        dtype,
        nodata: Some(7.0),
        crs: Crs {
            epsg: Some(32_630),
            key_directory: vec![1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32_630],
            double_params: vec![0.1],
            ascii_params: "a name|".to_owned(),
        },
        transform: Some(Affine::north_up(0.1, 4.7e6, 10.0, 10.0)),
        pixel_is_point: false,
    }
}

fn parts(
    profile: &RasterProfile,
    compression: Compression,
    overviews: bool,
) -> (PyramidLayout, TileFormat) {
    let layout = PyramidLayout::new(profile.width, profile.height, TILE, overviews, (64, 64));
    let format = TileFormat {
        tile: TILE,
        dtype: profile.dtype,
        bands: profile.bands,
        compression,
        nodata: profile.nodata,
    };
    (layout, format)
}

/// Writes a block with all its levels, the tiles of each level backwards.
fn write(
    profile: &RasterProfile,
    compression: Compression,
    block: &Block,
) -> (Vec<u8>, Vec<Block>) {
    let (layout, format) = parts(profile, compression, true);
    let mut levels = vec![block.clone()];
    for _ in 1..layout.levels {
        levels.push(halve(levels.last().unwrap(), Resampling::Average));
    }
    let mut encoder = TileEncoder::new(format);
    let mut cog = CogWriter::new(Cursor::new(Vec::new()), profile, &layout, &format).unwrap();
    for (level, block) in levels.iter().enumerate().rev() {
        let (across, down) = layout.level_tiles(level as u32);
        for tile in (0..across * down).rev() {
            let (col, row) = (tile % across, tile / across);
            let encoded = encoder.encode(block, col * TILE, row * TILE).unwrap();
            cog.write_tile(level as u32, col, row, &encoded).unwrap();
        }
    }
    (cog.finish().unwrap().into_inner(), levels)
}

/// Puts the bands of a block side by side, as a file holds them.
fn interleaved<T: Copy>(bands: &[&Vec<T>]) -> Vec<T> {
    let cells = bands[0].len();
    (0..cells)
        .flat_map(|at| bands.iter().map(move |band| band[at]))
        .collect()
}

macro_rules! round_trip {
    ($name:ident, $variant:ident, $result:ident, $make:expr) => {
        #[test]
        fn $name() {
            // LZW is left to the test of the compressor: tiff 0.11 does not get to the end code of
            // some tiles that weezl and libtiff read whole.
            for compression in [Compression::None, Compression::Deflate] {
                for bands in [1, 3] {
                    let (width, height) = (75, 40);
                    let make = $make;
                    let bands: Vec<_> = (0..bands)
                        .map(|band| {
                            let cell = |at| make(at * 37 % 251 + band);
                            Samples::$variant((0..width * height).map(cell).collect())
                        })
                        .collect();
                    let block = Block {
                        cols: width,
                        rows: height,
                        bands,
                        nodata: Some(7.0),
                        mask: None,
                    };
                    let dtype = block.bands[0].dtype();
                    let profile = profile(width, height, block.bands.len() as u16, dtype);
                    let (file, levels) = write(&profile, compression, &block);
                    let mut decoder = Decoder::new(Cursor::new(file)).unwrap();
                    for (level, block) in levels.iter().enumerate() {
                        assert_eq!(decoder.dimensions().unwrap(), (block.cols, block.rows));
                        let bands: Vec<_> = block
                            .bands
                            .iter()
                            .map(|band| match band {
                                Samples::$variant(samples) => samples,
                                other => panic!("{other:?}"),
                            })
                            .collect();
                        match decoder.read_image().unwrap() {
                            DecodingResult::$result(read) => {
                                assert_eq!(read, interleaved(&bands), "{compression:?} {level}");
                            }
                            other => panic!("read as {other:?}"),
                        }
                        let kind = decoder.get_tag_u32(Tag::NewSubfileType).unwrap();
                        assert_eq!(kind, u32::from(level > 0));
                        assert_eq!(decoder.more_images(), level + 1 < levels.len());
                        if decoder.more_images() {
                            decoder.next_image().unwrap();
                        }
                    }
                    assert_eq!(levels.len(), 4, "75 → 38 → 19 → 10");
                }
            }
        }
    };
}

round_trip!(bytes_come_back, UInt8, U8, |value: u32| value as u8);
round_trip!(signed_bytes_come_back, Int8, I8, |value: u32| value as i8);
round_trip!(shorts_come_back, UInt16, U16, |value: u32| value as u16
    * 250);
round_trip!(signed_longs_come_back, Int32, I32, |value: u32| value
    as i32
    * -900_000);
round_trip!(long_longs_come_back, UInt64, U64, |value: u32| u64::from(
    value
) << 50);
round_trip!(floats_come_back, Float32, F32, |value: u32| value as f32
    / 7.0);
round_trip!(doubles_come_back, Float64, F64, |value: u32| f64::from(
    value
) / -7.0);

#[test]
fn the_header_says_what_the_profile_says() {
    let profile = profile(75, 40, 1, DataType::UInt8);
    let block = Block {
        cols: 75,
        rows: 40,
        bands: vec![Samples::zeros(DataType::UInt8, 75 * 40)],
        nodata: None,
        mask: None,
    };
    let (file, _) = write(&profile, Compression::Deflate, &block);
    // Where a COG has the directory of level 0.
    assert_eq!(file[..8], [b'I', b'I', 42, 0, 8, 0, 0, 0]);
    let mut decoder = Decoder::new(Cursor::new(&file)).unwrap();
    let doubles = |decoder: &mut Decoder<_>, tag| decoder.get_tag_f64_vec(tag).unwrap();
    assert_eq!(
        doubles(&mut decoder, Tag::ModelPixelScaleTag),
        [10.0, 10.0, 0.0]
    );
    assert_eq!(
        doubles(&mut decoder, Tag::ModelTiepointTag),
        [0.0, 0.0, 0.0, 0.1, 4.7e6, 0.0]
    );
    assert_eq!(doubles(&mut decoder, Tag::GeoDoubleParamsTag), [0.1]);
    let keys = decoder.get_tag_u16_vec(Tag::GeoKeyDirectoryTag).unwrap();
    assert_eq!(keys, profile.crs.key_directory);
    let text = decoder
        .get_tag_ascii_string(Tag::GeoAsciiParamsTag)
        .unwrap();
    assert_eq!(text, "a name|");
    let nodata = decoder.get_tag_ascii_string(Tag::GdalNodata).unwrap();
    assert_eq!(nodata, "7");
    assert_eq!(decoder.get_tag_u32(Tag::Predictor).unwrap(), 2);
    assert_eq!(decoder.get_tag_u32(Tag::Compression).unwrap(), 8);
}

#[test]
fn a_great_raster_has_a_big_header_that_says_where_its_tiles_are() {
    // 70,000² bytes are 4.9e9: 17 × 17 tiles of 4,096.
    let mut profile = profile(70_000, 70_000, 1, DataType::UInt8);
    profile.transform = Some(Affine([0.5, 0.0, 2.0, 0.25, 3.0, 0.0]));
    let layout = PyramidLayout::new(70_000, 70_000, 4096, false, (4096, 4096));
    let (_, mut format) = parts(&profile, Compression::Deflate, false);
    format.tile = 4096;
    let mut cog = CogWriter::new(Cursor::new(Vec::new()), &profile, &layout, &format).unwrap();
    for row in 0..18 {
        for col in 0..18 {
            cog.write_tile(0, col, row, &[1, 2, 3]).unwrap();
        }
    }
    let file = cog.finish().unwrap().into_inner();
    assert_eq!(file[..4], [b'I', b'I', 43, 0]);
    let reserved = super::super::header_bytes(&profile, &layout, &format).unwrap();
    assert_eq!(file.len() as u64, reserved + 18 * 18 * 3);
    let mut decoder = Decoder::new(Cursor::new(&file)).unwrap();
    let offsets = decoder.get_tag_u64_vec(Tag::TileOffsets).unwrap();
    let expected: Vec<_> = (0..18 * 18).map(|tile| reserved + tile * 3).collect();
    assert_eq!(offsets, expected);
    let matrix = decoder
        .get_tag_f64_vec(Tag::ModelTransformationTag)
        .unwrap();
    assert_eq!(matrix[..8], [0.0, 2.0, 0.0, 0.5, 3.0, 0.0, 0.0, 0.25]);
}

#[test]
fn tiles_that_are_wrong_missing_or_out_of_order_are_refused() {
    let profile = profile(40, 20, 1, DataType::UInt8);
    let (layout, format) = parts(&profile, Compression::None, true);
    assert_eq!(layout.levels, 3, "40 → 20 → 10");
    let new = || CogWriter::new(Cursor::new(Vec::new()), &profile, &layout, &format).unwrap();
    let fails = |result: Result<(), Error>, text: &str| {
        let error = result.unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
    };
    let mut cog = new();
    fails(cog.write_tile(0, 0, 0, &[1]), "level 2 is due");
    fails(
        cog.write_tile(1, 0, 0, &[1]),
        "1 tiles of level 2 are missing",
    );
    fails(cog.write_tile(2, 1, 0, &[1]), "no tile at column 1");
    fails(cog.write_tile(2, 0, 0, &[]), "0 bytes");
    cog.write_tile(2, 0, 0, &[1]).unwrap();
    fails(cog.write_tile(2, 0, 0, &[1]), "twice");
    cog.write_tile(1, 1, 0, &[1]).unwrap();
    fails(cog.write_tile(1, 0, 1, &[1]), "no tile at column 0, row 1");
    fails(cog.write_tile(2, 0, 0, &[1]), "level 1 is due");
    fails(cog.finish().map(drop), "1 tiles of level 1 are missing");
    let mut cog = new();
    cog.write_tile(2, 0, 0, &[1]).unwrap();
    fails(cog.finish().map(drop), "2 tiles of level 1 are missing");
}

#[test]
fn parts_that_speak_of_different_rasters_are_refused() {
    let good = profile(40, 20, 1, DataType::UInt8);
    let (layout, format) = parts(&good, Compression::None, true);
    let check = |profile: &RasterProfile, format: &TileFormat, code: &str| {
        let error = CogWriter::new(Cursor::new(Vec::new()), profile, &layout, format).unwrap_err();
        assert_eq!(error.code(), code, "{error}");
    };
    check(
        &RasterProfile {
            width: 41,
            ..good.clone()
        },
        &format,
        "raster-mismatch",
    );
    check(
        &RasterProfile {
            bands: 2,
            ..good.clone()
        },
        &format,
        "raster-mismatch",
    );
    check(&good, &TileFormat { tile: 32, ..format }, "raster-mismatch");
    let mut unknown = good;
    unknown.crs.key_directory.clear();
    check(&unknown, &format, "crs-without-keys");
}
