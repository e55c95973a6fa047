"""Reads a file that `cargo xtask bench export` made and says as a line of JSON what is in it: the records, and sums over
their ids, amounts and texts, exactly. It shares no code with ours.

    export_reader.py csv|excel_csv|csv.gz|csv.zst|jsonl|parquet|arrow|xlsx FILE

Of a workbook every row is counted and the id's cell read; the other cells are not.
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


class Sums:
    """What the benchmark asks the table for, too."""

    def __init__(self):
        self.rows, self.squares, self.amounts, self.letters = 0, 0, Decimal(0), 0

    def id(self, number):
        self.rows += 1
        # By way of Decimal, because a spreadsheet may hold 9.00719925474099E+15, which has lost its last digits.
        self.squares += (int(Decimal(number)) % 1000003) ** 2

    def record(self, number, amount, customer, note):
        self.id(number)
        self.amounts += Decimal(amount)
        self.letters += len(customer) + len(note or "")

    def all(self):
        sums = {"ids": self.squares, "amounts": self.amounts, "letters": self.letters}
        return {"rows": self.rows, **{name: str(sum) for name, sum in sums.items()}}


def from_csv(stream):
    sums = Sums()
    for line in csv.DictReader(io.TextIOWrapper(stream, encoding="utf-8-sig", newline="")):
        # Spreadsheets are told by `="..."` or an apostrophe that a long number is a text.
        number, amount = (line[name].strip("=\"'") for name in ("id", "amount"))
        sums.record(number, amount, line["customer"], line["note"])
    return sums.all()


def from_zst(path):
    import zstandard

    with open(path, "rb") as packed:
        return from_csv(io.BufferedReader(zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True)))


def from_jsonl(path):
    sums = Sums()
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line, parse_float=Decimal)
            sums.record(record["id"], record["amount"], record["customer"], record["note"])
    return sums.all()


def from_batches(batches):
    sums = Sums()
    for batch in batches:
        columns = (batch.column(name).to_pylist() for name in ("id", "amount", "customer", "note"))
        for record in zip(*columns, strict=True):
            sums.record(*record)
    return sums.all()


def from_parquet(path):
    from pyarrow import parquet

    return from_batches(parquet.ParquetFile(path).iter_batches(columns=["id", "amount", "customer", "note"]))


def from_arrow(path):
    import pyarrow

    with pyarrow.memory_map(path) as source:
        reader = pyarrow.ipc.open_file(source)
        return from_batches(reader.get_batch(index) for index in range(reader.num_record_batches))


ROW = re.compile(rb"<row[ >].*?</row>", re.DOTALL)
FIRST = re.compile(rb"<c ([^>]*)>(.*?)</c>", re.DOTALL)
VALUE = re.compile(rb"<(?:v|t)(?: [^>]*)?>(.*?)</(?:v|t)>", re.DOTALL)


def from_xlsx(path):
    sums = Sums()
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
                        attributes, cell = FIRST.search(row.group()).groups()
                        if b't="s"' in attributes:
                            raise SystemExit("the ids are shared strings, which this reader does not follow")
                        sums.id(VALUE.search(cell).group(1).decode())
                    rest = rest[end:]
    read = sums.all()
    return {name: read[name] for name in ("rows", "ids")}


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
