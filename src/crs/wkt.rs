//! A CRS without a code: WKT (of OGC, of Esri, of ISO 19162) or PROJJSON, as parameters of PROJ.
//!
//! Known are the projections that zones and rasters come in most: transverse Mercator, Mercator, Lambert's conformal conic and azimuthal
//! equal-area, Albers. A shift between datums is applied where the text says it (`TOWGS84`); else there is none.

use serde_json::Value;

/// A keyword and what is in its brackets.
#[derive(Debug, Clone, Default)]
struct Node {
    keyword: String,
    texts: Vec<String>,
    numbers: Vec<f64>,
    nodes: Vec<Node>,
}

/// What PROJ must know of a CRS.
#[derive(Debug, Clone, Default)]
struct System {
    /// The method of the projection; nothing for longitude and latitude.
    method: Option<String>,
    parameters: Vec<(String, f64)>,
    /// Metres in a unit of length.
    metres: f64,
    ellipsoid: Option<(f64, f64)>,
    shift: Vec<f64>,
}

/// Returns the name that a CRS gives itself.
pub(crate) fn name(text: &str) -> Option<String> {
    match serde_json::from_str::<Value>(text) {
        Ok(json) => json.get("name")?.as_str().map(str::to_owned),
        Err(_) => parse(text)?.texts.into_iter().next(),
    }
}

/// Returns the EPSG code that a CRS gives itself.
pub(crate) fn code(text: &str) -> Option<u32> {
    if let Ok(json) = serde_json::from_str::<Value>(text) {
        let id = json.get("id")?;
        let epsg = id.get("authority")?.as_str()?.eq_ignore_ascii_case("epsg");
        return id.get("code")?.as_u64().filter(|_| epsg)?.try_into().ok();
    }
    let whole = parse(text)?;
    let mut ids = whole.nodes.iter();
    let id = ids.find(|node| matches!(node.keyword.as_str(), "AUTHORITY" | "ID"))?;
    match id.texts.as_slice() {
        [authority, code] if authority == "EPSG" => code.parse().ok(),
        [authority] if authority == "EPSG" => {
            let code = id.numbers.first().filter(|code| code.fract() == 0.0)?;
            format!("{code}").parse().ok()
        }
        _ => None,
    }
}

/// Writes a CRS as PROJ takes it; `None` when it is not understood.
pub(crate) fn proj_string(text: &str) -> Option<String> {
    let system = match serde_json::from_str::<Value>(text) {
        Ok(json) => from_json(&json)?,
        Err(_) => from_wkt(&parse(text)?)?,
    };
    let (a, flattening) = system.ellipsoid?;
    let mut out = match &system.method {
        None => "+proj=longlat".to_owned(),
        Some(method) => {
            let (projection, sphere) = projection(&plain(method))?;
            let mut out = format!("+proj={projection}");
            for (name, value) in &system.parameters {
                let known = parameter(&plain(name))?;
                if known.is_empty() {
                    continue;
                }
                let metres =
                    known.ends_with("_0") && (known.starts_with('x') || known.starts_with('y'));
                let value = if metres {
                    value * system.metres
                } else {
                    *value
                };
                out += &format!(" +{known}={value}");
            }
            if sphere {
                return Some(format!("{out} +a={a} +b={a} +units=m +no_defs"));
            }
            out + &format!(" +to_meter={}", system.metres)
        }
    };
    out += &match flattening {
        0.0 => format!(" +a={a} +b={a}"),
        flattening => format!(" +a={a} +rf={flattening}"),
    };
    if matches!(system.shift.len(), 3 | 7) {
        let shift: Vec<String> = system.shift.iter().map(f64::to_string).collect();
        out += &format!(" +towgs84={}", shift.join(","));
    }
    Some(out + " +no_defs")
}

/// Returns PROJ's name of a method, and whether the ellipsoid is taken as a sphere.
fn projection(method: &str) -> Option<(&'static str, bool)> {
    Some(match method {
        "transversemercator" | "gausskruger" => ("tmerc", false),
        "albers" | "albersconicequalarea" | "albersequalarea" => ("aea", false),
        "lambertconformalconic"
        | "lambertconformalconic1sp"
        | "lambertconformalconic2sp"
        | "lambertconicconformal1sp"
        | "lambertconicconformal2sp" => ("lcc", false),
        "lambertazimuthalequalarea" => ("laea", false),
        "mercator" | "mercator1sp" | "mercator2sp" | "mercatorvarianta" | "mercatorvariantb" => {
            ("merc", false)
        }
        "mercatorauxiliarysphere" | "popularvisualisationpseudomercator" => ("merc", true),
        _ => return None,
    })
}

