"""Runs the emulator without four things in which it is not like the service, and which have nothing to do with what is tested on it.

- It copies the whole table at every append, so that old versions of it can be read, which no test asks for: a million rows in batches
  of 500 took 20 GB and a hundred times as long.
- All its threads execute on one connection to its database, where the statement of one takes the other's result away. Here each thread
  has a cursor, which is a connection of its own.
- A connection for appends keeps one of its threads for as long as it lasts, and there are four more than processors: with so many such
  connections nothing else can be answered.
- A stream may be finalized while rows appended to it before are on their way into the table, where a query does not see them yet.
"""

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import grpc.aio
from bqemulator.cli import main
from bqemulator.grpc_api.write_servicer import BigQueryWriteHandler
from bqemulator.storage.engine import DuckDBEngine
from bqemulator.versioning.snapshots import SnapshotManager
from google.cloud.bigquery_storage_v1 import types

CONNECTIONS_MAX = 64

capture = SnapshotManager.capture
finalize = BigQueryWriteHandler._handle_finalize_write_stream
local = threading.local()


def capture_when_asked_for(self, project_id, dataset_id, table_id, *, kind="AUTO"):
    if kind == "AUTO":
        return None
    return capture(self, project_id, dataset_id, table_id, kind=kind)


def connection_of_this_thread(self):
    if not hasattr(local, "cursor"):
        local.cursor = self._connection.cursor()
        local.cursor.execute("SET TimeZone = 'UTC'")
    return local.cursor


def finalize_after_appends(self, request_bytes, context):
    stream = self._manager.get(types.FinalizeWriteStreamRequest.deserialize(request_bytes).name)
    if stream is None:
        return finalize(self, request_bytes, context)
    with stream.lock:
        return finalize(self, request_bytes, context)


SnapshotManager.capture = capture_when_asked_for
DuckDBEngine.connection = property(connection_of_this_thread)
BigQueryWriteHandler._handle_finalize_write_stream = finalize_after_appends
grpc.aio.server = partial(grpc.aio.server, migration_thread_pool=ThreadPoolExecutor(CONNECTIONS_MAX))
sys.exit(main())
