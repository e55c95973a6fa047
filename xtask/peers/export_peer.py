"""The peers' side of `cargo xtask bench export --peers`: the whole table `orders` into one file.

    export_peer.py pandas-csv|pandas-jsonl|pandas-parquet|pandas-xlsx|psycopg-csv DATABASE_URL FILE

pandas is used as its own pages show it: read_sql into one frame, then one call that writes the file. Its query casts the
uuid and the JSON to text, so that all four writers get plain values. Spreadsheets know no time zones and pandas refuses to
write one, so for them the zone is taken off.
"""

import sys

QUERY = """SELECT id, reference::text AS reference, customer, address, note, status, amount, tax, quantity, express,
    created_at, paid_at, details::text AS details, coupon FROM orders"""


def pandas_frame(url):
    import pandas
    import sqlalchemy

    engine = sqlalchemy.create_engine(url.replace("postgres://", "postgresql+psycopg://"))
    with engine.connect() as connection:
        return pandas.read_sql(sqlalchemy.text(QUERY), connection)


def pandas_csv(url, file):
    pandas_frame(url).to_csv(file, index=False)


def pandas_jsonl(url, file):
    pandas_frame(url).to_json(file, orient="records", lines=True, date_format="iso", force_ascii=False)


def pandas_parquet(url, file):
    pandas_frame(url).to_parquet(file, engine="pyarrow", compression="zstd")


def pandas_xlsx(url, file):
    frame = pandas_frame(url)
    for name in ("created_at", "paid_at"):
        frame[name] = frame[name].dt.tz_localize(None)
    frame.to_excel(file, index=False, engine="xlsxwriter")


def psycopg_csv(url, file):
    import psycopg

    copy = "COPY (SELECT * FROM orders) TO STDOUT (FORMAT csv, HEADER)"
    with psycopg.connect(url) as connection, connection.cursor().copy(copy) as rows, open(file, "wb") as out:
        for data in rows:
            out.write(data)


VERBS = {
    "pandas-csv": pandas_csv,
    "pandas-jsonl": pandas_jsonl,
    "pandas-parquet": pandas_parquet,
    "pandas-xlsx": pandas_xlsx,
    "psycopg-csv": psycopg_csv,
}

if __name__ == "__main__":
    verb, url, file = sys.argv[1:]
    VERBS[verb](url, file)
