//! `swath operations`: what can be computed, and with which parameters.

use serde::Serialize;
use swath::ops::Registry;
use swath::ops::catalogue::{self, OperationInfo, Parameter};
use swath::ops::local::index::{self, Index};
use swath::ops::local::sensor;

use crate::arguments::Global;
use crate::failure::CliError;
use crate::output::{self, say};

#[derive(Serialize)]
struct OperationDocument<'a> {
    name: &'a str,
    summary: &'a str,
    parameters: Vec<ParameterDocument<'a>>,
    example: &'a str,
}

#[derive(Serialize)]
struct ParameterDocument<'a> {
    name: &'a str,
    meaning: &'a str,
    default: Option<&'a str>,
}

#[derive(Serialize)]
struct IndexDocument<'a> {
    name: &'a str,
    long_name: &'a str,
    formula: &'a str,
    bands: &'a [&'static str],
    constants: &'a [(&'static str, f64)],
    domain: &'a str,
    source: &'a str,
    wavelengths: &'a [&'static str],
    sensors: Vec<&'static str>,
}

pub(crate) fn operations(name: Option<&str>, global: &Global) -> Result<(), CliError> {
    match name {
        None => list(global),
        Some(name) => {
            if let Some(operation) = catalogue::find(name) {
                show_operation(operation, global);
            } else {
                let found =
                    index::get(name).map_err(|error| CliError::arguments("spec-index", &error))?;
                show_index(&found, global);
            }
        }
    }
    Ok(())
}

fn list(global: &Global) {
    if global.json {
        let operations: Vec<_> = catalogue::operations().iter().map(document).collect();
        let indices: Vec<Index> = index::all().collect();
        let indices: Vec<_> = indices.iter().map(index_document).collect();
        output::json(&serde_json::json!({ "operations": operations, "indices": indices }));
        return;
    }
    let rows: Vec<_> = catalogue::operations()
        .iter()
        .map(|operation| vec![operation.name.to_owned(), operation.summary.to_owned()])
        .collect();
    output::table(&["OPERATION", "WHAT"], &rows);
    say!("");
    let rows: Vec<_> = index::all()
        .map(|index| {
            vec![
                index.name.to_owned(),
                index.bands.join(" "),
                index.long_name.to_owned(),
            ]
        })
        .collect();
    output::table(&["INDEX", "BANDS", "WHAT"], &rows);
    say!("\nIndices of the catalogue that are not computed:");
    for (name, long_name, why) in index::left_out() {
        say!("  {name} ({long_name}): {why}");
    }
    say!("\nOperations of task queues known to every worker:");
    for (name, summary) in Registry::built_in().list() {
        say!("  {name}: {summary}");
    }
}

fn document(operation: &OperationInfo) -> OperationDocument<'_> {
    let parameter = |parameter: &'static Parameter| ParameterDocument {
        name: parameter.name,
        meaning: parameter.meaning,
        default: parameter.default,
    };
    let common: &[Parameter] = if operation.raster_output {
        catalogue::RASTER_OUTPUT
    } else {
        &[]
    };
    OperationDocument {
        name: operation.name,
        summary: operation.summary,
        parameters: operation
            .parameters
            .iter()
            .chain(common)
            .map(parameter)
            .collect(),
        example: operation.example,
    }
}

fn index_document(index: &Index) -> IndexDocument<'_> {
    IndexDocument {
        name: index.name,
        long_name: index.long_name,
        formula: index.formula,
        bands: &index.bands,
        constants: &index.constants,
        domain: index.domain,
        source: index.source,
        wavelengths: &index.wavelengths,
        sensors: sensors(index),
    }
}

/// Lists the sensors that have every band of an index.
fn sensors(index: &Index) -> Vec<&'static str> {
    let with = sensor::all()
        .iter()
        .filter(|sensor| sensor.bands_of(index).is_ok());
    with.map(|sensor| sensor.name).collect()
}

fn show_operation(operation: &OperationInfo, global: &Global) {
    let document = document(operation);
    if global.json {
        return output::json(&document);
    }
    say!("{}: {}\n", document.name, document.summary);
    let rows: Vec<_> = document
        .parameters
        .iter()
        .map(|parameter| {
            let default = parameter.default.unwrap_or("required").to_owned();
            vec![
                parameter.name.to_owned(),
                default,
                parameter.meaning.to_owned(),
            ]
        })
        .collect();
    output::table(&["PARAMETER", "DEFAULT", "MEANING"], &rows);
    say!("\n{}", document.example);
}

fn show_index(index: &Index, global: &Global) {
    if global.json {
        return output::json(&index_document(index));
    }
    say!("{}: {} ({})", index.name, index.long_name, index.domain);
    say!("  {} = {}", index.name, index.formula);
    say!("  bands: {}", index.bands.join(", "));
    if !index.constants.is_empty() {
        let list: Vec<_> = index
            .constants
            .iter()
            .map(|(name, value)| format!("{name} = {value}"))
            .collect();
        say!("  constants: {}", list.join(", "));
    }
    if !index.wavelengths.is_empty() {
        let names = index.wavelengths.join(", ");
        say!("  wavelengths in nm, from --sensor or --constant: {names}");
    }
    let sensors = sensors(index);
    if !sensors.is_empty() {
        say!("  sensors: {}", sensors.join(", "));
    }
    say!("  source: {}", index.source);
    let inputs: Vec<_> = index
        .bands
        .iter()
        .map(|band| format!("-i {band}=FILE"))
        .collect();
    say!(
        "\nswath run index {} {} -o OUT.tif",
        index.name,
        inputs.join(" ")
    );
}
