//! Pure. JSON values for comparison: a strict reader that keeps numbers exact, and a canonical form.

use std::collections::BTreeMap;

/// Deeper values are refused, so that the reader's recursion stays small.
const DEPTH_MAX: u32 = 200;

/// A value whose numbers are in canonical decimal text, so that equal numbers are equal texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    Null,
    Bool(bool),
    /// As [`canonical_number`] writes it.
    Number(String),
    Text(String),
    Array(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

/// Why a text is no JSON value that could be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    #[error("no JSON at byte {0}")]
    Syntax(usize),
    #[error("a key occurs twice before byte {0}")]
    DuplicateKey(usize),
    #[error("nested deeper than {DEPTH_MAX}")]
    TooDeep,
    #[error("a number's exponent is beyond 64 bits")]
    Exponent,
}

impl Json {
    /// Reads a whole text: one value, with nothing but white space around it.
    pub fn parse(text: &[u8]) -> Result<Self, JsonError> {
        let mut reader = Reader { text, at: 0, depth: 0 };
        let value = reader.value()?;
        reader.skip_space();
        if reader.at == text.len() { Ok(value) } else { Err(JsonError::Syntax(reader.at)) }
    }

    /// The value without what a table cannot tell from absence: fields that hold null, `{}` or
    /// `[]`, or nothing but such. Within an array such an element is null, and an array of
    /// nothing else is as good as empty. `None` if nothing is left.
    #[must_use]
    pub fn pruned(self) -> Option<Self> {
        match self {
            Self::Null => None,
            Self::Bool(_) | Self::Number(_) | Self::Text(_) => Some(self),
            Self::Array(elements) => {
                let kept: Vec<_> = elements.into_iter().map(Self::pruned).collect();
                let is_empty = kept.iter().all(Option::is_none);
                let filled = kept.into_iter().map(|element| element.unwrap_or(Self::Null));
                (!is_empty).then(|| Self::Array(filled.collect()))
            }
            Self::Object(fields) => {
                let kept = fields.into_iter().filter_map(|(k, v)| Some((k, v.pruned()?)));
                let kept: BTreeMap<_, _> = kept.collect();
                (!kept.is_empty()).then_some(Self::Object(kept))
            }
        }
    }

    /// Appends a form that two values share exactly when they are equal.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.push(b'z'),
            Self::Bool(value) => out.push(if *value { b't' } else { b'f' }),
            Self::Number(text) => tagged(b'n', text, out),
            Self::Text(text) => tagged(b's', text, out),
            Self::Array(elements) => {
                out.push(b'[');
                elements.iter().for_each(|element| element.write(out));
                out.push(b']');
            }
            Self::Object(fields) => {
                out.push(b'{');
                for (key, value) in fields {
                    tagged(b'k', key, out);
                    value.write(out);
                }
                out.push(b'}');
            }
        }
    }
}

