"""Reads a workbook with openpyxl and says as JSON what it found. Every part has to be whole and well-formed XML."""

import json
import sys
import zipfile
from xml.etree import ElementTree

import openpyxl
from openpyxl.utils.escape import unescape


def cell(each):
    value, kind = each.value, type(each.value).__name__
    if kind == "str":
        # openpyxl leaves the format's own marks as they are.
        value = unescape(value)
    elif kind in ("datetime", "date", "time"):
        value = value.isoformat()
    elif kind == "timedelta":
        value = value.total_seconds()
    return {"kind": kind, "value": value, "format": each.number_format, "align": each.alignment.horizontal}


def sheet(each):
    rows = list(each.iter_rows())
    return {
        "name": each.title,
        "freeze": each.freeze_panes,
        "filter": each.auto_filter.ref,
        "widths": {letter: each.column_dimensions[letter].width for letter in each.column_dimensions},
        "bold": [c.font.b for c in rows[0]] if rows else [],
        "fill": [c.fill.fgColor.rgb for c in rows[0]] if rows else [],
        "bold_below": any(c.font.b for row in rows[1:] for c in row),
        "rows": [[cell(c) for c in row] for row in rows],
    }


path = sys.argv[1]
with zipfile.ZipFile(path) as archive:
    broken = archive.testzip()
    parts = archive.infolist()
    for part in parts:
        with archive.open(part) as stream:
            for _, element in ElementTree.iterparse(stream):
                element.clear()

book = openpyxl.load_workbook(path)
json.dump(
    {
        "broken": broken,
        "parts": [part.filename for part in parts],
        "zip64": any(part.extract_version >= 45 for part in parts),
        "times": sorted({part.date_time for part in parts}),
        "sheets": [sheet(each) for each in book.worksheets],
    },
    sys.stdout,
)
