//! IO. What librdkafka offers and its Rust client does not: our only unsafe code.

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_char, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;

use rdkafka::bindings::{
    rd_kafka_brokers_add, rd_kafka_consume_batch_queue, rd_kafka_header_get_all,
    rd_kafka_headers_t, rd_kafka_message_destroy, rd_kafka_message_headers,
    rd_kafka_message_leader_epoch, rd_kafka_message_t, rd_kafka_message_timestamp,
    rd_kafka_queue_destroy, rd_kafka_queue_get_partition, rd_kafka_queue_t,
    rd_kafka_timestamp_type_t,
};
use rdkafka::client::Client;
use rdkafka::consumer::{Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Timestamp};

/// Names brokers to a client that may have forgotten all of them. `servers` is a list as in
/// `bootstrap.servers`; those that the client knows already are left as they are.
#[expect(unsafe_code, reason = "docs/adr/0003")]
pub(crate) fn add_brokers<C: ClientContext>(client: &Client<C>, servers: &CStr) {
    // SAFETY: the handle lives as long as `client`, may be used from every thread, and the call copies
    // the text.
    let _added = unsafe { rd_kafka_brokers_add(client.native_ptr(), servers.as_ptr()) };
}

/// The queue of one partition, from which records are taken many at a time.
pub struct PartitionQueue<T> {
    queue: NonNull<rd_kafka_queue_t>,
    /// The queue must not outlive its client.
    _consumer: Arc<T>,
}

#[expect(unsafe_code, reason = "docs/adr/0003")]
// SAFETY: librdkafka's queues may be used from every thread.
unsafe impl<T: Send + Sync> Send for PartitionQueue<T> {}
#[expect(unsafe_code, reason = "docs/adr/0003")]
// SAFETY: as above; each call locks the queue.
unsafe impl<T: Send + Sync> Sync for PartitionQueue<T> {}

impl<T> PartitionQueue<T> {
    /// `None` for a topic's name that no topic has.
    #[expect(unsafe_code, reason = "docs/adr/0003")]
    pub fn new<C>(consumer: &Arc<T>, topic: &str, partition: i32) -> Option<Self>
    where
        C: ConsumerContext,
        T: Consumer<C>,
    {
        let topic = CString::new(topic).ok()?;
        let client = consumer.client().native_ptr();
        // SAFETY: the handle lives as long as `consumer`, the call copies the text, and what it returns
        // is a reference of our own, given back in `drop`.
        let queue = unsafe { rd_kafka_queue_get_partition(client, topic.as_ptr(), partition) };
        Some(Self { queue: NonNull::new(queue)?, _consumer: Arc::clone(consumer) })
    }

    /// Takes what lies ready, at most `max` answers, and waits for nothing.
    #[expect(unsafe_code, reason = "docs/adr/0003")]
    pub fn take(&self, max: usize) -> Taken {
        let mut messages = vec![ptr::null_mut(); max];
        // SAFETY: the queue is ours, and there is room for `max` pointers.
        let taken = unsafe {
            rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, messages.as_mut_ptr(), max)
        };
        messages.truncate(usize::try_from(taken).unwrap_or_default());
        Taken { messages }
    }
}

impl<T> Drop for PartitionQueue<T> {
    #[expect(unsafe_code, reason = "docs/adr/0003")]
    fn drop(&mut self) {
        // SAFETY: our own reference, given back once.
        unsafe { rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

/// Answers that were taken from a queue.
pub struct Taken {
    messages: Vec<*mut rd_kafka_message_t>,
}

impl Taken {
    /// The records in their order, and between them what is no record.
    #[expect(unsafe_code, reason = "docs/adr/0003")]
    pub fn answers(&self) -> impl Iterator<Item = Result<Record<'_>, RDKafkaErrorCode>> {
        self.messages.iter().filter_map(|message| NonNull::new(*message)).map(|message| {
            // SAFETY: it is ours until `drop`, and no one else writes to it.
            match unsafe { message.as_ref() }.err {
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(Record::new(message)),
                error => Err(error.into()),
            }
        })
    }
}

impl Drop for Taken {
    #[expect(unsafe_code, reason = "docs/adr/0003")]
    fn drop(&mut self) {
        for message in &self.messages {
            // SAFETY: each was given to us, and is given back once; no `Record` outlives this.
            unsafe { rd_kafka_message_destroy(*message) }
        }
    }
}

/// A record where librdkafka keeps it.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    message: NonNull<rd_kafka_message_t>,
    _life: PhantomData<&'a rd_kafka_message_t>,
}

impl<'a> Record<'a> {
    fn new(message: NonNull<rd_kafka_message_t>) -> Self {
        Self { message, _life: PhantomData }
    }