fn parameter(name: &str) -> Option<&'static str> {
    Some(match name {
        "standardparallel1" | "latitudeof1ststandardparallel" => "lat_1",
        "standardparallel2" | "latitudeof2ndstandardparallel" => "lat_2",
        "latitudeoforigin"
        | "latitudeofcenter"
        | "latitudeofnaturalorigin"
        | "latitudeoffalseorigin" => "lat_0",
        "centralmeridian"
        | "longitudeofcenter"
        | "longitudeofnaturalorigin"
        | "longitudeoffalseorigin" => "lon_0",
        "scalefactor" | "scalefactoratnaturalorigin" => "k_0",
        "falseeasting" | "eastingatfalseorigin" => "x_0",
        "falsenorthing" | "northingatfalseorigin" => "y_0",
        // Esri's auxiliary sphere of type 0.
        "auxiliaryspheretype" => "",
        _ => return None,
    })
}

/// Leaves letters and digits, small.
fn plain(name: &str) -> String {
    let kept = name.chars().filter(char::is_ascii_alphanumeric);
    kept.map(|c| c.to_ascii_lowercase()).collect()
}

fn from_wkt(node: &Node) -> Option<System> {
    let projected = matches!(node.keyword.as_str(), "PROJCS" | "PROJCRS" | "PROJECTEDCRS");
    let geographic = matches!(
        node.keyword.as_str(),
        "GEOGCS" | "GEOGCRS" | "GEODCRS" | "GEOGRAPHICCRS"
    );
    if !projected && !geographic {
        // COMPD_CS, BOUNDCRS and others hold the horizontal system somewhere.
        return node.nodes.iter().find_map(from_wkt);
    }
    let ellipsoid = node.find(&["SPHEROID", "ELLIPSOID"])?;
    let shift = node.find(&["TOWGS84"]);
    let mut system = System {
        metres: 1.0,
        ellipsoid: Some((*ellipsoid.numbers.first()?, *ellipsoid.numbers.get(1)?)),
        shift: shift.map(|node| node.numbers.clone()).unwrap_or_default(),
        ..System::default()
    };
    if projected {
        let method = node.find(&["PROJECTION", "METHOD"])?;
        system.method = Some(method.texts.first()?.clone());
        let conversion = node.find(&["CONVERSION"]).unwrap_or(node);
        let parameters = conversion.nodes.iter().filter(|n| n.keyword == "PARAMETER");
        for parameter in parameters {
            let name = parameter.texts.first()?.clone();
            system.parameters.push((name, *parameter.numbers.first()?));
        }
        let own = node
            .nodes
            .iter()
            .rfind(|n| matches!(n.keyword.as_str(), "UNIT" | "LENGTHUNIT"));
        if let Some(metres) = own.and_then(|unit| unit.numbers.first()) {
            system.metres = *metres;
        }
    }
    Some(system)
}

fn from_json(json: &Value) -> Option<System> {
    let kind = json.get("type")?.as_str()?;
    let (base, conversion) = match kind {
        "ProjectedCRS" => (json.get("base_crs")?, Some(json.get("conversion")?)),
        "GeographicCRS" => (json, None),
        "BoundCRS" => return from_json(json.get("source_crs")?),
        "CompoundCRS" => return from_json(json.get("components")?.as_array()?.first()?),
        _ => return None,
    };
    let datum = base.get("datum").or_else(|| base.get("datum_ensemble"))?;
    let ellipsoid = datum.get("ellipsoid")?;
    let number = |key: &str| ellipsoid.get(key).and_then(Value::as_f64);
    let flattening = match (number("semi_major_axis"), number("semi_minor_axis")) {
        (Some(a), Some(b)) if a != b => a / (a - b),
        _ => number("inverse_flattening").unwrap_or(0.0),
    };
    let a = number("semi_major_axis").or_else(|| number("radius"))?;
    let mut system = System {
        metres: 1.0,
        ellipsoid: Some((a, flattening)),
        ..System::default()
    };
    if let Some(conversion) = conversion {
        system.method = Some(conversion.get("method")?.get("name")?.as_str()?.to_owned());
        for parameter in conversion.get("parameters")?.as_array()? {
            let name = parameter.get("name")?.as_str()?.to_owned();
            system
                .parameters
                .push((name, parameter.get("value")?.as_f64()?));
        }
    }
    // Other units are rare, and would have to be heeded in each place: not understood.
    let metres = !json.to_string().contains("\"LinearUnit\"");
    metres.then_some(system)
}

