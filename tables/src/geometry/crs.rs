//! The coordinate reference system of a geometry column, as files write it.

use serde_json::{Map, Value, json};

/// Where coordinates are.
#[derive(Debug, Clone, PartialEq)]
pub enum Crs {
    /// Longitude and latitude in degrees on WGS 84, in this order: `OGC:CRS84`, and `EPSG:4326` as files mean it.
    Wgs84,
    /// Not said.
    Unknown,
    /// A PROJJSON object.
    Projjson(Value),
    /// Text: an authority's code such as `EPSG:32618`, or WKT.
    Text(String),
}

impl Crs {
    /// Reads PROJJSON, an authority's code or WKT.
    ///
    /// In files x comes first whatever the authority says, so that `EPSG:4326` and `OGC:CRS84` are the same here.
    #[must_use]
    pub fn from_json(value: &Value) -> Self {
        match value {
            Value::Object(_) => Self::Projjson(value.clone()).simplified(),
            Value::String(text) => match serde_json::from_str(text) {
                Ok(object @ Value::Object(_)) => Self::from_json(&object),
                _ => Self::Text(text.clone()).simplified(),
            },
            _ => Self::Unknown,
        }
    }

    fn simplified(self) -> Self {
        match self.code().as_deref() {
            Some("OGC:CRS84" | "EPSG:4326") => Self::Wgs84,
            _ => self,
        }
    }

    /// Returns the authority and code, such as `EPSG:32618`, when they are said.
    #[must_use]
    pub fn code(&self) -> Option<String> {
        match self {
            Self::Wgs84 => Some("OGC:CRS84".to_owned()),
            Self::Unknown => None,
            Self::Projjson(object) => {
                let id = object.get("id")?;
                let code = match id.get("code")? {
                    Value::String(code) => code.clone(),
                    code => code.to_string(),
                };
                Some(format!("{}:{code}", id.get("authority")?.as_str()?))
            }
            Self::Text(text) => text_code(text),
        }
    }

    /// Tells whether coordinates of both can be compared: their codes agree, or what is written is equal.
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        match (self.code(), other.code()) {
            (Some(one), Some(two)) => one.eq_ignore_ascii_case(&two),
            _ => self == other,
        }
    }

    /// Returns PROJJSON, which is what GeoParquet asks for; nothing when the CRS is not known in that form.
    #[must_use]
    pub fn projjson(&self) -> Option<Value> {
        match self {
            Self::Wgs84 => Some(crs84()),
            Self::Projjson(object) => Some(object.clone()),
            Self::Unknown | Self::Text(_) => None,
        }
    }

    /// Returns the `crs` and `crs_type` members of GeoArrow's extension metadata.
    pub(super) fn members(&self) -> Map<String, Value> {
        let (crs, kind) = match self {
            Self::Unknown => return Map::new(),
            Self::Wgs84 => (crs84(), "projjson"),
            Self::Projjson(object) => (object.clone(), "projjson"),
            Self::Text(text) if text.contains('[') => (json!(text), "wkt2:2019"),
            Self::Text(text) => (json!(text), "authority_code"),
        };
        Map::from_iter([
            ("crs".to_owned(), crs),
            ("crs_type".to_owned(), json!(kind)),
        ])
    }
}

impl std::fmt::Display for Crs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (self.code(), self) {
            (Some(code), _) => f.write_str(&code),
            (None, Self::Text(text)) => f.write_str(text),
            (None, Self::Projjson(object)) => match object.get("name").and_then(Value::as_str) {
                Some(name) => f.write_str(name),
                None => f.write_str("a CRS without a name"),
            },
            (None, _) => f.write_str("an unknown CRS"),
        }
    }
}

/// Reads `EPSG:4326`, `urn:ogc:def:crs:EPSG::4326`, `http://www.opengis.net/def/crs/EPSG/0/4326`, or the last `ID` of WKT.
fn text_code(text: &str) -> Option<String> {
    let text = text.trim();
    if let Some(at) = text.rfind("ID[\"").or_else(|| text.rfind("AUTHORITY[\"")) {
        let mut words = text.get(at..)?.split(['[', ',', ']']).skip(1);
        let authority = words.next()?.trim().trim_matches('"');
        let code = words.next()?.trim().trim_matches('"');
        // The last identifier is that of the whole system only when nothing but brackets follows it.
        let rest: String = text.get(at..)?.chars().skip_while(|c| *c != ']').collect();
        return rest
            .chars()
            .all(|c| matches!(c, ']' | ' ' | '\n'))
            .then(|| format!("{authority}:{code}"));
    }
    let mut parts = text.split([':', '/']).filter(|part| !part.is_empty());
    let code = parts.next_back()?;
    let authority = parts.rfind(|part| part.chars().all(char::is_alphabetic))?;
    let short = code.chars().all(char::is_alphanumeric);
    short.then(|| format!("{}:{code}", authority.to_uppercase()))
}

/// Returns the PROJJSON of `OGC:CRS84`, as the GeoParquet specification prints it.
fn crs84() -> Value {
    json!({
        "$schema": "https://proj.org/schemas/v0.7/projjson.schema.json",
        "type": "GeographicCRS",
        "name": "WGS 84 longitude-latitude",
        "datum": {
            "type": "GeodeticReferenceFrame",
            "name": "World Geodetic System 1984",
            "ellipsoid": {
                "name": "WGS 84",
                "semi_major_axis": 6_378_137,
                "inverse_flattening": 298.257_223_563
            }
        },
        "coordinate_system": {
            "subtype": "ellipsoidal",
            "axis": [
                {
                    "name": "Geodetic longitude",
                    "abbreviation": "Lon",
                    "direction": "east",
                    "unit": "degree"
                },
                {
                    "name": "Geodetic latitude",
                    "abbreviation": "Lat",
                    "direction": "north",
                    "unit": "degree"
                }
            ]
        },
        "id": { "authority": "OGC", "code": "CRS84" }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_however_it_is_written() {
        for (text, code) in [
            ("EPSG:32618", "EPSG:32618"),
            ("urn:ogc:def:crs:EPSG::32618", "EPSG:32618"),
            ("http://www.opengis.net/def/crs/EPSG/0/32618", "EPSG:32618"),
            ("PROJCRS[\"x\",ID[\"EPSG\",32618]]", "EPSG:32618"),
            ("PROJCS[\"x\",AUTHORITY[\"EPSG\",\"32618\"]]", "EPSG:32618"),
        ] {
            let crs = Crs::from_json(&json!(text));
            assert_eq!(crs.code().as_deref(), Some(code), "{text}");
        }
        let inner = Crs::from_json(&json!("PROJCRS[\"x\",BASE[ID[\"EPSG\",4326]],CS[xy]]"));
        assert_eq!(inner.code(), None);
    }

    #[test]
    fn every_spelling_of_wgs_84_is_the_same_crs() {
        for text in [
            "EPSG:4326",
            "OGC:CRS84",
            "urn:ogc:def:crs:OGC:1.3:CRS84",
            "GEOGCRS[\"WGS 84\",ID[\"EPSG\",4326]]",
        ] {
            assert_eq!(Crs::from_json(&json!(text)), Crs::Wgs84, "{text}");
        }
        assert_eq!(Crs::from_json(&crs84()), Crs::Wgs84);
        assert_eq!(Crs::from_json(&Value::Null), Crs::Unknown);
        assert!(!Crs::Wgs84.same(&Crs::from_json(&json!("EPSG:3857"))));
    }
}
