"""Reads exported files with libraries that others wrote and compares every cell with what the table held.

Each line of the input is `FORMAT PACKING VERSION WIDTH PATH`, with tabs; says what differs, and fails if anything does. The table's
state at a version is said here once more, apart from `table.sql`.
"""

import base64
import csv
import datetime
import functools
import gzip
import hashlib
import io
import json
import sys
import zipfile
from decimal import Decimal

import openpyxl
import pyarrow
import pyarrow.parquet

csv.field_size_limit(1 << 24)
NAMES = ["id", "version", "a", "b", "note", "amount", "at", "pad"]
BEGIN = datetime.datetime(2024, 2, 28)


@functools.cache
def noise(n):
    hashes = (hashlib.sha512(f"{n}:{m}".encode()).digest() for m in range(200))
    return "".join(base64.b64encode(digest).decode().rstrip("=") for digest in hashes)


def record(id, version, width):
    a = (id * 7919 + version * 104729) % 1000000
    note = [None, "", f'say "yes", or {version}', "two\nlines", f"订单 {id}"][id % 5]
    amount = Decimal((id * 31 + version * 17) % 1000000) / 100
    at = BEGIN + datetime.timedelta(seconds=id * 60 + version)
    place = id + 7 * version
    pad = (noise(place % 1024) + noise((place + 512) % 1024))[:width]
    return [id, version, a, 1000000 - a, note, amount, at, pad]


def table(version, width):
    """All rows at this version, in the order of their ids."""
    for id in range(1, 1501):
        # The last version at which it was this row's turn; 0 if it had none yet.
        last = max(version - (version - id) % 50, 0)
        if last == 0 or (id + last // 50) % 3 != 0:
            yield record(id, last, width)


def texts(rows, no_text):
    """Rows of a format that has only texts, and no difference between none and an empty one."""
    for id, version, a, b, note, amount, at, pad in rows:
        moment = datetime.datetime.fromisoformat(at)
        yield [int(id), int(version), int(a), int(b), note or no_text, Decimal(amount), naive(moment), pad]


def naive(moment):
    return moment.astimezone(datetime.timezone.utc).replace(tzinfo=None) if moment.tzinfo else moment


def read(format, data):
    """The header and the rows."""
    if format in ("csv", "excel_csv"):
        text = data.decode("utf-8-sig" if format == "excel_csv" else "utf-8")
        header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
        return header, list(texts(rows, None))
    if format == "jsonl":
        lines = [json.loads(line) for line in data.decode().removesuffix("\n").split("\n")]
        rows = [list(line.values()) for line in lines]
        for row in rows:
            row[5], row[6] = Decimal(row[5]), naive(datetime.datetime.fromisoformat(row[6]))
        return list(lines[0]), rows
    if format == "xlsx":
        sheet = openpyxl.load_workbook(io.BytesIO(data)).worksheets[0]
        header, *rows = ([cell.value for cell in row] for row in sheet.iter_rows())
        for row in rows:
            row[5] = round(Decimal(row[5]), 2)
        return header, rows
    read = pyarrow.parquet.read_table if format == "parquet" else lambda file: pyarrow.ipc.open_file(file).read_all()
    found = read(io.BytesIO(data))
    rows = [list(row.values()) for row in found.to_pylist()]
    for row in rows:
        row[6] = naive(row[6])
    return found.column_names, rows


def unpack(packing, path):
    with open(path, "rb") as file:
        data = file.read()
    if packing == "gzip":
        return gzip.decompress(data)
    if packing == "zip":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            (entry,) = archive.infolist()
            return archive.read(entry)
    return data


def compare(format, packing, version, width, path):
    header, rows = read(format, unpack(packing, path))
    expected = list(table(version, width))
    if format in ("csv", "excel_csv", "xlsx"):
        expected = [[*row[:4], row[4] or None, *row[5:]] for row in expected]
        header = [name.removesuffix(" (UTC)") for name in header]
    if format == "excel_csv":
        # What a spreadsheet would take for a formula.
        expected = [[*row[:7], "'" + row[7] if row[7].startswith("+") else row[7]] for row in expected]
    assert header == NAMES, f"the header is {header}"
    assert len(rows) == len(expected), f"{len(rows)} rows instead of {len(expected)}"
    for found, wanted in zip(rows, expected):
        for name, cell, right in zip(NAMES, found, wanted, strict=True):
            assert cell == right and type(cell) is type(right), f"{name} of {wanted[0]} is {cell!r}, not {right!r}"


bad = 0
for line in sys.stdin:
    format, packing, version, width, path = line.rstrip("\n").split("\t")
    try:
        compare(format, packing, int(version), int(width), path)
    except Exception as error:
        bad += 1
        print(f"{path} as {format} {packing} at version {version}: {type(error).__name__}: {str(error)[:400]}")
sys.exit(1 if bad else 0)
