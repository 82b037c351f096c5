#!/usr/bin/env python3
"""Makes the table of spectral indices, and the values that its test expects.

    scripts/indices.py CATALOGUE_DIR [--expected]

CATALOGUE_DIR holds `spectral-indices-dict.json` of awesome-spectral-indices (MIT). Writes
`src/ops/local/indices.tsv`; with `--expected` (needs spyndex) also `src/ops/local/indices_expected.tsv`.
`indices_left_out.tsv` says which indices are left out, and why.
"""

import json
import math
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent.parent / "src" / "ops" / "local"
FUNCTIONS = {"log", "max", "min", "exp", "sqrt", "abs", "tanh"}

# Plausible surface reflectances, temperatures in kelvin and backscatter: every formula is defined on them.
SAMPLE = {
    "A": 0.05, "B": 0.06, "G": 0.09, "G1": 0.1, "Y": 0.11, "R": 0.08, "RE1": 0.15, "RE2": 0.3,
    "RE3": 0.36, "N": 0.4, "N2": 0.42, "S1": 0.22, "S2": 0.12, "T": 295.0, "T1": 296.0,
    "VV": 0.1, "VH": 0.02, "HH": 0.12, "HV": 0.03,
}


# Central wavelengths of Sentinel-2A in nm (the catalogue's bands.json), where a formula needs them.
WAVELENGTHS = {
    "lambdaG": 559.8, "lambdaR": 664.6, "lambdaN": 832.8, "lambdaN2": 864.7, "lambdaS1": 1613.7, "lambdaS2": 2202.4,
}


def sample(band):
    """Returns the value of a band; one named by its wavelength (`R531`) rises with it."""
    return SAMPLE[band] if band in SAMPLE else round(int(band[1:].split("_")[0]) / 2000.0, 4)


def why_not(index):
    """Returns why an index cannot be computed from bands and constants alone, or None."""
    if index["external_variables"]:
        names = ", ".join(f"{k} ({v['description']})" for k, v in index["external_variables"].items())
        return f"it needs {names}, which is no band; use calc with a raster of it"
    if index["reductions"]:
        return "it needs a statistic of the whole scene, and cells are computed one by one"
    unknown = set(re.findall(r"([A-Za-z_]\w*)\s*\(", index["formula"])) - FUNCTIONS
    if unknown == {"kernel"}:
        return "it needs a kernel function, which the catalogue leaves open; use calc with one, such as exp(-(N - R) ** 2 / (2 * s ** 2))"
    if unknown:
        return "needs the function " + ", ".join(sorted(unknown))
    without = [
        c for c, facts in index["constants"].items()
        if facts.get("default_value") is None and c not in WAVELENGTHS
    ]
    if without:
        return "has no default for " + ", ".join(sorted(without))
    return None


def row(name, index):
    """Returns the facts of an index as the fields of a line."""
    def default(facts):
        value = facts.get("default_value")
        return "" if value is None else repr(float(value))

    constants = [f"{c}={default(v)}" for c, v in index["constants"].items()]
    return [
        name,
        index["name"],
        index["formula"],
        ",".join(index["bands"] + index["polarizations"]),
        ",".join(constants),
        index["classification"]["application_domain"],
        index["source"]["source_link"],
    ]


def expected(name, index):
    """Returns where a value comes from, its inputs and the value itself."""
    import spyndex

    bands = {band: sample(band) for band in index["bands"] + index["polarizations"]}
    constants = {
        c: WAVELENGTHS[c] if v.get("default_value") is None else float(v["default_value"])
        for c, v in index["constants"].items()
    }
    bands.update({c: WAVELENGTHS[c] for c in constants if c in WAVELENGTHS})
    known = spyndex.indices.get(name)
    if known is not None and known.formula == index["formula"].replace(" ", ""):
        source, value = "spyndex", spyndex.computeIndex(name, {**bands, **constants})
    else:
        functions = {"log": math.log, "max": max, "tanh": math.tanh}
        source, value = "python", eval(index["formula"], functions, {**bands, **constants})
    value = float(value)
    assert math.isfinite(value), (name, bands, value)
    return [name, source, ",".join(f"{b}={v!r}" for b, v in bands.items()), repr(value)]


def write(path, header, rows):
    lines = [f"# {line}" for line in header] + ["\t".join(fields) for fields in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    print(f"{path}: {len(rows)} indices", file=sys.stderr)


def main():
    catalogue = json.loads((pathlib.Path(sys.argv[1]) / "spectral-indices-dict.json").read_text())
    catalogue = catalogue.get("SpectralIndices", catalogue)
    taken, left_out = {}, []
    for name, index in sorted(catalogue.items()):
        reason = why_not(index)
        if reason:
            left_out.append([name, index["name"], reason])
        else:
            taken[name] = index
    header = [
        "Spectral indices: facts from awesome-spectral-indices, commit 926973262d11,",
        "Copyright (c) 2021 David Montero Loaiza, MIT licence. Made by scripts/indices.py; do not edit.",
        "name, long name, formula, bands, constants with their defaults (wavelengths have none), application domain, source",
    ]
    write(HERE / "indices.tsv", header, [row(*item) for item in taken.items()])
    header = [
        "Spectral indices of awesome-spectral-indices that are not computed, and why. Made by scripts/indices.py; do not edit.",
        "name, long name, why",
    ]
    write(HERE / "indices_left_out.tsv", header, left_out)
    if "--expected" in sys.argv:
        header = [
            "One value of each index, from spyndex 0.12.0 where its formula is the catalogue's,",
            "else from the formula evaluated by Python. Made by scripts/indices.py --expected; do not edit.",
            "name, where the value is from, inputs, value",
        ]
        rows = [expected(*item) for item in taken.items()]
        write(HERE / "indices_expected.tsv", header, rows)


main()
