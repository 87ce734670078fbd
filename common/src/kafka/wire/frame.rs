//! Pure. Requests into bytes, and bytes into answers: checked first, decoded then.

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::{
    ApiVersionsRequest, DescribeLogDirsRequest, MetadataRequest, OffsetForLeaderEpochRequest,
    RequestHeader, ResponseHeader, SaslAuthenticateRequest, SaslHandshakeRequest,
};
use kafka_protocol::protocol::{
    Decodable, HeaderVersion, StrBytes, encode_request_header_into_buffer,
};
use thiserror::Error;

use crate::kafka::wire::call::Call;
use crate::kafka::wire::shape::{self, Field, ShapeError};

/// No answer of a cluster that we can work with is larger: some 200,000 partitions.
pub(crate) const FRAME_BYTES_MAX: usize = 32 << 20;

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    #[error("an answer of {bytes} bytes was announced, which is too large or negative")]
    Size { bytes: i32 },
    #[error("the answer has no header")]
    Header,
    #[error("an answer to request {found} came instead of one to {wanted}")]
    Correlation { found: i32, wanted: i32 },
    #[error("the answer is malformed")]
    Shape {
        #[source]
        source: MalformedAnswer,
    },
    #[error("the answer was not understood: {reason}")]
    Decode { reason: String },
    #[error("the request cannot be encoded: {reason}")]
    Encode { reason: String },
}

/// Why an answer is not laid out as it must be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(transparent)]
pub struct MalformedAnswer(ShapeError);

/// Which request: its version and the number that its answer has to quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallId {
    pub(crate) version: i16,
    pub(crate) correlation: i32,
}

/// The whole frame of a request, its size first.
pub(crate) fn encode<C: Call>(
    request: &C,
    id: CallId,
    client_id: &str,
) -> Result<Bytes, FrameError> {
    let failed = |reason: String| FrameError::Encode { reason };
    let header = RequestHeader::default()
        .with_request_api_key(C::KEY as i16)
        .with_request_api_version(id.version)
        .with_correlation_id(id.correlation)
        .with_client_id(Some(StrBytes::from_string(client_id.to_owned())));
    let mut frame = BytesMut::zeroed(SIZE_BYTES);
    encode_request_header_into_buffer(&mut frame, &header)
        .and_then(|()| request.encode(&mut frame, id.version))
        .map_err(|error| failed(format!("{error:#}")))?;
    let size = i32::try_from(frame.len() - SIZE_BYTES)
        .map_err(|_| failed("it is larger than 2 GiB".into()))?;
    frame[..SIZE_BYTES].copy_from_slice(&size.to_be_bytes());
    Ok(frame.freeze())
}

/// How many bytes precede a frame to say how large it is.
pub(crate) const SIZE_BYTES: usize = 4;

/// The size that a frame announces.
///
/// # Errors
/// If it is negative or larger than what is put up with.
pub(crate) fn frame_size(announced: [u8; SIZE_BYTES]) -> Result<usize, FrameError> {
    let bytes = i32::from_be_bytes(announced);
    match usize::try_from(bytes) {
        Ok(size) if size <= FRAME_BYTES_MAX => Ok(size),
        Ok(_) | Err(_) => Err(FrameError::Size { bytes }),
    }
}

/// The answer in a frame, without its size.
pub(crate) fn decode<C: Call>(mut frame: Bytes, id: CallId) -> Result<C::Answer, FrameError> {
    let header_version = C::Answer::header_version(id.version);
    let header_fields: &[Field] =
        if header_version == 0 { &[Field::Fixed(4)] } else { &[Field::Fixed(4), Field::Tags] };
    let mut fields = header_fields.to_vec();
    fields.extend_from_slice(C::SHAPE);
    shape::check(&frame, &fields, id.version)
        .map_err(|source| FrameError::Shape { source: MalformedAnswer(source) })?;
    let header =
        ResponseHeader::decode(&mut frame, header_version).map_err(|_| FrameError::Header)?;
    if header.correlation_id != id.correlation {
        let (found, wanted) = (header.correlation_id, id.correlation);
        return Err(FrameError::Correlation { found, wanted });
    }
    C::Answer::decode(&mut frame, id.version)
        .map_err(|error| FrameError::Decode { reason: format!("{error:#}") })
}

/// Reads bytes, what follows the header of an answer, as the answer to each request that we make in each
/// version; returns how many of these it may be. Whatever it is, it does no harm.
pub fn understand(bytes: &[u8]) -> usize {
    fn count<C: Call>(bytes: &[u8]) -> usize {
        all_versions::<C>(bytes).into_iter().filter(Result::is_ok).count()
    }
    count::<ApiVersionsRequest>(bytes)
        + count::<MetadataRequest>(bytes)
        + count::<DescribeLogDirsRequest>(bytes)
        + count::<OffsetForLeaderEpochRequest>(bytes)
        + count::<SaslHandshakeRequest>(bytes)
        + count::<SaslAuthenticateRequest>(bytes)
}

