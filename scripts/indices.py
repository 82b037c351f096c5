#!/usr/bin/env python3
"""Makes the table of spectral indices, and the values that its test expects.

    scripts/indices.py CATALOGUE_DIR [--expected]

CATALOGUE_DIR holds `spectral-indices-dict.json` of awesome-spectral-indices (MIT). Writes
`src/ops/local/indices.tsv`; with `--expected` (needs spyndex) also `src/ops/local/indices_expected.tsv`.
Says on stderr which indices are left out, and why.
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


def sample(band):
    """Returns the value of a band; one named by its wavelength (`R531`) rises with it."""
    return SAMPLE[band] if band in SAMPLE else round(int(band[1:].split("_")[0]) / 2000.0, 4)


def why_not(index):
    """Returns why an index cannot be computed from bands and constants alone, or None."""
    if index["external_variables"]:
        return "needs " + ", ".join(index["external_variables"])
    if index["reductions"]:
        return "needs a statistic of the whole scene"
    unknown = set(re.findall(r"([A-Za-z_]\w*)\s*\(", index["formula"])) - FUNCTIONS
    if unknown:
        return "needs the function " + ", ".join(sorted(unknown))
    without = [c for c, facts in index["constants"].items() if facts.get("default_value") is None]
    if without:
        return "has no default for " + ", ".join(sorted(without))
    return None


def row(name, index):
    """Returns the facts of an index as the fields of a line."""
    constants = [f"{c}={float(v['default_value'])!r}" for c, v in index["constants"].items()]
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
    constants = {c: float(v["default_value"]) for c, v in index["constants"].items()}
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
    taken = {}
    for name, index in sorted(catalogue.items()):
        reason = why_not(index)
        if reason:
            print(f"left out {name}: {reason}", file=sys.stderr)
        else:
            taken[name] = index
    header = [
        "Spectral indices: facts from awesome-spectral-indices, commit 926973262d11,",
        "Copyright (c) 2021 David Montero Loaiza, MIT licence. Made by scripts/indices.py; do not edit.",
        "name, long name, formula, bands, constants with their defaults, application domain, source",
    ]
    write(HERE / "indices.tsv", header, [row(*item) for item in taken.items()])
    if "--expected" in sys.argv:
        header = [
            "One value of each index, from spyndex 0.12.0 where its formula is the catalogue's,",
            "else from the formula evaluated by Python. Made by scripts/indices.py --expected; do not edit.",
            "name, where the value is from, inputs, value",
        ]
        rows = [expected(*item) for item in taken.items()]
        write(HERE / "indices_expected.tsv", header, rows)


main()