    pub fn of(message: &'a BorrowedMessage<'_>) -> Self {
        Self::new(NonNull::new(message.ptr()).expect("a message that was received is there"))
    }

    pub fn offset(self) -> i64 {
        self.message().offset
    }

    #[expect(unsafe_code, reason = "docs/adr/0003")]
    pub fn key(self) -> Option<&'a [u8]> {
        // SAFETY: the key lives as long as the message, which is `'a`.
        unsafe { bytes(self.message().key, self.message().key_len) }
    }

    #[expect(unsafe_code, reason = "docs/adr/0003")]
    pub fn value(self) -> Option<&'a [u8]> {
        // SAFETY: the value lives as long as the message, which is `'a`.
        unsafe { bytes(self.message().payload, self.message().len) }
    }

    #[expect(unsafe_code, reason = "docs/adr/0003")]
    pub fn timestamp(self) -> Timestamp {
        let mut kind = rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message lives as long as `'a`; the call only reads it.
        let at = unsafe { rd_kafka_message_timestamp(self.message.as_ptr(), &raw mut kind) };
        match kind {
            _ if at < 0 => Timestamp::NotAvailable,
            rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => Timestamp::NotAvailable,
            rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_CREATE_TIME => Timestamp::CreateTime(at),
            rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => {
                Timestamp::LogAppendTime(at)
            }
        }
    }

    /// The epoch of the leader that wrote the record's batch, which brokers since Kafka 0.11 tell.
    #[expect(unsafe_code, reason = "docs/adr/0003")]
    pub fn leader_epoch(self) -> Option<i32> {
        // SAFETY: the message lives as long as `'a`; the call only reads it.
        let epoch = unsafe { rd_kafka_message_leader_epoch(self.message.as_ptr()) };
        (epoch >= 0).then_some(epoch)
    }

    /// Names and values. A name that is no UTF-8 comes with U+FFFD where it is not.
    #[expect(unsafe_code, reason = "docs/adr/0003")]
    pub fn headers(self) -> impl Iterator<Item = (Cow<'a, str>, Option<&'a [u8]>)> {
        let mut headers = ptr::null_mut();
        // SAFETY: the message lives as long as `'a`, and a `Record` stays on one thread; what the call
        // parses belongs to the message.
        let error = unsafe { rd_kafka_message_headers(self.message.as_ptr(), &raw mut headers) };
        let headers = NonNull::new(headers);
        let headers = headers.filter(|_| error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR);
        // SAFETY: the headers live as long as the message, which is `'a`.
        (0..).map_while(move |at| unsafe { header(headers?, at) })
    }

    #[expect(unsafe_code, reason = "docs/adr/0003")]
    fn message(self) -> &'a rd_kafka_message_t {
        // SAFETY: it lives as long as `'a`, and librdkafka writes to none of these fields any more.
        unsafe { self.message.as_ref() }
    }
}

/// The header at a place, `None` behind the last one.
///
/// # Safety
/// The headers must live for `'a`.
#[expect(unsafe_code, reason = "docs/adr/0003")]
unsafe fn header<'a>(
    headers: NonNull<rd_kafka_headers_t>,
    at: usize,
) -> Option<(Cow<'a, str>, Option<&'a [u8]>)> {
    let mut name: *const c_char = ptr::null();
    let mut value: *const c_void = ptr::null();
    let mut length = 0;
    // SAFETY: the headers live; the call writes to the three variables.
    let error = unsafe {
        rd_kafka_header_get_all(
            headers.as_ptr(),
            at,
            &raw mut name,
            &raw mut value,
            &raw mut length,
        )
    };
    if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
        return None;
    }
    // SAFETY: librdkafka ends names with a zero, and name and value live as long as the headers.
    let (name, value): (&'a CStr, _) =
        unsafe { (CStr::from_ptr(name), bytes(value.cast_mut(), length)) };
    Some((name.to_string_lossy(), value))
}

/// `None` for null, which is not the same as nothing.
///
/// # Safety
/// At `start` there must be `length` bytes that nobody writes to for `'a`.
#[expect(unsafe_code, reason = "docs/adr/0003")]
unsafe fn bytes<'a>(start: *mut c_void, length: usize) -> Option<&'a [u8]> {
    let start = NonNull::new(start.cast::<u8>())?;
    // SAFETY: as this function demands.
    Some(unsafe { slice::from_raw_parts(start.as_ptr(), length) })
}
