//! What two services must agree on, and nothing else.
//!
//! ```text
//!  partition, rate, identity, term, position      the words
//!  messages                                       what passes over our own topics
//! ```

pub mod partition;
pub mod rate;
pub mod identity;
pub mod term;
pub mod position;
pub mod topics;
pub mod avro_schema;
pub mod messages;
pub mod moment;
pub mod clock;
pub mod machine;
pub mod backoff;
pub mod chain;
pub mod shutdown;
pub mod telemetry;
pub mod columns;
pub mod metrics;
pub mod docs;
pub mod docs_page;
pub mod http;
pub mod settings;
pub mod args;
pub mod crash_point;
pub mod crypto;
pub mod native;
pub mod kafka;
