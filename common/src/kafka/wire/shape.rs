//! Pure. Checks that the bytes of an answer are what its schema says, before anything is allocated.
//!
//! The decoders of `kafka-protocol` reserve memory for as many elements as an array claims to have,
//! and so end the process where a frame claims two billion. What passes here holds every element
//! that it claims.

use thiserror::Error;

/// How a field is laid out.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Field {
    /// So many bytes.
    Fixed(usize),
    /// Text with a two-byte length; −1 is none.
    Text,
    /// Bytes with a four-byte length; −1 is none.
    Bytes,
    /// Text or bytes with a varint length, one more than the real one; 0 is none.
    Compact,
    /// Elements with a four-byte number of them; −1 is none.
    Array(&'static [Field]),
    /// Elements with a varint number of them, one more than the real one; 0 is none.
    CompactArray(&'static [Field]),
    /// Tagged fields.
    Tags,
    /// There in versions from the first to the second only.
    Within(i16, i16, &'static Field),
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum ShapeError {
    #[error("the answer ends in the middle of a field")]
    Truncated,
    #[error("the answer has a length that cannot be")]
    Length,
    #[error("the answer claims {claimed} elements, more than its {remaining} bytes can hold")]
    Claim { claimed: usize, remaining: usize },
    #[error("the answer has {0} bytes too many")]
    Trailing(usize),
}

/// Unknown tags of one struct that are put up with: each costs much more memory than bytes.
const TAGS_MAX: usize = 16;

/// Checks all of `bytes` against the fields of a message in that version.
pub(crate) fn check(bytes: &[u8], fields: &[Field], version: i16) -> Result<(), ShapeError> {
    let mut walk = Walk { rest: bytes, version };
    walk.fields(fields)?;
    match walk.rest.len() {
        0 => Ok(()),
        trailing => Err(ShapeError::Trailing(trailing)),
    }
}

struct Walk<'a> {
    rest: &'a [u8],
    version: i16,
}

impl Walk<'_> {
    fn fields(&mut self, fields: &[Field]) -> Result<(), ShapeError> {
        fields.iter().try_for_each(|field| self.field(field))
    }

    fn field(&mut self, field: &Field) -> Result<(), ShapeError> {
        match field {
            Field::Fixed(bytes) => self.skip(*bytes),
            Field::Text => {
                let length = i32::from(i16::from_be_bytes(self.take()?));
                self.skip(length_or_none(length)?)
            }
            Field::Bytes => {
                let length = i32::from_be_bytes(self.take()?);
                self.skip(length_or_none(length)?)
            }
            Field::Compact => {
                let length = self.varint()?;
                self.skip(length.saturating_sub(1))
            }
            Field::Array(element) => {
                let count = i32::from_be_bytes(self.take()?);
                self.elements(length_or_none(count)?, element)
            }
            Field::CompactArray(element) => {
                let count = self.varint()?;
                self.elements(count.saturating_sub(1), element)
            }
            Field::Tags => self.tags(),
            Field::Within(first, last, field) if (*first..=*last).contains(&self.version) => {
                self.field(field)
            }
            Field::Within(..) => Ok(()),
        }
    }

    fn elements(&mut self, count: usize, element: &[Field]) -> Result<(), ShapeError> {
        let remaining = self.rest.len();
        if count > remaining {
            return Err(ShapeError::Claim { claimed: count, remaining });
        }
        (0..count).try_for_each(|_| self.fields(element))
    }

    fn tags(&mut self) -> Result<(), ShapeError> {
        let count = self.varint()?;
        if count > TAGS_MAX {
            return Err(ShapeError::Length);
        }
        for _ in 0..count {
            self.varint()?;
            let length = self.varint()?;
            self.skip(length)?;
        }
        Ok(())
    }

    fn varint(&mut self) -> Result<usize, ShapeError> {
        let mut value = 0_u64;
        for shift in [0, 7, 14, 21, 28] {
            let [byte] = self.take()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let value = u32::try_from(value).map_err(|_| ShapeError::Length)?;
                return usize::try_from(value).map_err(|_| ShapeError::Length);
            }
        }
        Err(ShapeError::Length)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], ShapeError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(ShapeError::Truncated)?;
        self.rest = rest;
        Ok(*taken)
    }

    fn skip(&mut self, bytes: usize) -> Result<(), ShapeError> {
        self.rest = self.rest.get(bytes..).ok_or(ShapeError::Truncated)?;
        Ok(())
    }
}

fn length_or_none(length: i32) -> Result<usize, ShapeError> {
    match length {
        -1 => Ok(0),
        length => usize::try_from(length).map_err(|_| ShapeError::Length),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAIRS: &[Field] = &[Field::Array(&[Field::Fixed(2), Field::Text])];
    const COMPACT: &[Field] = &[
        Field::Within(2, 3, &Field::Fixed(1)),
        Field::CompactArray(&[Field::Compact, Field::Tags]),
        Field::Tags,
    ];

    #[test]
    fn a_claim_beyond_the_bytes_is_refused_before_it_is_followed() {
        assert_eq!(
            check(&[0x7f, 0xff, 0xff, 0xff, 0, 0], PAIRS, 0),
            Err(ShapeError::Claim { claimed: 0x7fff_ffff, remaining: 2 })
        );
        assert_eq!(
            check(&[0xff, 0xff, 0xff, 0xff, 0x0f], COMPACT, 0),
            Err(ShapeError::Claim { claimed: 0xffff_fffe, remaining: 0 })
        );
    }

    #[test]
    fn what_is_whole_passes_and_nothing_else() {
        let pair = [0, 0, 0, 1, 9, 9, 0, 2, b'h', b'i'];
        assert_eq!(check(&pair, PAIRS, 0), Ok(()));
        for end in 0..pair.len() {
            assert!(check(&pair[..end], PAIRS, 0).is_err(), "{end}");
        }
        assert_eq!(check(&[0xff; 4], PAIRS, 0), Ok(()));
        assert_eq!(check(&[0, 0, 0, 0, 7], PAIRS, 0), Err(ShapeError::Trailing(1)));
        assert_eq!(check(&[0xff, 0xff, 0xff, 0xfe], PAIRS, 0), Err(ShapeError::Length));
        assert_eq!(check(&[2, 2, b'x', 1, 5, 1, 9, 0], COMPACT, 0), Ok(()));
        assert_eq!(check(&[7, 1, 0], COMPACT, 2), Ok(()));
        assert_eq!(check(&[1, 0x80, 0x80, 0x80, 0x80, 0x80], COMPACT, 0), Err(ShapeError::Length));
    }

    proptest! {
        /// Whatever arrives is judged without panic, and what passes is used up to its last byte.
        #[test]
        fn any_bytes_are_judged(bytes: Vec<u8>, version in 0_i16..5) {
            for fields in [PAIRS, COMPACT] {
                if check(&bytes, fields, version).is_ok() {
                    prop_assert!(check(&bytes[..bytes.len() - 1], fields, version).is_err());
                }
            }
        }
    }
}
