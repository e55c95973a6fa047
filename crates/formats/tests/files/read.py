"""Reads a file with libraries that others wrote and prints what is in it: `read.py HOW PATH`."""

import gzip
import sys
import zipfile

how, path = sys.argv[1:]


def show(table):
    """A line for each column: its name, its type, its values; of `far` ones, which Python cannot show, the numbers."""
    for name, column in zip(table.column_names, table.columns):
        if name.startswith("far"):
            kind = column.type
            column = column.cast("int32" if kind == "date32[day]" else "int64")
            print(f"{name}: {kind}: {column.to_pylist()}")
        else:
            print(f"{name}: {column.type}: {column.to_pylist()}")


if how in ("parquet", "parquet-schema", "arrow", "zstd"):
    import pyarrow
    import pyarrow.parquet

if how == "parquet":
    show(pyarrow.parquet.read_table(path))
elif how == "parquet-schema":
    print(pyarrow.parquet.ParquetFile(path).schema)
elif how == "arrow":
    show(pyarrow.ipc.open_file(path).read_all())
elif how == "gzip":
    print(gzip.open(path, "rt", newline="").read(), end="")
elif how == "zstd":
    print(pyarrow.input_stream(path, compression="zstd").read().decode(), end="")
elif how == "zip":
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        for entry in archive.infolist():
            print(f"{entry.filename} {entry.date_time}")
            print(archive.read(entry).decode(), end="")