impl Node {
    /// Finds the first node of one of the keywords, itself left out.
    fn find(&self, keywords: &[&str]) -> Option<&Self> {
        self.nodes.iter().find_map(|node| {
            let is = keywords.contains(&node.keyword.as_str());
            if is { Some(node) } else { node.find(keywords) }
        })
    }
}

/// Deepest nesting of WKT.
const DEPTH_MAX: u32 = 32;

fn parse(text: &str) -> Option<Node> {
    let mut rest = text.trim();
    node(&mut rest, DEPTH_MAX)
}

fn node(rest: &mut &str, depth: u32) -> Option<Node> {
    let open = rest.find(['[', '('])?;
    let (keyword, after) = rest.split_at(open);
    let mut found = Node {
        keyword: keyword.trim().to_ascii_uppercase(),
        ..Node::default()
    };
    *rest = after.get(1..)?;
    let depth = depth.checked_sub(1)?;
    loop {
        *rest = rest.trim_start_matches([',', ' ', '\n', '\r', '\t']);
        let first = rest.chars().next()?;
        match first {
            ']' | ')' => {
                *rest = rest.get(1..)?;
                return Some(found);
            }
            '"' => {
                let (text, after) = rest.get(1..)?.split_once('"')?;
                found.texts.push(text.to_owned());
                *rest = after;
            }
            _ => {
                let end = rest.find([',', ']', ')', '[', '('])?;
                let word = rest.get(..end)?.trim();
                if rest.get(end..)?.starts_with(['[', '(']) {
                    found.nodes.push(node(rest, depth)?);
                } else {
                    // A word without brackets, such as `north`, says nothing that matters here.
                    found.numbers.extend(word.parse::<f64>());
                    *rest = rest.get(end..)?;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_three_kinds_become_the_same_parameters() {
        // As Esri writes it, as `gdalsrsinfo -o wkt2` and `-o projjson` print EPSG:32618.
        let esri = r#"PROJCS["WGS_1984_UTM_Zone_18N",GEOGCS["GCS_WGS_1984",DATUM["D_WGS_1984",SPHEROID["WGS_1984",6378137,298.257223563]],PRIMEM["Greenwich",0],UNIT["Degree",0.017453292519943295]],PROJECTION["Transverse_Mercator"],PARAMETER["latitude_of_origin",0],PARAMETER["central_meridian",-75],PARAMETER["scale_factor",0.9996],PARAMETER["false_easting",500000],PARAMETER["false_northing",0],UNIT["Meter",1]]"#;
        let iso = r#"PROJCRS["WGS 84 / UTM zone 18N",BASEGEOGCRS["WGS 84",DATUM["World Geodetic System 1984",ELLIPSOID["WGS 84",6378137,298.257223563,LENGTHUNIT["metre",1]]]],CONVERSION["UTM zone 18N",METHOD["Transverse Mercator",ID["EPSG",9807]],PARAMETER["Latitude of natural origin",0,ANGLEUNIT["degree",0.0174532925199433]],PARAMETER["Longitude of natural origin",-75],PARAMETER["Scale factor at natural origin",0.9996],PARAMETER["False easting",500000],PARAMETER["False northing",0]],CS[Cartesian,2],AXIS["(E)",east],LENGTHUNIT["metre",1]]"#;
        let json = r#"{"type":"ProjectedCRS","name":"x","base_crs":{"datum":{"ellipsoid":{"semi_major_axis":6378137,"inverse_flattening":298.257223563}}},"conversion":{"method":{"name":"Transverse Mercator"},"parameters":[{"name":"Latitude of natural origin","value":0},{"name":"Longitude of natural origin","value":-75},{"name":"Scale factor at natural origin","value":0.9996},{"name":"False easting","value":500000},{"name":"False northing","value":0}]}}"#;
        let expected = "+proj=tmerc +lat_0=0 +lon_0=-75 +k_0=0.9996 +x_0=500000 +y_0=0 +to_meter=1 +a=6378137 +rf=298.257223563 +no_defs";
        for text in [esri, iso, json] {
            assert_eq!(proj_string(text).as_deref(), Some(expected));
        }
        for text in ["", "{}", "PROJCS[", "LOCAL_CS[\"x\"]", &"A[".repeat(100)] {
            assert_eq!(proj_string(text), None, "{text}");
        }
    }
}
