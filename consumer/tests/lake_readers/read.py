"""Runs the queries of docs/lake.md in the current folder and prints the rows that each reader sees, as JSON."""

import json
import re
import sys

import duckdb


def block(page, language):
    return re.search(rf"```{language}\n(.*?)```", page, re.DOTALL).group(1)


def plain(value):
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    if isinstance(value, dict):
        return {name: plain(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if hasattr(value, "timestamp"):
        return round(value.timestamp() * 1000)
    return value


def rows(table):
    kept = [{name: plain(value) for name, value in row.items() if name != "partition"} for row in table.to_pylist()]
    return sorted(kept, key=lambda row: (row["kafka_topic"], row["kafka_partition"], row["kafka_offset"]))


page = open(sys.argv[1], encoding="utf-8").read()
names = {}
exec(block(page, "python"), names)
connection = duckdb.connect()
connection.execute("SET TimeZone = 'UTC'")
united = connection.sql(block(page, "sql").rstrip("; \n")).to_arrow_table()
print(json.dumps({"duckdb": rows(united), "pyarrow": rows(names["table"])}))
