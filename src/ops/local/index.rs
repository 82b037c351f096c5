//! Spectral indices by name: formulas in the grammar of [`super::calc`], with their bands and constants.
//!
//! The table is `indices.tsv`, made by `scripts/indices.py` from awesome-spectral-indices; it holds the indices that bands
//! and constants suffice for; `indices_left_out.tsv` says why the others are not there. Formulas are text until a program compiles them.

use std::fmt::Write as _;

use super::calc;

const TABLE: &str = include_str!("indices.tsv");
const LEFT_OUT: &str = include_str!("indices_left_out.tsv");

/// How many names [`Error::UnknownIndex`] suggests at most.
const NEAR_MAX: usize = 5;

/// Says why there is no such index.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Error {
    /// No index has the name.
    #[error(
        "there is no spectral index '{name}'{}; 'swath operations index' lists all",
        suggestion(near)
    )]
    UnknownIndex {
        /// The name.
        name: String,
        /// Names that are near to it, the nearest first.
        near: Vec<&'static str>,
    },
    /// The catalogue has the index, and it is not computed.
    #[error("index {name} ({long_name}) is not computed: {why}")]
    LeftOut {
        /// The name.
        name: &'static str,
        /// Name in words.
        long_name: &'static str,
        /// Why.
        why: &'static str,
    },
    /// A constant that has no default was not given.
    #[error(
        "index {index} needs {name}, the central wavelength of band {} in nm: name a sensor with --sensor, or give it with --constant {name}=NUMBER", wavelength_of(name).unwrap_or("?")
    )]
    ConstantMissing {
        /// The index.
        index: &'static str,
        /// The constant.
        name: &'static str,
    },
    /// None of the indices has such a constant.
    #[error("index {indices} has no constant '{name}'; {}", constants_text(known))]
    UnknownConstant {
        /// The indices.
        indices: String,
        /// The name.
        name: String,
        /// The constants that it has.
        known: Vec<&'static str>,
    },
    /// The value of a constant is not a number to compute with.
    #[error("constant '{name}' of index {index} must be finite, not {value}")]
    ConstantNotFinite {
        /// The index.
        index: &'static str,
        /// The constant.
        name: String,
        /// The value.
        value: f64,
    },
}

fn suggestion(near: &[&str]) -> String {
    match near {
        [] => String::new(),
        near => format!("; did you mean {}?", near.join(", ")),
    }
}

/// Returns the band whose central wavelength a constant is: `N` for `lambdaN`.
#[must_use]
pub fn wavelength_of(constant: &str) -> Option<&str> {
    constant
        .strip_prefix("lambda")
        .filter(|band| !band.is_empty())
}

fn constants_text(known: &[&str]) -> String {
    match known {
        [] => "it has none".to_owned(),
        known => format!("it has {}", known.join(", ")),
    }
}

/// A spectral index: a formula over bands, each by its letter in the catalogue (`N`, `R`, `S1`).
#[derive(Debug, Clone, PartialEq)]
pub struct Index {
    /// Short name, such as `NDVI`.
    pub name: &'static str,
    /// Name in words.
    pub long_name: &'static str,
    /// Formula over bands and constants, as published.
    pub formula: &'static str,
    /// The bands of the formula. Those of indices made for reflectance expect 0 to 1: see `--scale`.
    pub bands: Vec<&'static str>,
    /// The constants of the formula that have defaults.
    pub constants: Vec<(&'static str, f64)>,
    /// The constants of the formula that have none: central wavelengths of bands, in nm (`lambdaN` of band N).
    pub wavelengths: Vec<&'static str>,
    /// What it is for: vegetation, water, burn, snow, soil, urban, clouds, geology.
    pub domain: &'static str,
    /// Where it was published.
    pub source: &'static str,
}

impl Index {
    fn parse(line: &'static str) -> Option<Self> {
        let mut fields = line.split('\t');
        let mut next = || fields.next();
        let (name, long_name, formula) = (next()?, next()?, next()?);
        let bands = list(next()?).collect();
        let (without, with) = list(next()?).partition::<Vec<_>, _>(|entry| entry.ends_with('='));
        Some(Self {
            name,
            long_name,
            formula,
            bands,
            constants: with.into_iter().map(constant).collect::<Option<_>>()?,
            wavelengths: without
                .into_iter()
                .map(|entry| entry.trim_end_matches('='))
                .collect(),
            domain: next()?,
            source: next()?,
        })
    }

    /// Returns the formula with every constant at its default: an expression over the bands alone, and over the wavelengths.
    #[must_use]
    pub fn expression(&self) -> String {
        self.substituted(&self.constants)
    }

