//! Pure. Made-up orders as JSON: nested, with unicode, nulls, arrays, numbers and absent fields.

use std::fmt::Write as _;

use common::moment::Timestamp;
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

const NAMES: [&str; 8] =
    ["Zoë", "Łukasz", "小林", "Ødegård", "نور", "O'Brien \\\"Bob\\\"", "🦀 Ferris", "Ana\\tMaria"];
const CITIES: [&str; 6] = ["Porto", "København", "東京", "São Paulo", "Kraków", "Αθήνα"];
const TAGS: [&str; 5] = ["new", "gift", "søndag", "🎁", "b2b"];
const KEYLESS_ONE_IN: u32 = 16;

/// One record to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub key: Option<Vec<u8>>,
    pub value: Vec<u8>,
}

impl Event {
    /// Bytes of key and value.
    pub fn size(&self) -> usize {
        self.key.as_ref().map_or(0, Vec::len) + self.value.len()
    }
}

/// An endless stream of events; equal seeds give equal streams, but for the times handed in.
#[derive(Debug)]
pub struct Events {
    rng: ChaCha8Rng,
    sequence: u64,
    record_bytes: usize,
}

impl Events {
    /// Events of about `record_bytes`; a little over 300 is the least that they take.
    pub fn new(seed: u64, record_bytes: usize) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed), sequence: 0, record_bytes }
    }

    pub fn next_event(&mut self, at: Timestamp) -> Event {
        self.sequence += 1;
        let user = self.rng.random_range(0..10_000_u32);
        let keyless = self.rng.random_range(0..KEYLESS_ONE_IN) == 0;
        let key = (!keyless).then(|| format!("user-{user}").into_bytes());
        Event { key, value: self.value(user, at).into_bytes() }
    }

    fn value(&mut self, user: u32, at: Timestamp) -> String {
        let mut text = String::with_capacity(self.record_bytes + 64);
        let id: u64 = self.rng.random();
        let sequence = self.sequence;
        put(&mut text, format_args!(r#"{{"id":"{id:016x}","sequence":{sequence},"#));
        put(&mut text, format_args!(r#""at":"{}","at_ms":{},"#, rfc3339(at), at.0));
        self.put_customer(&mut text, user);
        self.put_amounts(&mut text);
        self.put_lists(&mut text);
        self.put_padding(&mut text);
        text.push('}');
        text
    }

    fn put_customer(&mut self, text: &mut String, user: u32) {
        let name = pick(&NAMES, &mut self.rng);
        let city = pick(&CITIES, &mut self.rng);
        let zip = self.rng.random_range(1_000..100_000_u32);
        put(text, format_args!(r#""customer":{{"id":{user},"name":"{name}","address":{{"#));
        put(text, format_args!(r#""city":"{city}","zip":"{zip:05}"}}}},"#));
    }

    fn put_amounts(&mut self, text: &mut String) {
        let (units, cents) = (self.rng.random_range(-50..5_000_i32), self.rng.random_range(1..100));
        put(
            text,
            format_args!(r#""total":{units}.{cents:02},"paid":{},"#, self.rng.random::<bool>()),
        );
        match self.rng.random_range(0..4_u32) {
            0 => text.push_str(r#""coupon":null,"#),
            1 => put(text, format_args!(r#""coupon":"C{:04}","#, self.rng.random_range(0..9_999))),
            _ => {}
        }
    }

    fn put_lists(&mut self, text: &mut String) {
        text.push_str(r#""tags":["#);
        for tag in 0..self.rng.random_range(0..3_u32) {
            let comma = if tag == 0 { "" } else { "," };
            put(text, format_args!(r#"{comma}"{}""#, pick(&TAGS, &mut self.rng)));
        }
        text.push_str(r#"],"items":["#);
        for item in 0..self.rng.random_range(1..3_u32) {
            let comma = if item == 0 { "" } else { "," };
            let sku = self.rng.random_range(0..500_u32);
            let quantity = self.rng.random_range(1..9_u32);
            put(text, format_args!(r#"{comma}{{"sku":"S-{sku}","quantity":{quantity}}}"#));
        }
        text.push(']');
    }

    fn put_padding(&mut self, text: &mut String) {
        let framing = r#","note":""}"#.len();
        let missing = self.record_bytes.saturating_sub(text.len() + framing);
        if missing == 0 {
            return;
        }
        text.push_str(r#","note":""#);
        text.extend((0..missing).map(|_| char::from(self.rng.random_range(b'a'..=b'z'))));
        text.push('"');
    }
}

fn put(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    text.write_fmt(arguments).expect("a String takes everything");
}

fn pick(from: &[&'static str], rng: &mut ChaCha8Rng) -> &'static str {
    from.choose(rng).expect("the lists are not empty")
}

/// `2026-03-01T12:00:00.123Z`, from the civil calendar in eras of 400 years.
fn rfc3339(at: Timestamp) -> String {
    let (days, of_day) = (at.0.div_euclid(86_400_000), at.0.rem_euclid(86_400_000));
    let since_era_0 = days + 719_468; // from 0000-03-01, so that the leap day ends a year
    let (era, day) = (since_era_0.div_euclid(146_097), since_era_0.rem_euclid(146_097));
    let year_of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, milli) = (of_day / 1_000 % 60, of_day % 1_000);
    format!("{year:04}-{month:02}-{day_of_month:02}T{hour:02}:{minute:02}:{second:02}.{milli:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    const AT: Timestamp = Timestamp(1_772_366_400_123);

    #[test]
    fn every_event_is_a_json_object_of_about_the_size_asked_for() {
        let mut events = Events::new(1, 400);
        for _ in 0..2_000 {
            let event = events.next_event(AT);
            let value: serde_json::Value = serde_json::from_slice(&event.value).unwrap();
            assert!(value["customer"]["address"]["city"].is_string());
            assert!((395..=440).contains(&event.value.len()), "{}", event.value.len());
        }
    }

    #[test]
    fn nulls_absent_fields_empty_lists_and_missing_keys_all_occur() {
        let mut events = Events::new(1, 300);
        let all: Vec<Event> = (0..500).map(|_| events.next_event(AT)).collect();
        let texts: Vec<_> = all.iter().map(|event| String::from_utf8_lossy(&event.value)).collect();
        assert!(texts.iter().any(|text| text.contains(r#""coupon":null"#)));
        assert!(texts.iter().any(|text| !text.contains("coupon")));
        assert!(texts.iter().any(|text| text.contains(r#""tags":[]"#)));
        assert!(texts.iter().any(|text| text.contains("小林")));
        assert!(all.iter().any(|event| event.key.is_none()));
    }

    #[test]
    fn equal_seeds_give_equal_events() {
        let (mut one, mut two) = (Events::new(5, 300), Events::new(5, 300));
        let mut other = Events::new(6, 300);
        assert_eq!(one.next_event(AT), two.next_event(AT));
        assert_ne!(one.next_event(AT), other.next_event(AT));
    }

    #[test]
    fn times_are_written_by_the_calendar() {
        assert_eq!(rfc3339(AT), "2026-03-01T12:00:00.123Z");
        assert_eq!(rfc3339(Timestamp(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(rfc3339(Timestamp(951_782_399_999)), "2000-02-28T23:59:59.999Z");
        assert_eq!(rfc3339(Timestamp(951_782_400_000)), "2000-02-29T00:00:00.000Z");
        assert_eq!(rfc3339(Timestamp(4_107_542_399_000)), "2100-02-28T23:59:59.000Z");
        assert_eq!(rfc3339(Timestamp(4_107_542_400_000)), "2100-03-01T00:00:00.000Z");
    }
}