fn all_versions<C: Call>(bytes: &[u8]) -> Vec<Result<C::Answer, FrameError>> {
    let decode_as = |version| {
        let id = CallId { version, correlation: 7 };
        let mut frame = vec![0, 0, 0, 7];
        if C::Answer::header_version(version) == 1 {
            frame.push(0);
        }
        frame.extend_from_slice(bytes);
        decode::<C>(frame.into(), id)
    };
    C::VERSIONS.map(decode_as).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn refusals<C: Call>(bytes: &[u8]) -> Vec<FrameError> {
        all_versions::<C>(bytes).into_iter().filter_map(Result::err).collect()
    }

    /// Bytes that look like an answer often enough to get far: small numbers, a few huge ones.
    fn answer() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            8 => 0_u8..4,
            2 => Just(0xff),
            1 => any::<u8>(),
        ];
        prop::collection::vec(byte, 0..200)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// No bytes, however they lie about their lengths, end the process or panic; and what has
        /// the shape of an answer is always decoded (but for text that is none).
        #[test]
        fn any_answer_is_decoded_or_refused(bytes in answer()) {
            let refusals = [
                refusals::<ApiVersionsRequest>(&bytes),
                refusals::<SaslHandshakeRequest>(&bytes),
                refusals::<SaslAuthenticateRequest>(&bytes),
                refusals::<MetadataRequest>(&bytes),
                refusals::<DescribeLogDirsRequest>(&bytes),
                refusals::<OffsetForLeaderEpochRequest>(&bytes),
            ];
            for refusal in refusals.into_iter().flatten() {
                prop_assert!(
                    matches!(refusal, FrameError::Shape { .. } | FrameError::Decode { .. }),
                    "{refusal:?}"
                );
            }
        }
    }

    /// Lengths of compact fields are one more than the real ones.
    const METADATA_UP_TO_TOPICS: &[u8] = &[
        0, 0, 0, 0, // throttle
        2, 0, 0, 0, 4, 2, b'k', 0, 0, 0x23, 0x84, 0, 0, // broker 4 at k:9092, no rack
        2, b'c', // cluster id
        0, 0, 0, 4, // controller
        2, 0, 0, 2, b't', // topic t
        9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, 9, // its id
        0, 2, 0, 0, 0, 0, 0, 6, 0, 0, 0, 4, 0, 0, 0, 7, // partition 6, led by 4 in epoch 7
        2, 0, 0, 0, 4, 2, 0, 0, 0, 4, 1, 0, // replicas, in sync, offline
        0x80, 0, 0, 0, 0, // operations
    ];

    /// The answers to each version that we may ask for, put down byte by byte.
    #[test]
    fn metadata_are_understood_in_every_version() {
        let answer = |version: i16| {
            let mut frame = vec![0, 0, 0, 7, 0];
            frame.extend_from_slice(METADATA_UP_TO_TOPICS);
            match version {
                10 => frame.extend_from_slice(&[0x80, 0, 0, 0, 0]),
                13 => frame.extend_from_slice(&[0, 0, 0]),
                _ => frame.push(0),
            }
            decode::<MetadataRequest>(frame.into(), CallId { version, correlation: 7 })
        };
        assert_eq!(MetadataRequest::VERSIONS, 10..=13);
        for version in MetadataRequest::VERSIONS {
            let answer = answer(version).unwrap_or_else(|error| panic!("{version}: {error:?}"));
            let topic = &answer.topics[0];
            assert_eq!((answer.brokers[0].port, topic.topic_id.as_bytes()), (9092, &[9; 16]));
            let partition = &topic.partitions[0];
            assert_eq!((partition.partition_index, partition.leader_epoch), (6, 7));
        }
    }

    #[test]
    fn log_dirs_are_understood_in_every_version() {
        let answer = |version: i16| {
            let mut frame = vec![0, 0, 0, 7, 0, 0, 0, 0, 0];
            frame.extend_from_slice(if version >= 3 { &[0, 0] } else { &[] });
            frame.extend_from_slice(&[2, 0, 0, 3, b'/', b'd', 2, 2, b't', 2]);
            frame.extend_from_slice(&[0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 1, 0]);
            frame.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
            frame.extend_from_slice(if version >= 4 { &[0; 16] } else { &[] });
            frame.extend_from_slice(&[0, 0]);
            decode::<DescribeLogDirsRequest>(frame.into(), CallId { version, correlation: 7 })
        };
        assert_eq!(DescribeLogDirsRequest::VERSIONS, 2..=4);
        for version in DescribeLogDirsRequest::VERSIONS {
            let answer = answer(version).unwrap_or_else(|error| panic!("{version}: {error:?}"));
            let replica = &answer.results[0].topics[0].partitions[0];
            assert_eq!((replica.partition_index, replica.partition_size), (6, 256));
        }
    }

    #[test]
    fn an_array_of_two_billion_is_refused() {
        let bytes = [0, 0, 0x7f, 0xff, 0xff, 0xff];
        let answers = all_versions::<ApiVersionsRequest>(&bytes);
        assert!(matches!(answers[..], [Err(FrameError::Shape { .. })]), "{answers:?}");
    }

    #[test]
    fn a_frame_announces_a_size_that_is_put_up_with() {
        assert_eq!(frame_size([0, 0, 1, 0]), Ok(256));
        assert_eq!(frame_size([0xff; 4]), Err(FrameError::Size { bytes: -1 }));
        assert!(frame_size([0x7f, 0xff, 0xff, 0xff]).is_err());
    }

    #[test]
    fn an_answer_to_another_request_is_refused() {
        let id = CallId { version: 0, correlation: 2 };
        let frame = Bytes::from_static(&[0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
        let error = decode::<ApiVersionsRequest>(frame, id).unwrap_err();
        assert_eq!(error, FrameError::Correlation { found: 1, wanted: 2 });
    }

    #[test]
    fn a_request_announces_its_own_size() {
        let id = CallId { version: 0, correlation: 1 };
        let frame = encode(&ApiVersionsRequest::default(), id, "me").unwrap();
        assert_eq!(frame[..], [0, 0, 0, 12, 0, 18, 0, 0, 0, 0, 0, 1, 0, 2, b'm', b'e']);
    }
}
