//! Pure. The requests that we make: in which versions, and how their answers are laid out.

use std::ops::RangeInclusive;

use kafka_protocol::messages::{
    ApiKey, ApiVersionsRequest, ApiVersionsResponse, DescribeLogDirsRequest,
    DescribeLogDirsResponse, MetadataRequest, MetadataResponse, OffsetForLeaderEpochRequest,
    OffsetForLeaderEpochResponse, SaslAuthenticateRequest, SaslAuthenticateResponse,
    SaslHandshakeRequest, SaslHandshakeResponse,
};
use kafka_protocol::protocol::{Decodable, Encodable, HeaderVersion};

use crate::kafka::wire::shape::Field;

/// A request that this client makes.
pub(crate) trait Call: Encodable + HeaderVersion {
    type Answer: Decodable + HeaderVersion;
    const NAME: &'static str;
    const KEY: ApiKey;
    /// The versions that [`Call::SHAPE`] describes.
    const VERSIONS: RangeInclusive<i16>;
    /// The fields of the answer, without its header.
    const SHAPE: &'static [Field];
}

/// Every broker answers version 0, whatever else it knows.
impl Call for ApiVersionsRequest {
    type Answer = ApiVersionsResponse;
    const NAME: &'static str = "ApiVersions";
    const KEY: ApiKey = ApiKey::ApiVersions;
    const VERSIONS: RangeInclusive<i16> = 0..=0;
    const SHAPE: &'static [Field] = &[ERROR, Field::Array(&[INT16, INT16, INT16])];
}

impl Call for SaslHandshakeRequest {
    type Answer = SaslHandshakeResponse;
    const NAME: &'static str = "SaslHandshake";
    const KEY: ApiKey = ApiKey::SaslHandshake;
    const VERSIONS: RangeInclusive<i16> = 1..=1;
    const SHAPE: &'static [Field] = &[ERROR, Field::Array(&[Field::Text])];
}

impl Call for SaslAuthenticateRequest {
    type Answer = SaslAuthenticateResponse;
    const NAME: &'static str = "SaslAuthenticate";
    const KEY: ApiKey = ApiKey::SaslAuthenticate;
    const VERSIONS: RangeInclusive<i16> = 1..=1;
    const SHAPE: &'static [Field] = &[ERROR, Field::Text, Field::Bytes, INT64];
}

/// From version 10 on it tells the ids of topics: Kafka 2.8 and later.
impl Call for MetadataRequest {
    type Answer = MetadataResponse;
    const NAME: &'static str = "Metadata";
    const KEY: ApiKey = ApiKey::Metadata;
    const VERSIONS: RangeInclusive<i16> = 10..=13;
    const SHAPE: &'static [Field] = &[
        THROTTLE,
        Field::CompactArray(&[INT32, Field::Compact, INT32, Field::Compact, Field::Tags]),
        Field::Compact,
        INT32,
        Field::CompactArray(TOPIC),
        Field::Within(10, 10, &INT32),
        Field::Within(13, 13, &ERROR),
        Field::Tags,
    ];
}

const TOPIC: &[Field] =
    &[ERROR, Field::Compact, UUID, BOOLEAN, Field::CompactArray(PARTITION), INT32, Field::Tags];

const PARTITION: &[Field] = &[
    ERROR,
    INT32,
    INT32,
    INT32,
    Field::CompactArray(&[INT32]),
    Field::CompactArray(&[INT32]),
    Field::CompactArray(&[INT32]),
    Field::Tags,
];

/// From version 3 on it says when it was refused.
impl Call for DescribeLogDirsRequest {
    type Answer = DescribeLogDirsResponse;
    const NAME: &'static str = "DescribeLogDirs";
    const KEY: ApiKey = ApiKey::DescribeLogDirs;
    const VERSIONS: RangeInclusive<i16> = 2..=4;
    const SHAPE: &'static [Field] =
        &[THROTTLE, Field::Within(3, 4, &ERROR), Field::CompactArray(LOG_DIR), Field::Tags];
}

const LOG_DIR: &[Field] = &[
    ERROR,
    Field::Compact,
    Field::CompactArray(&[Field::Compact, Field::CompactArray(REPLICA), Field::Tags]),
    Field::Within(4, 4, &INT64),
    Field::Within(4, 4, &INT64),
    Field::Tags,
];

const REPLICA: &[Field] = &[INT32, INT64, INT64, BOOLEAN, Field::Tags];

impl Call for OffsetForLeaderEpochRequest {
    type Answer = OffsetForLeaderEpochResponse;
    const NAME: &'static str = "OffsetForLeaderEpoch";
    const KEY: ApiKey = ApiKey::OffsetForLeaderEpoch;
    const VERSIONS: RangeInclusive<i16> = 4..=4;
    const SHAPE: &'static [Field] = &[
        THROTTLE,
        Field::CompactArray(&[
            Field::Compact,
            Field::CompactArray(&[ERROR, INT32, INT32, INT64, Field::Tags]),
            Field::Tags,
        ]),
        Field::Tags,
    ];
}

const BOOLEAN: Field = Field::Fixed(1);
const INT16: Field = Field::Fixed(2);
const INT32: Field = Field::Fixed(4);
const INT64: Field = Field::Fixed(8);
const UUID: Field = Field::Fixed(16);
const ERROR: Field = INT16;
const THROTTLE: Field = INT32;
