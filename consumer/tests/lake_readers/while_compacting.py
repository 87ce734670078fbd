"""Reads the table again and again by the queries of docs/compaction.md, in the current folder, while it is compacted.

Each round begins by noting its time in `round` and reading from `stored` how many records there are; it must see at
least so many, and none twice. Ends when there is a file `stop`, and prints the number of rounds.
"""

import os
import pathlib
import re
import sys
import time

import duckdb


def block(page, language):
    return re.search(rf"```{language}\n(.*?)```", page, re.DOTALL).group(1)


def check(reader, records, stored):
    if len(set(records)) != len(records):
        sys.exit(f"{reader} saw {len(records) - len(set(records))} records twice")
    if len(records) < stored:
        sys.exit(f"{reader} saw {len(records)} records of {stored}")


def keys(table):
    return list(zip(table["kafka_partition"].to_pylist(), table["kafka_offset"].to_pylist()))


page = open(sys.argv[1], encoding="utf-8").read()
sql, python = block(page, "sql"), block(page, "python")
*settings, query = [statement for statement in sql.split(";") if statement.strip()]
rounds = 0
while not os.path.exists("stop"):
    pathlib.Path("round.new").write_text(f"{rounds} {int(time.time() * 1000)}")
    os.rename("round.new", "round")
    stored = int(pathlib.Path("stored").read_text())
    connection = duckdb.connect()
    for setting in settings:
        connection.execute(setting)
    check("duckdb", keys(connection.sql(query).to_arrow_table()), stored)
    names = {}
    exec(python, names)
    check("pyarrow", keys(names["table"]), stored)
    rounds += 1
print(rounds)
