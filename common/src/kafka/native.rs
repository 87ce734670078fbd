//! IO. Two calls of librdkafka that its Rust client does not offer: our only unsafe code.

use std::ffi::CStr;

use rdkafka::ClientContext;
use rdkafka::bindings::{rd_kafka_brokers_add, rd_kafka_message_leader_epoch};
use rdkafka::client::Client;
use rdkafka::message::BorrowedMessage;

/// The epoch of the leader that wrote the batch of a record, which brokers since Kafka 0.11 tell.
#[expect(unsafe_code, reason = "docs/adr/0003")]
pub fn leader_epoch(record: &BorrowedMessage<'_>) -> Option<i32> {
    // SAFETY: the pointer is that of a message which lives as long as `record`; the call only reads it.
    let epoch = unsafe { rd_kafka_message_leader_epoch(record.ptr()) };
    (epoch >= 0).then_some(epoch)
}

/// Names brokers to a client that may have forgotten all of them. `servers` is a list as in
/// `bootstrap.servers`; those that the client knows already are left as they are.
#[expect(unsafe_code, reason = "docs/adr/0003")]
pub(crate) fn add_brokers<C: ClientContext>(client: &Client<C>, servers: &CStr) {
    // SAFETY: the handle lives as long as `client`, may be used from every thread, and the call copies
    // the text.
    let _added = unsafe { rd_kafka_brokers_add(client.native_ptr(), servers.as_ptr()) };
}
