//! Pure. Orders of a shop as flat records of about 300 bytes, the same ones each time, in JSON and in Avro.

use anyhow::Context as _;
use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use clap::ValueEnum;
use rand::rngs::ChaCha8Rng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use super::event::Event;

/// The schema of an order in Avro.
pub const SCHEMA: &str = include_str!("order.avsc");
/// When the first order was made, milliseconds since 1970.
const BEGIN_MS: i64 = 1_767_225_600_000;
const MS_PER_ORDER: i64 = 7;
const WORDS: [&str; 16] = [
    "amber", "basil", "cedar", "dune", "ember", "fjord", "grove", "harbor", "iris", "juniper",
    "kelp", "lagoon", "maple", "nectar", "opal", "pine",
];
const COUNTRIES: [&str; 5] = ["PT", "ES", "FR", "DE", "IT"];
const STATES: [&str; 4] = ["new", "paid", "sent", "returned"];
const NOTE_WORDS: usize = 17;

/// How orders are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum OrderFormat {
    #[default]
    Json,
    /// Avro's binary encoding of [`SCHEMA`], and nothing before it.
    Avro,
}

/// An endless stream of orders; equal seeds give equal streams.
pub struct Orders {
    rng: ChaCha8Rng,
    next: i64,
    note_bytes: usize,
    writer: Option<GenericDatumWriter<'static>>,
}

struct Order {
    order_id: i64,
    customer_id: i64,
    country: &'static str,
    status: &'static str,
    cents: i64,
    items: i32,
    created_at: i64,
    express: bool,
    sku: String,
    note: String,
}

impl Orders {
    /// `note_bytes` is the least that the note of an order takes; 0 gives records of about 300 bytes.
    ///
    /// # Errors
    /// If Avro refuses the schema.
    pub fn new(seed: u64, format: OrderFormat, note_bytes: usize) -> anyhow::Result<Self> {
        let writer = match format {
            OrderFormat::Json => None,
            OrderFormat::Avro => Some(avro_writer()?),
        };
        Ok(Self { rng: ChaCha8Rng::seed_from_u64(seed), next: 0, note_bytes, writer })
    }

    /// # Errors
    /// If Avro refuses an order.
    pub fn next_event(&mut self) -> anyhow::Result<Event> {
        let order = self.order();
        let value = match &self.writer {
            None => order.json(),
            Some(writer) => writer.write_value_to_vec(order.avro()).context("Avro refuses it")?,
        };
        Ok(Event { key: Some(order.order_id.to_string().into_bytes()), value })
    }

    fn order(&mut self) -> Order {
        let order_id = self.next;
        self.next += 1;
        let rng = &mut self.rng;
        let mut note = String::new();
        for _ in 0..NOTE_WORDS {
            note.push_str(pick(&WORDS, rng));
            note.push(' ');
        }
        while note.len() < self.note_bytes {
            note.push_str(pick(&WORDS, rng));
            note.push(' ');
        }
        note.pop();
        Order {
            order_id,
            customer_id: rng.random_range(0..1 << 31),
            country: pick(&COUNTRIES, rng),
            status: pick(&STATES, rng),
            cents: rng.random_range(0..100_000),
            items: rng.random_range(1..12),
            created_at: BEGIN_MS + order_id * MS_PER_ORDER,
            express: rng.random_ratio(1, 5),
            sku: format!("{}-{:06}", pick(&WORDS, rng), rng.random_range(0..1_000_000_u32)),
            note,
        }
    }
}

impl Order {
    fn amount(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
        let cents = self.cents as f64;
        cents / 100.0
    }

    fn json(&self) -> Vec<u8> {
        let Self { order_id, customer_id, country, status, items, .. } = self;
        let Self { created_at, express, sku, note, .. } = self;
        let amount = self.amount();
        let text = format!(
            r#"{{"order_id":{order_id},"customer_id":{customer_id},"country":"{country}","status":"{status}","amount":{amount:?},"currency":"EUR","items":{items},"created_at":{created_at},"express":{express},"sku":"{sku}","note":"{note}"}}"#
        );
        text.into_bytes()
    }

    fn avro(&self) -> Value {
        let text = |text: &str| Value::String(text.into());
        let fields = [
            ("order_id", Value::Long(self.order_id)),
            ("customer_id", Value::Long(self.customer_id)),
            ("country", text(self.country)),
            ("status", text(self.status)),
            ("amount", Value::Double(self.amount())),
            ("currency", text("EUR")),
            ("items", Value::Int(self.items)),
            ("created_at", Value::TimestampMillis(self.created_at)),
            ("express", Value::Boolean(self.express)),
            ("sku", text(&self.sku)),
            ("note", text(&self.note)),
        ];
        Value::Record(fields.map(|(name, value)| (name.to_owned(), value)).into())
    }
}

fn avro_writer() -> anyhow::Result<GenericDatumWriter<'static>> {
    let schema = Schema::parse_str(SCHEMA).context("Avro refuses the schema of orders")?;
    // One for the life of the process.
    let schema: &'static Schema = Box::leak(Box::new(schema));
    GenericDatumWriter::builder(schema).build().context("Avro refuses the schema of orders")
}

fn pick(from: &[&'static str], rng: &mut ChaCha8Rng) -> &'static str {
    from.choose(rng).expect("the lists are not empty")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders(format: OrderFormat) -> Vec<Event> {
        let mut orders = Orders::new(7, format, 0).unwrap();
        (0..1_000).map(|_| orders.next_event().unwrap()).collect()
    }

    /// Both formats say the same, in records of about 300 bytes of JSON.
    #[test]
    fn an_order_is_the_same_in_both_formats() {
        let schema = Schema::parse_str(SCHEMA).unwrap();
        let (json, avro) = (orders(OrderFormat::Json), orders(OrderFormat::Avro));
        let bytes: usize = json.iter().map(|event| event.value.len()).sum();
        assert!((270_000..330_000).contains(&bytes), "{bytes}");
        for (json, avro) in json.iter().zip(&avro) {
            assert_eq!(json.key, avro.key);
            let json: serde_json::Value = serde_json::from_slice(&json.value).unwrap();
            let read = apache_avro::reader::datum::GenericDatumReader::builder(&schema);
            let value = read.build().unwrap().read_value(&mut avro.value.as_slice()).unwrap();
            let value: serde_json::Value = value.try_into().unwrap();
            assert_eq!(value, json);
        }
    }

    #[test]
    fn a_note_may_be_long() {
        let mut orders = Orders::new(7, OrderFormat::Json, 10_000).unwrap();
        let bytes = orders.next_event().unwrap().value.len();
        assert!((10_100..10_400).contains(&bytes), "{bytes}");
    }
}
