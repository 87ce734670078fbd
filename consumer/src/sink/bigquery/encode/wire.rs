//! Pure. Protobuf's wire format, as far as rows need it.

/// How a field's value is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delimited {
    Varint = 0,
    EightBytes = 1,
    Length = 2,
}

/// What stands before each value of a field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tag {
    bytes: [u8; 5],
    length: u8,
}

impl Tag {
    pub(super) fn new(field: u32, delimited: Delimited) -> Self {
        let mut out = Vec::with_capacity(5);
        put_varint(u64::from(field << 3 | delimited as u32), &mut out);
        let mut bytes = [0; 5];
        bytes[..out.len()].copy_from_slice(&out);
        Self { bytes, length: u8::try_from(out.len()).expect("32 bits are five bytes at most") }
    }

    #[inline]
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.bytes[..usize::from(self.length)]);
    }
}

#[inline]
pub(super) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(low_byte(value) | 0x80);
        value >>= 7;
    }
    out.push(low_byte(value));
}

#[inline]
#[expect(clippy::cast_possible_truncation, reason = "the rest follows")]
fn low_byte(value: u64) -> u8 {
    value as u8
}

/// Negative numbers take ten bytes: they are sent in two's complement.
#[inline]
pub(super) fn put_signed(value: i64, out: &mut Vec<u8>) {
    put_varint(value.cast_unsigned(), out);
}

#[inline]
pub(super) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Bytes of a varint.
pub(super) fn varint_bytes(value: u64) -> usize {
    let bits = u64::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Puts what `write` writes behind its length. Few are so long that the length takes more than one byte.
#[inline]
pub(super) fn put_message<E>(
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let at = out.len();
    out.push(0);
    write(out)?;
    let length = out.len() - at - 1;
    let more = varint_bytes(length as u64) - 1;
    if more > 0 {
        let end = out.len();
        out.resize(end + more, 0);
        out.copy_within(at + 1..end, at + 1 + more);
    }
    let mut rest = length as u64;
    for byte in &mut out[at..at + more] {
        *byte = low_byte(rest) | 0x80;
        rest >>= 7;
    }
    out[at + more] = low_byte(rest);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::encoding::{encode_varint, encoded_len_varint};

    use super::*;

    proptest! {
        /// Varints are those of the library, and as long as is said.
        #[test]
        fn varints_are_those_of_the_library(value: u64, shift in 0_u32..64) {
            let value = value >> shift;
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            put_varint(value, &mut ours);
            encode_varint(value, &mut theirs);
            prop_assert_eq!(&ours, &theirs);
            prop_assert_eq!(varint_bytes(value), encoded_len_varint(value));
        }

        /// A message of any length stands behind its length.
        #[test]
        fn messages_stand_behind_their_length(length in prop_oneof![0_usize..300, 16_000_usize..17_000]) {
            let mut out = vec![9];
            let write = |out: &mut Vec<u8>| { out.extend((0..=u8::MAX).cycle().take(length)); Ok::<_, ()>(()) };
            put_message(&mut out, write).unwrap();
            let mut expected = vec![9];
            encode_varint(length as u64, &mut expected);
            expected.extend((0..=u8::MAX).cycle().take(length));
            prop_assert_eq!(out, expected);
        }
    }
}
