//! Pure. Avro's binary encoding, piece by piece: <https://avro.apache.org/docs/1.12.0/specification/#binary-encoding>.

/// The bytes are not what their schema says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::decode) struct Malformed {
    /// What is wrong, and at which byte.
    pub(in crate::decode) text: String,
}

/// What of a datum is yet to be read.
#[derive(Clone, Debug)]
pub(in crate::decode) struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Elements without bytes of their own that may yet come: a few bytes could claim billions.
    empty_elements_left: usize,
}

const EMPTY_ELEMENTS_MAX: usize = 100_000;

impl<'a> Input<'a> {
    pub(in crate::decode) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, empty_elements_left: EMPTY_ELEMENTS_MAX }
    }

    /// Where the next byte stands.
    pub(in crate::decode) fn at(&self) -> usize {
        self.at
    }

    /// The same bytes from another place on.
    pub(in crate::decode) fn from(&self, at: usize) -> Self {
        Self { at, ..self.clone() }
    }

    pub(in crate::decode) fn finish(&self) -> Result<(), Malformed> {
        match self.left() {
            0 => Ok(()),
            left => Err(self.malformed(format_args!("{left} bytes are left over"))),
        }
    }

    pub(in crate::decode) fn boolean(&mut self) -> Result<bool, Malformed> {
        match self.take(1)? {
            [0] => Ok(false),
            [1] => Ok(true),
            other => Err(self.malformed(format_args!("{} is no boolean", other[0]))),
        }
    }

    /// A zig-zag encoded integer of up to 64 bits, `long` or `int`.
    pub(in crate::decode) fn long(&mut self) -> Result<i64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                let halved = (value >> 1).cast_signed();
                return Ok(if value & 1 == 0 { halved } else { !halved });
            }
        }
        Err(self.malformed(format_args!("an integer is longer than 64 bits")))
    }

    pub(in crate::decode) fn int(&mut self) -> Result<i32, Malformed> {
        let value = self.long()?;
        i32::try_from(value).map_err(|_| self.malformed(format_args!("{value} is no 32-bit int")))
    }

    pub(in crate::decode) fn float(&mut self) -> Result<f32, Malformed> {
        Ok(f32::from_le_bytes(self.array()?))
    }

    pub(in crate::decode) fn double(&mut self) -> Result<f64, Malformed> {
        Ok(f64::from_le_bytes(self.array()?))
    }

    /// Bytes behind their length.
    pub(in crate::decode) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.long()?;
        let length = usize::try_from(length)
            .map_err(|_| self.malformed(format_args!("{length} is no length")))?;
        self.take(length)
    }

    pub(in crate::decode) fn text(&mut self) -> Result<&'a str, Malformed> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes)
            .map_err(|_| self.malformed(format_args!("a string is not UTF-8")))
    }

    pub(in crate::decode) fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        Ok(self.take(N)?.try_into().expect("as many bytes were taken"))
    }

    pub(in crate::decode) fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        if count > self.left() {
            let left = self.left();
            return Err(
                self.malformed(format_args!("it ends {left} bytes later, {count} are needed"))
            );
        }
        let taken = &self.bytes[self.at..self.at + count];
        self.at += count;
        Ok(taken)
    }

    /// Which of `count` branches or symbols is meant.
    pub(in crate::decode) fn index(&mut self, count: usize) -> Result<usize, Malformed> {
        let index = self.long()?;
        usize::try_from(index).ok().filter(|index| *index < count).ok_or_else(|| {
            self.malformed(format_args!("{index} is none of the {count} branches or symbols"))
        })
    }

    /// How many elements the next block of an array or map has; 0 ends it.
    pub(in crate::decode) fn block(&mut self) -> Result<u64, Malformed> {
        let count = self.long()?;
        if count < 0 {
            // The block's size in bytes, for those who want to skip it.
            self.long()?;
        }
        Ok(count.unsigned_abs())
    }

    /// To be called after each element of a block, with where it began.
    pub(in crate::decode) fn count_element(&mut self, began_at: usize) -> Result<(), Malformed> {
        if self.at == began_at {
            self.empty_elements_left =
                self.empty_elements_left.checked_sub(1).ok_or_else(|| {
                    self.malformed(format_args!(
                        "more than {EMPTY_ELEMENTS_MAX} elements are empty"
                    ))
                })?;
        }
        Ok(())
    }

    pub(in crate::decode) fn malformed(&self, what: std::fmt::Arguments<'_>) -> Malformed {
        Malformed { text: format!("{what}, at byte {}", self.at) }
    }

    fn left(&self) -> usize {
        self.bytes.len() - self.at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_read_as_far_as_64_bits() {
        for (bytes, expected) in [
            (&[0][..], Some(0)),
            (&[1], Some(-1)),
            (&[2], Some(1)),
            (&[0x80, 1], Some(64)),
            (&[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], Some(i64::MAX)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1], Some(i64::MIN)),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2], None),
            (&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x81, 0], None),
            (&[0x80], None),
            (&[], None),
        ] {
            assert_eq!(Input::new(bytes).long().ok(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn what_is_no_value_is_told_with_its_place() {
        let text = |result: Result<(), Malformed>| result.unwrap_err().text;
        assert_eq!(
            text(Input::new(&[8, b'a']).bytes().map(drop)),
            "it ends 1 bytes later, 4 are needed, at byte 1"
        );
        assert_eq!(text(Input::new(&[1]).bytes().map(drop)), "-1 is no length, at byte 1");
        assert_eq!(text(Input::new(&[2]).boolean().map(drop)), "2 is no boolean, at byte 1");
        assert_eq!(
            text(Input::new(&[4]).index(2).map(drop)),
            "2 is none of the 2 branches or symbols, at byte 1"
        );
        assert_eq!(text(Input::new(&[4]).finish()), "1 bytes are left over, at byte 0");
    }
}