fn tagged(tag: u8, text: &str, out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(&u64::try_from(text.len()).expect("64 bits fit").to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

/// Writes a decimal number (`-12.50`, `1e3`) so that numbers are equal exactly when these texts are.
///
/// Whole numbers from 2⁵³ on that a double holds exactly are written as that double is: by its
/// shortest digits, which are others (2⁶³ is 9223372036854775808 and 9.223372036854776e18). Only so
/// do an integer and the column of doubles that it was stored in compare equal.
pub fn canonical_number(text: &str) -> Result<String, JsonError> {
    let exact = normalized(text)?;
    if exact.len() < SHORT_DIGITS {
        return Ok(exact);
    }
    match text.parse::<f64>() {
        Ok(double) if double.is_finite() && normalized(&format!("{double:.0}"))? == exact => {
            normalized(&format!("{double:e}"))
        }
        _ => Ok(exact),
    }
}

/// The number of that text. A float that no JSON number could have been (infinite, not a number) equals none.
pub fn number(text: &str) -> Json {
    Json::Number(canonical_number(text).unwrap_or_else(|_| text.to_owned()))
}

/// Numbers of fewer digits are the shortest digits of their double themselves.
const SHORT_DIGITS: usize = 16;

/// Sign, digits without zeros at either end, `e` and exponent.
fn normalized(text: &str) -> Result<String, JsonError> {
    let (sign, unsigned) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let significant = digits.trim_end_matches('0');
    let zeros = digits.len() - significant.len();
    let significant = significant.trim_start_matches('0');
    if significant.is_empty() {
        return Ok("0e0".into());
    }
    let shift = i64::try_from(zeros).expect("a text fits") - length(fraction);
    let exponent: i64 = exponent.parse().map_err(|_| JsonError::Exponent)?;
    let exponent = exponent.checked_add(shift).ok_or(JsonError::Exponent)?;
    Ok(format!("{sign}{significant}e{exponent}"))
}

fn length(text: &str) -> i64 {
    i64::try_from(text.len()).expect("a text fits")
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    depth: u32,
}

impl Reader<'_> {
    fn value(&mut self) -> Result<Json, JsonError> {
        self.skip_space();
        match self.peek() {
            Some(b'{') => self.nested(Self::object),
            Some(b'[') => self.nested(Self::array),
            Some(b'"') => Ok(Json::Text(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true", Json::Bool(true)),
            Some(b'f') => self.word(b"false", Json::Bool(false)),
            Some(b'n') => self.word(b"null", Json::Null),
            _ => Err(self.wrong()),
        }
    }

    fn nested(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<Json, JsonError>,
    ) -> Result<Json, JsonError> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return Err(JsonError::TooDeep);
        }
        self.at += 1;
        let value = read(self)?;
        self.depth -= 1;
        Ok(value)
    }

    fn object(&mut self) -> Result<Json, JsonError> {
        let mut fields = BTreeMap::new();
        if self.takes(b'}') {
            return Ok(Json::Object(fields));
        }
        loop {
            self.skip_space();
            let key = self.string()?;
            self.expect(b':')?;
            let value = self.value()?;
            if fields.insert(key, value).is_some() {
                return Err(JsonError::DuplicateKey(self.at));
            }
            if self.takes(b'}') {
                return Ok(Json::Object(fields));
            }
            self.expect(b',')?;
        }
    }

    fn array(&mut self) -> Result<Json, JsonError> {
        let mut elements = Vec::new();
        if self.takes(b']') {
            return Ok(Json::Array(elements));
        }
        loop {
            elements.push(self.value()?);
            if self.takes(b']') {
                return Ok(Json::Array(elements));
            }
            self.expect(b',')?;
        }
    }

    fn number(&mut self) -> Result<Json, JsonError> {
        let start = self.at;
        self.at += usize::from(self.peek() == Some(b'-'));
        if self.peek() == Some(b'0') {
            self.at += 1
        } else {
            self.digits()?
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            self.at += usize::from(matches!(self.peek(), Some(b'+' | b'-')));
            self.digits()?;
        }
        let text = std::str::from_utf8(&self.text[start..self.at]).expect("digits are ASCII");
        Ok(Json::Number(canonical_number(text)?))
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(self.wrong()) }
    }

    fn string(&mut self) -> Result<String, JsonError> {
        if self.peek() != Some(b'"') {
            return Err(self.wrong());
        }
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            match self.next()? {
                b'"' => break,
                b'\\' => self.escape(&mut bytes)?,
                0..=0x1f => return Err(self.wrong()),
                byte => bytes.push(byte),
            }
        }
        String::from_utf8(bytes).map_err(|_| self.wrong())
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), JsonError> {
        let plain = match self.next()? {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 0x08,
            b'f' => 0x0c,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let character = self.unicode()?;
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(self.wrong()),
        };
        bytes.push(plain);
        Ok(())
    }

    fn unicode(&mut self) -> Result<char, JsonError> {
        let first = self.hex()?;
        let code = if (0xd800..0xdc00).contains(&first) {
            let pair = (self.next()?, self.next()?);
            let second = if pair == (b'\\', b'u') { self.hex()? } else { 0 };
            if !(0xdc00..0xe000).contains(&second) {
                return Err(self.wrong());
            }
            0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
        } else {
            first
        };
        char::from_u32(code).ok_or_else(|| self.wrong())
    }

    fn hex(&mut self) -> Result<u32, JsonError> {
        (0..4).try_fold(0, |code, _| {
            let digit = char::from(self.next()?).to_digit(16).ok_or_else(|| self.wrong())?;
            Ok(code * 16 + digit)
        })
    }

    fn word(&mut self, word: &[u8], value: Json) -> Result<Json, JsonError> {
        if !self.text[self.at..].starts_with(word) {
            return Err(self.wrong());
        }
        self.at += word.len();
        Ok(value)
    }

    fn takes(&mut self, byte: u8) -> bool {
        self.skip_space();
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, byte: u8) -> Result<(), JsonError> {
        if self.takes(byte) { Ok(()) } else { Err(self.wrong()) }
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn next(&mut self) -> Result<u8, JsonError> {
        let byte = self.peek().ok_or_else(|| self.wrong())?;
        self.at += 1;
        Ok(byte)
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn wrong(&self) -> JsonError {
        JsonError::Syntax(self.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        Json::parse(text.as_bytes()).unwrap().pruned().unwrap_or(Json::Null).write(&mut out);
        out
    }

    #[test]
    fn equal_values_share_a_form_however_they_are_written() {
        let same = [
            (r#"{"a":1,"b":[true]}"#, r#" { "b" : [ true ] , "a" : 1.0 } "#),
            (r#"{"a":"Zoë\n/🦀"}"#, r#"{"\u0061":"Zo\u00eb\u000a\/\ud83e\udd80"}"#),
            (r#"{"a":100}"#, r#"{"a":1e2}"#),
            (r#"{"a":-12.5}"#, r#"{"a":-0.125E+2}"#),
            (r#"{"a":0}"#, r#"{"a":-0.00e7}"#),
            (r#"{"a":9223372036854775808}"#, r#"{"a":9.223372036854776e18}"#),
            (r#"{"a":1,"b":null,"c":{},"d":[],"e":{"f":null},"g":[null,{}]}"#, r#"{"a":1}"#),
            (r#"{"a":[1,{},2]}"#, r#"{"a":[1,null,2]}"#),
        ];
        for (one, other) in same {
            assert_eq!(canonical(one), canonical(other), "{one} and {other}");
        }
    }

    #[test]
    fn different_values_have_different_forms() {
        let all = [
            r#"{"a":1}"#,
            r#"{"a":"1"}"#,
            r#"{"a":-1}"#,
            r#"{"a":10}"#,
            r#"{"a":[1]}"#,
            r#"{"a":[1,null]}"#,
            r#"{"a":[[1]]}"#,
            r#"{"a":true}"#,
            r#"{"A":1}"#,
            r#"{"a":{"a":1}}"#,
            r#"{"a":9223372036854775807}"#,
            r#"{"a":9223372036854775808}"#,
            r#"{"a":9007199254740993}"#,
            r#"{"a":9007199254740992}"#,
            r#"{"a":0.1}"#,
            r#"{"a":0.10000000000000001}"#,
            r#"{"a":"b","c":"d"}"#,
            r#"{"a":"bkc"}"#,
        ];
        let forms: std::collections::BTreeSet<_> = all.iter().map(|text| canonical(text)).collect();
        assert_eq!(forms.len(), all.len());
    }

    #[test]
    fn what_is_no_json_is_refused() {
        let refused = [
            "",
            "{",
            "{}x",
            "{'a':1}",
            r#"{"a":01}"#,
            r#"{"a":1.}"#,
            r#"{"a":.5}"#,
            "[1,]",
            "tru",
            r#""\ud800""#,
            r#""\ud800\u0041""#,
            r#""\udc00""#,
            "\"\u{1}\"",
            r#"{"a":1,"a":2}"#,
            r#"{"a":{"b":1,"\u0062":2}}"#,
            "+1",
            "NaN",
            "1e",
            r#"{"a" 1}"#,
        ];
        for text in refused {
            assert!(Json::parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Json::parse(b"\"\xff\"").is_err());
        let deep = "[".repeat(100_000);
        assert_eq!(Json::parse(deep.as_bytes()), Err(JsonError::TooDeep));
        assert_eq!(Json::parse(b"1e99999999999999999999"), Err(JsonError::Exponent));
    }
}
