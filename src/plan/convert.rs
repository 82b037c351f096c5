//! Plans of `convert`: every band of one file, with its look.

use std::sync::Arc;

use super::PlanError;
use super::catalog::Catalog;
use super::planner::{checked_nodata, known, raster_plan, required_output};
use super::stage::{Conversion, KernelSpec, Plan, SourceBands};
use crate::grid::look::{Colours, Extra};
use crate::grid::profile::{RasterFacts, RasterProfile};
use crate::grid::{DataType, Look};
use crate::spec::{JobSpec, RasterOutput};

/// Plans a conversion.
///
/// What the internal mask says becomes no data where the output has a value for it, else a band of opacity.
pub(super) fn plan(spec: &JobSpec, catalog: &Catalog, input: &str) -> Result<Plan, PlanError> {
    let output = required_output(spec, "convert")?;
    let facts = known(catalog, input)?;
    let from = &facts.profile;
    let dtype = output.dtype.unwrap_or(from.dtype);
    let nodata = nodata(output, facts, dtype, input)?;
    let mask_to_alpha = facts.masked && nodata.is_none() && !dtype.is_float();
    let look = look(facts, dtype, mask_to_alpha);
    if mask_to_alpha && !can_have_alpha(facts, dtype, &look) {
        let path = input.to_owned();
        return Err(PlanError::Mask { path });
    }
    let sources = vec![SourceBands {
        path: input.to_owned(),
        bands: (1..=from.bands).collect(),
        version: None,
    }];
    let profile = RasterProfile {
        bands: from.bands.saturating_add(u16::from(mask_to_alpha)),
        dtype,
        nodata,
        ..from.clone()
    };
    let kernel = if dtype == from.dtype && !mask_to_alpha && look == Look::default() {
        KernelSpec::Copy
    } else {
        KernelSpec::Convert(Arc::new(Conversion {
            look,
            mask_to_alpha,
        }))
    };
    Ok(raster_plan(
        "convert", sources, kernel, profile, output, catalog,
    ))
}

/// Returns the value that means no data in the output.
fn nodata(
    output: &RasterOutput,
    facts: &RasterFacts,
    dtype: DataType,
    input: &str,
) -> Result<Option<f64>, PlanError> {
    let from = &facts.profile;
    match (output.nodata, from.nodata) {
        (Some(asked), _) => checked_nodata(dtype, asked).map(Some),
        (None, Some(known)) if dtype == from.dtype => Ok(Some(known)),
        (None, Some(known)) if dtype == DataType::Float32 => Ok(Some(f64::from(known as f32))),
        (None, Some(known)) => match checked_nodata(dtype, known) {
            Ok(known) => Ok(Some(known)),
            Err(_) => Err(PlanError::NodataOfInput {
                path: input.to_owned(),
                nodata: known,
                dtype,
            }),
        },
        // A NaN is no data in every float raster, and no integer.
        (None, None) if from.dtype.is_float() && !dtype.is_float() => {
            Err(PlanError::NodataMissing { dtype })
        }
        // What the mask leaves out becomes NaN, and readers must be told.
        (None, None) if facts.masked && dtype.is_float() => Ok(Some(f64::NAN)),
        (None, None) => Ok(None),
    }
}

/// Returns how the output is to be shown: as the input, as far as the type of its samples allows.
fn look(facts: &RasterFacts, dtype: DataType, mask_to_alpha: bool) -> Look {
    let mut look = facts.look.clone();
    let bands = facts.profile.bands;
    if dtype != facts.profile.dtype && matches!(look.colours, Colours::Palette(_)) {
        look.colours = Colours::Grey;
    }
    if mask_to_alpha {
        look.extra = look.extras(bands);
        look.extra.push(Extra::Alpha);
    } else if look
        .extras(bands)
        .iter()
        .all(|extra| *extra == Extra::Other)
    {
        look.extra.clear();
    }
    look
}

/// Tells whether a band of opacity can be added.
fn can_have_alpha(facts: &RasterFacts, dtype: DataType, look: &Look) -> bool {
    let palette = matches!(look.colours, Colours::Palette(_));
    let has_room = facts.profile.bands < u16::MAX && facts.look.alpha().is_none();
    dtype == facts.profile.dtype
        && matches!(dtype, DataType::UInt8 | DataType::UInt16)
        && !palette
        && has_room
}