    /// Lists the names of the formula's constants, those with defaults first.
    fn constant_names(&self) -> impl Iterator<Item = &'static str> {
        let with = self.constants.iter().map(|(name, _)| *name);
        with.chain(self.wavelengths.iter().copied())
    }

    /// Returns the formula with those of these constants that it has, and the defaults of the others.
    fn expression_with(&self, values: &[(&str, f64)]) -> Result<String, Error> {
        let mut constants = self.constants.clone();
        for &(name, value) in values {
            let Some(known) = self.constant_names().find(|known| *known == name) else {
                continue;
            };
            if !value.is_finite() {
                return Err(Error::ConstantNotFinite {
                    index: self.name,
                    name: name.to_owned(),
                    value,
                });
            }
            match constants.iter_mut().find(|(known, _)| *known == name) {
                Some((_, default)) => *default = value,
                None => constants.push((known, value)),
            }
        }
        let given = |name: &str| constants.iter().any(|(given, _)| *given == name);
        if let Some(name) = self.wavelengths.iter().find(|name| !given(name)) {
            return Err(Error::ConstantMissing {
                index: self.name,
                name,
            });
        }
        Ok(self.substituted(&constants))
    }

    fn substituted(&self, constants: &[(&str, f64)]) -> String {
        let mut text = String::with_capacity(self.formula.len());
        let mut rest = self.formula;
        while !rest.is_empty() {
            let word = rest.bytes().take_while(|b| is_word(*b)).count();
            let other = rest.bytes().skip(word).take_while(|b| !is_word(*b)).count();
            let (name, tail) = rest.split_at(word);
            let (between, tail) = tail.split_at(other);
            match constants.iter().find(|(constant, _)| *constant == name) {
                // In parentheses, so that a negative value keeps its sign under a power.
                Some((_, value)) if *value < 0.0 => drop(write!(text, "({value:?})")),
                Some((_, value)) => drop(write!(text, "{value:?}")),
                None => text.push_str(name),
            }
            text.push_str(between);
            rest = tail;
        }
        text
    }

