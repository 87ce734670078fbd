"""Prints how many rows and how many different places (partition, offset) two readers see below a folder, as JSON."""

import json
import sys

import duckdb
import pyarrow.dataset as dataset

folder = sys.argv[1]
rows = f"read_parquet('{folder}/*/*.parquet', union_by_name = true)"
query = f"SELECT count(*) AS n, count(DISTINCT (kafka_partition, kafka_offset)) AS places FROM {rows}"
counted = duckdb.connect().sql(query).to_arrow_table().to_pylist()[0]
table = dataset.dataset(folder, format="parquet").to_table(columns=["kafka_partition", "kafka_offset"])
places = set(zip(table["kafka_partition"].to_pylist(), table["kafka_offset"].to_pylist(), strict=True))
print(json.dumps({"duckdb": [counted["n"], counted["places"]], "pyarrow": [table.num_rows, len(places)]}))
