//! A double of BigQuery for tests: REST, the Storage Write API, and faults on request.
//!
//! ```text
//!  run ── socket ──┬─ rest ──┐
//!   IO      IO     └─ grpc ──┴─ inflict ──> world = warehouse + faults + journal + settings
//!                      IO         IO        pure
//!  warehouse   datasets, tables, write streams, and the calls that change them
//!    names, schema, row      what they are made of      query    the little SQL that is known
//!    stream, table           offsets, what is seen      refusal  how the service says no
//!  connection   what one AppendRows connection remembers
//! ```
//!
//! What it answers is what the service is known to answer; where that is not known, the choice stands
//! in a comment or in [`world::Settings`]. Beside the service's own paths, on the REST port:
//!
//! | page | for |
//! |---|---|
//! | `POST /admin/faults` | a list of [`fault::Fault`], such as `[{"rpc": "AppendRows", "stream": "x", "after": 3, "times": 1, "action": {"delay": {"ms": 50}}}]` |
//! | `DELETE /admin/faults` | lift those that are left |
//! | `POST /admin/settings` | [`world::Settings`] |
//! | `GET /admin/state` | tables, streams, faults that are left, counters per call and code |
//! | `GET /admin/rows?table=D.T` | every stored row, an object a line, with its order, stream and offset |
//! | `GET /admin/log?after=N` | of the last 10,000 calls those after the one of that number, an object a line |
//! | `POST /admin/reset` | forget everything |

pub mod names;
pub mod refusal;
pub mod schema;
pub mod row;
pub mod stream;
pub mod table;
pub mod warehouse;
pub mod query;
pub mod connection;
pub mod fault;
pub mod journal;
pub mod world;
pub mod socket;
pub mod shared_world;
pub mod inflict;
pub mod grpc;
pub mod rest;
pub mod args;
pub mod run;