    /// Compiles the formula over the bands, in the order of [`Index::bands`], at the constants' defaults.
    ///
    /// # Errors
    /// When the formula needs a wavelength; else none for an index of the catalogue: a test compiles each.
    pub fn compile(&self) -> Result<calc::Program, calc::Error> {
        calc::compile(&self.expression(), &self.bands)
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn list(field: &'static str) -> impl Iterator<Item = &'static str> {
    field.split(',').filter(|entry| !entry.is_empty())
}

fn constant(entry: &'static str) -> Option<(&'static str, f64)> {
    let (name, value) = entry.split_once('=')?;
    Some((name, value.parse().ok()?))
}

/// Lists every index, sorted by name.
pub fn all() -> impl Iterator<Item = Index> {
    let lines = TABLE.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(Index::parse)
}

/// Finds an index by its short name: as it is spelled, else in any case where only one index has it so.
#[must_use]
pub fn find(name: &str) -> Option<Index> {
    if let Some(index) = all().find(|index| index.name == name) {
        return Some(index);
    }
    let mut found = all().filter(|index| index.name.eq_ignore_ascii_case(name));
    // BAI and BaI, MSR705 and mSR705 are different indices.
    found.next().filter(|_| found.next().is_none())
}

/// Finds an index by its short name as [`find`] does, or says which names are near.
///
/// # Errors
/// When there is none.
pub fn get(name: &str) -> Result<Index, Error> {
    if let Some(index) = find(name) {
        return Ok(index);
    }
    let mut left_out = left_out();
    let known = left_out.find(|(known, ..)| known.eq_ignore_ascii_case(name));
    Err(match known {
        Some((name, long_name, why)) => Error::LeftOut {
            name,
            long_name,
            why,
        },
        None => Error::UnknownIndex {
            name: name.to_owned(),
            near: near(name),
        },
    })
}

/// Returns the formula of each index with these constants, and the defaults of the others; an index takes the constants
/// that it has.
///
/// # Errors
/// When no index has such a constant, a value is not finite, or a wavelength is missing.
pub fn expressions(indices: &[Index], values: &[(&str, f64)]) -> Result<Vec<String>, Error> {
    let mut known: Vec<_> = indices.iter().flat_map(Index::constant_names).collect();
    if let Some((name, _)) = values.iter().find(|(name, _)| !known.contains(name)) {
        known.sort_unstable();
        known.dedup();
        let names: Vec<_> = indices.iter().map(|index| index.name).collect();
        return Err(Error::UnknownConstant {
            indices: names.join(","),
            name: (*name).to_owned(),
            known,
        });
    }
    indices
        .iter()
        .map(|index| index.expression_with(values))
        .collect()
}

/// Lists the indices of the catalogue that are not computed: name, name in words, and why.
pub fn left_out() -> impl Iterator<Item = (&'static str, &'static str, &'static str)> {
    let lines = LEFT_OUT.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| {
        let mut fields = line.split('\t');
        Some((fields.next()?, fields.next()?, fields.next()?))
    })
}

/// Lists names that differ by little, or whose long name holds the text.
fn near(name: &str) -> Vec<&'static str> {
    let wanted = name.to_ascii_lowercase();
    // A name is short: a longer text is no misspelling of one.
    if wanted.len() > 64 || wanted.is_empty() {
        return Vec::new();
    }
    let limit = 1 + wanted.len() / 4;
    let mut ranked: Vec<(usize, &'static str)> = all()
        .filter_map(|index| {
            let distance = edits(&wanted, &index.name.to_ascii_lowercase());
            let in_words =
                wanted.len() > 2 && index.long_name.to_ascii_lowercase().contains(&wanted);
            (distance <= limit || in_words).then_some((distance, index.name))
        })
        .collect();
    ranked.sort_unstable();
    ranked
        .into_iter()
        .take(NEAR_MAX)
        .map(|(_, name)| name)
        .collect()
}

/// Counts the letters to insert, delete or replace between two words (Levenshtein's distance).
fn edits(a: &str, b: &str) -> usize {
    let mut costs: Vec<usize> = (0..=b.len()).collect();
    for (row, from) in a.bytes().enumerate() {
        let mut diagonal = row;
        let mut left = row + 1;
        if let Some(first) = costs.first_mut() {
            *first = left;
        }
        for (cost, to) in costs.iter_mut().skip(1).zip(b.bytes()) {
            let best = (diagonal + usize::from(from != to))
                .min(*cost + 1)
                .min(left + 1);
            diagonal = std::mem::replace(cost, best);
            left = best;
        }
    }
    costs.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values from spyndex 0.12.0 or Python; see the head of the file.
    const EXPECTED: &str = include_str!("indices_expected.tsv");

    fn value(index: &Index, inputs: &str) -> f64 {
        let given: Vec<(&str, f64)> = inputs
            .split(',')
            .map(|pair| pair.split_once('=').unwrap())
            .map(|(band, value)| (band, value.parse().unwrap()))
            .collect();
        let of = |band: &&str| vec![given.iter().find(|(name, _)| name == band).unwrap().1];
        let cells: Vec<Vec<f64>> = index.bands.iter().map(of).collect();
        let slices: Vec<&[f64]> = cells.iter().map(Vec::as_slice).collect();
        let mut out = [0.0];
        let mut scratch = calc::Scratch::new();
        let constants: Vec<(&str, f64)> = given
            .iter()
            .filter(|(name, _)| index.wavelengths.contains(name))
            .copied()
            .collect();
        let expression = index.expression_with(&constants).unwrap();
        let program = calc::compile(&expression, &index.bands).unwrap();
        program.eval(&slices, &mut out, &mut scratch).unwrap();
        out[0]
    }

    #[test]
    fn every_index_has_the_value_that_spyndex_or_python_gives() {
        let lines = EXPECTED.lines().filter(|line| !line.starts_with('#'));
        let mut names = Vec::new();
        let mut from_spyndex = 0;
        for line in lines {
            let [name, source, inputs, expected] =
                line.split('\t').collect::<Vec<_>>().try_into().unwrap();
            let index = find(name).unwrap();
            let (got, expected) = (value(&index, inputs), expected.parse::<f64>().unwrap());
            let error = (got - expected).abs() / expected.abs().max(1e-3);
            assert!(error < 1e-12, "{name}: {got}, expected {expected}");
            names.push(name);
            from_spyndex += usize::from(source == "spyndex");
        }
        assert_eq!(names, all().map(|index| index.name).collect::<Vec<_>>());
        assert!(from_spyndex > 200, "{from_spyndex}");
    }

    #[test]
    fn every_band_of_every_index_is_used() {
        let mut lines = TABLE.lines().filter(|line| !line.starts_with('#'));
        assert_eq!(lines.clone().count(), all().count());
        assert!(lines.all(|line| line.split('\t').count() == 7));
        for index in all() {
            let lengths = (500..).step_by(100).map(f64::from);
            let lengths: Vec<_> = index.wavelengths.iter().copied().zip(lengths).collect();
            let expression = index.expression_with(&lengths).unwrap();
            let program = calc::compile(&expression, &index.bands).unwrap();
            assert_eq!(
                program.inputs_used().len(),
                index.bands.len(),
                "{}",
                index.name
            );
            // The catalogue's names are not those of constants, so that they can be found in a formula.
            let inputs = calc::parse_inputs(&expression).unwrap();
            assert_eq!(inputs.len(), index.bands.len(), "{}", index.name);
        }
    }

    #[test]
    fn every_index_of_the_catalogue_is_there_or_says_why_not() {
        assert_eq!(all().count() + left_out().count(), 328);
        let text = get("kndvi").unwrap_err().to_string();
        assert!(text.starts_with("index kNDVI (Kernel"), "{text}");
        assert!(text.contains("kernel function"), "{text}");
    }

    #[test]
    fn a_wavelength_has_no_default() {
        let fai = find("FAI").unwrap();
        assert_eq!(fai.wavelengths, ["lambdaN", "lambdaR", "lambdaS1"]);
        let text = fai.expression_with(&[("lambdaN", 832.8)]).unwrap_err();
        assert_eq!(
            text.to_string(),
            "index FAI needs lambdaR, the central wavelength of band R in nm: name a sensor with --sensor, or give it with --constant lambdaR=NUMBER"
        );
    }

    #[test]
    fn ndvi_is_the_difference_over_the_sum() {
        let ndvi = find("ndvi").unwrap();
        assert_eq!(ndvi.expression(), "(N - R)/(N + R)");
        assert_eq!(ndvi.bands, ["N", "R"]);
        assert_eq!(ndvi.constants, []);
        // Nothing is reordered: the quotient of 5000 - 1000 and 6000, rounded once.
        assert_eq!(value(&ndvi, "N=5000,R=1000"), 4000.0 / 6000.0);
    }

    #[test]
    fn constants_stand_in_the_expression_and_can_be_changed() {
        let savi = find("SAVI").unwrap();
        assert_eq!(savi.constants, [("L", 0.5)]);
        assert_eq!(savi.expression(), "(1.0 + 0.5) * (N - R) / (N + R + 0.5)");
        let other = savi.expression_with(&[("L", -0.25)]).unwrap();
        assert_eq!(other, "(1.0 + (-0.25)) * (N - R) / (N + R + (-0.25))");
        let text = expressions(std::slice::from_ref(&savi), &[("M", 1.0)]).unwrap_err();
        assert_eq!(text.to_string(), "index SAVI has no constant 'M'; it has L");
        let infinite = savi.expression_with(&[("L", f64::INFINITY)]).unwrap_err();
        assert_eq!(
            infinite.to_string(),
            "constant 'L' of index SAVI must be finite, not inf"
        );
    }

    #[test]
    fn of_several_indices_each_takes_the_constants_that_it_has() {
        let both = ["NDVI", "SAVI", "EVI"].map(|name| find(name).unwrap());
        assert_eq!(
            expressions(&both, &[("L", 0.25)]).unwrap()[..2],
            ["(N - R)/(N + R)", "(1.0 + 0.25) * (N - R) / (N + R + 0.25)"]
        );
        let text = expressions(&both, &[("M", 1.0)]).unwrap_err().to_string();
        assert_eq!(
            text,
            "index NDVI,SAVI,EVI has no constant 'M'; it has C1, C2, L, g"
        );
    }

    #[test]
    fn a_name_is_found_in_any_case_unless_two_indices_share_it() {
        assert_eq!(find("nDvI").unwrap().name, "NDVI");
        assert_eq!(find("BaI").unwrap().name, "BaI");
        assert_eq!(find("BAI").unwrap().name, "BAI");
        assert_eq!(find("bai"), None);
        assert_eq!(find(""), None);
    }

    #[test]
    fn an_unknown_name_suggests_near_ones() {
        let suggested = |name: &str| match get(name) {
            Err(Error::UnknownIndex { near, .. }) => near,
            other => panic!("{other:?}"),
        };
        assert!(suggested("NDVY").contains(&"NDVI"));
        assert_eq!(suggested("bai")[..2], ["BAI", "BaI"]);
        assert!(suggested("enhanced vegetation").contains(&"EVI"));
        assert_eq!(suggested("xyzzyxyzzyxy"), Vec::<&str>::new());
        assert_eq!(
            get("xyzzyxyzzyxy").unwrap_err().to_string(),
            "there is no spectral index 'xyzzyxyzzyxy'; 'swath operations index' lists all"
        );
    }
}
