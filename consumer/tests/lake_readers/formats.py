"""Reads tables of typed columns and a changelog in the current folder as docs/formats.md says, and prints what each reader sees."""

import json
import re
import sys

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

page = open(sys.argv[1], encoding="utf-8").read()
present, known = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)


def pyarrow_table(folder):
    files = ds.dataset(folder, partitioning="hive").files
    schema = pa.unify_schemas([pq.read_schema(file) for file in files])
    return ds.dataset(folder, schema=schema, partitioning="hive").to_table()


def texts(table):
    # Python's own times have no nanoseconds.
    for at, field in enumerate(table.schema):
        if pa.types.is_temporal(field.type):
            table = table.set_column(at, field.name, table.column(at).cast(pa.string()))
    rows = table.to_pylist()
    kept = [
        {name: str(value) for name, value in row.items() if value is not None and not name.startswith(("kafka_", "partition"))}
        for row in rows
    ]
    return sorted(kept, key=str)


connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
typed = connection.sql("SELECT * FROM read_parquet('lake/typed/**/*.parquet', union_by_name = true)")
arrow = pyarrow_table("lake/typed")
states = [connection.sql(query.rstrip("; \n")) for query in (present, known)]
print(
    json.dumps(
        {
            "duckdb types": {n: str(t) for n, t in zip(typed.columns, typed.types) if not n.startswith("kafka_")},
            "pyarrow types": {f.name: str(f.type) for f in arrow.schema if not f.name.startswith("kafka_")},
            "duckdb": texts(typed.to_arrow_table()),
            "pyarrow": texts(arrow),
            "present": texts(states[0].to_arrow_table()),
            "known": texts(states[1].to_arrow_table()),
        },
        indent=1,
        sort_keys=True,
    )
)
