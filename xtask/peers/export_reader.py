"""Reads a file that `cargo xtask bench export` made and says as a line of JSON what is in it: the records, and the sums of
their ids and amounts, exactly. It shares no code with any of the programs that are measured.

    export_reader.py csv|excel_csv|csv.gz|csv.zst|jsonl|parquet|arrow|xlsx FILE

Of a workbook every row is counted and the id's cell read; cells of amounts are not.
"""

import csv
import gzip
import io
import json
import re
import sys
import zipfile
from decimal import Decimal

csv.field_size_limit(1 << 30)


def whole(text):
    """The number as a text says it, if it is a whole one: 9.007e15 is, and has lost its last digits."""
    number = Decimal(text)
    return int(number)


def summed(records):
    """Sums over pairs of id and amount."""
    rows, ids, amounts = 0, 0, Decimal(0)
    for number, amount in records:
        rows += 1
        ids += whole(number)
        amounts += Decimal(amount)
    return {"rows": rows, "ids": str(ids), "amounts": str(amounts)}


def from_csv(stream):
    lines = csv.DictReader(io.TextIOWrapper(stream, encoding="utf-8-sig", newline=""))
    # Spreadsheets are told by `="..."` or an apostrophe that a long number is a text.
    return summed((line["id"].strip("=\"'"), line["amount"].strip("=\"'")) for line in lines)


def from_zst(path):
    import zstandard

    with open(path, "rb") as packed:
        return from_csv(io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)))


def from_jsonl(path):
    with open(path, encoding="utf-8") as lines:
        records = (json.loads(line, parse_float=Decimal) for line in lines)
        return summed((str(record["id"]), str(record["amount"])) for record in records)


def from_batches(batches):
    rows, ids, amounts = 0, 0, Decimal(0)
    for batch in batches:
        rows += batch.num_rows
        ids += sum(batch.column("id").to_pylist())
        amounts += sum((Decimal(amount) for amount in batch.column("amount").to_pylist()), Decimal(0))
    return {"rows": rows, "ids": str(ids), "amounts": str(amounts)}


def from_parquet(path):
    from pyarrow import parquet

    return from_batches(parquet.ParquetFile(path).iter_batches(columns=["id", "amount"]))


def from_arrow(path):
    import pyarrow

    with pyarrow.memory_map(path) as source:
        reader = pyarrow.ipc.open_file(source)
        return from_batches(reader.get_batch(index) for index in range(reader.num_record_batches))


ROW = re.compile(rb"<row[ >].*?</row>", re.DOTALL)
FIRST = re.compile(rb"<c ([^>]*)>(.*?)</c>", re.DOTALL)
VALUE = re.compile(rb"<(?:v|t)(?: [^>]*)?>(.*?)</(?:v|t)>", re.DOTALL)


def from_xlsx(path):
    rows, ids = 0, 0
    with zipfile.ZipFile(path) as book:
        for part in book.namelist():
            if not part.startswith("xl/worksheets/sheet"):
                continue
            with book.open(part) as sheet:
                rest, header = b"", True
                while chunk := sheet.read(1 << 22):
                    rest += chunk
                    end = 0
                    for row in ROW.finditer(rest):
                        end = row.end()
                        if header:
                            header = False
                            continue
                        rows += 1
                        attributes, cell = FIRST.search(row.group()).groups()
                        if b't="s"' in attributes:
                            raise SystemExit("the ids are shared strings, which this reader does not follow")
                        ids += whole(VALUE.search(cell).group(1).decode())
                    rest = rest[end:]
    return {"rows": rows, "ids": str(ids)}


READERS = {
    "csv": lambda path: from_csv(open(path, "rb")),
    "excel_csv": lambda path: from_csv(open(path, "rb")),
    "csv.gz": lambda path: from_csv(gzip.open(path, "rb")),
    "csv.zst": from_zst,
    "jsonl": from_jsonl,
    "parquet": from_parquet,
    "arrow": from_arrow,
    "xlsx": from_xlsx,
}

if __name__ == "__main__":
    kind, path = sys.argv[1:]
    print(json.dumps(READERS[kind](path)))
