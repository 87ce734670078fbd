//! Pure. Dead letters as rows of a list, and counted by topic and reason.

use std::collections::{BTreeMap, VecDeque};

use common::columns::columns;
use serde_json::{Value, json};

use crate::letter::{Letter, LetterId, timestamp_type};

/// Characters of an error that a row shows.
const ERROR_SHOWN: usize = 80;

/// One dead letter, without what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub id: LetterId,
    pub letter: Letter,
    pub key_bytes: Option<usize>,
    pub value_bytes: Option<usize>,
    pub is_replayed: bool,
}

/// The last rows of each partition.
#[derive(Clone, Debug)]
pub(super) struct Listing {
    /// Of each partition so many; `None` is all.
    limit: Option<usize>,
    rows: BTreeMap<u32, VecDeque<Row>>,
    left_out: u64,
}

/// How many there are, by topic and reason.
#[derive(Clone, Debug, Default)]
pub(super) struct Summary {
    counts: BTreeMap<(String, String), Count>,
    /// Those that may still turn out to have been sent back through.
    places: BTreeMap<LetterId, (String, String)>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    letters: u64,
    replayed: u64,
    first_ms: Option<i64>,
    last_ms: Option<i64>,
}

impl Listing {
    pub(super) fn new(limit: Option<usize>) -> Self {
        Self { limit, rows: BTreeMap::new(), left_out: 0 }
    }

    pub(super) fn push(&mut self, row: Row) {
        let rows = self.rows.entry(row.id.partition).or_default();
        rows.push_back(row);
        if self.limit.is_some_and(|limit| rows.len() > limit) {
            rows.pop_front();
            self.left_out += 1;
        }
    }

    /// That letter was sent back through.
    pub(super) fn replayed(&mut self, id: LetterId) {
        let Some(rows) = self.rows.get_mut(&id.partition) else { return };
        if let Ok(at) = rows.binary_search_by_key(&id, |row| row.id) {
            rows[at].is_replayed = true;
        }
    }

    pub(super) fn to_table(&self) -> String {
        let head =
            ["letter", "set aside", "record", "reason", "table", "attempt", "replayed", "error"];
        let table = columns(&head, self.rows().map(Row::cells).collect());
        match self.left_out {
            0 => table,
            more => format!("{table}and {more} earlier ones: --limit 0 shows all\n"),
        }
    }

    pub(super) fn to_json_lines(&self) -> String {
        self.rows().map(|row| format!("{}\n", row.to_json())).collect()
    }

    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values().flatten()
    }
}

impl Row {
    fn cells(&self) -> Vec<String> {
        let Letter { partition, offset, reason, table, attempt, error, .. } = &self.letter;
        let set_aside = self.letter.refused_at_ms.map(time).unwrap_or_default();
        vec![
            self.id.to_string(),
            set_aside,
            format!("{partition}/{offset}"),
            reason.clone(),
            table.clone(),
            attempt.to_string(),
            if self.is_replayed { "yes".into() } else { String::new() },
            shortened(error),
        ]
    }

    fn to_json(&self) -> Value {
        let Letter { partition, topic_id, offset, timestamp_ms, is_append_time, .. } = &self.letter;
        let Letter { refused_at_ms, consumer, table, attempt, reason, error, .. } = &self.letter;
        json!({
            "letter": self.id.to_string(),
            "topic": partition.topic(),
            "topic_id": topic_id,
            "partition": partition.partition(),
            "offset": offset,
            "timestamp_ms": timestamp_ms,
            "timestamp_type": timestamp_ms.map(|_| timestamp_type(*is_append_time)),
            "reason": reason,
            "error": error,
            "refused_at_ms": refused_at_ms,
            "consumer": consumer,
            "table": table,
            "attempt": attempt,
            "replayed": self.is_replayed,
            "key_bytes": self.key_bytes,
            "value_bytes": self.value_bytes,
        })
    }
}

impl Summary {
    pub(super) fn push(&mut self, row: Row) {
        let key = (row.letter.partition.topic().to_owned(), row.letter.reason);
        let count = self.counts.entry(key.clone()).or_default();
        let at = row.letter.refused_at_ms;
        count.letters += 1;
        count.first_ms = [count.first_ms, at].into_iter().flatten().min();
        count.last_ms = count.last_ms.max(at);
        self.places.insert(row.id, key);
    }

    /// That letter was sent back through.
    pub(super) fn replayed(&mut self, id: LetterId) {
        let key = self.places.remove(&id);
        if let Some(count) = key.and_then(|key| self.counts.get_mut(&key)) {
            count.replayed += 1;
        }
    }

    pub(super) fn to_table(&self) -> String {
        let rows = self.counts.iter().map(|((topic, reason), count)| {
            vec![
                topic.clone(),
                reason.clone(),
                count.letters.to_string(),
                count.replayed.to_string(),
                count.first_ms.map(time).unwrap_or_default(),
                count.last_ms.map(time).unwrap_or_default(),
            ]
        });
        columns(&["topic", "reason", "letters", "replayed", "first", "last"], rows.collect())
    }

    pub(super) fn to_json_lines(&self) -> String {
        let lines = self.counts.iter().map(|((topic, reason), count)| {
            let Count { letters, replayed, first_ms, last_ms } = count;
            let line = json!({"topic": topic, "reason": reason, "letters": letters,
                "replayed": replayed, "first_ms": first_ms, "last_ms": last_ms});
            format!("{line}\n")
        });
        lines.collect()
    }
}

/// Milliseconds since 1970 as people read them, in UTC.
pub(super) fn time(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |at| format!("{at:.3}"))
}

/// Text as it is, but for what would move a terminal's cursor; bytes that are no text in hexadecimal.
pub(super) fn readable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.chars().map(printable).collect(),
        Err(_) => {
            format!("0x{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        }
    }
}

fn printable(character: char) -> String {
    let is_harmless = !character.is_control() || ['\n', '\t'].contains(&character);
    if is_harmless { character.into() } else { character.escape_default().to_string() }
}

/// One line of it.
fn shortened(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    match line.char_indices().nth(ERROR_SHOWN) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::partition::TopicPartition;

    fn row(partition: u32, offset: u64, reason: &str) -> Row {
        let letter = Letter {
            reason: reason.into(),
            error: "line 1: \u{1b}[31mexpected `}`".into(),
            partition: TopicPartition::new("orders", 3),
            topic_id: "t".into(),
            offset: offset + 100,
            timestamp_ms: Some(5),
            is_append_time: true,
            refused_at_ms: Some(1_000 + i64::try_from(offset).unwrap()),
            consumer: 2,
            table: "sales".into(),
            attempt: 1,
        };
        let id = LetterId { partition, offset };
        Row { id, letter, key_bytes: None, value_bytes: Some(9), is_replayed: false }
    }

    #[test]
    fn the_last_of_each_partition_are_listed_and_the_rest_is_said() {
        let mut listing = Listing::new(Some(2));
        for (partition, offset) in [(0, 1), (0, 5), (0, 7), (1, 2)] {
            listing.push(row(partition, offset, "too_deep"));
        }
        for (partition, offset) in [(0, 1), (0, 7), (2, 7), (1, 1)] {
            listing.replayed(LetterId { partition, offset });
        }
        insta::assert_snapshot!(listing.to_table(), @r"
        letter  set aside                 record        reason    table  attempt  replayed  error
        0:5     1970-01-01T00:00:01.005Z  orders/3/105  too_deep  sales  1                  line 1:  [31mexpected `}`
        0:7     1970-01-01T00:00:01.007Z  orders/3/107  too_deep  sales  1        yes       line 1:  [31mexpected `}`
        1:2     1970-01-01T00:00:01.002Z  orders/3/102  too_deep  sales  1                  line 1:  [31mexpected `}`
        and 1 earlier ones: --limit 0 shows all
        ");
        let lines = listing.to_json_lines();
        let line = |at| lines.lines().nth(at).unwrap().parse::<Value>().unwrap();
        let (first, second) = (line(0), line(1));
        assert_eq!((&first["letter"], &first["timestamp_type"]), (&json!("0:5"), &json!("append")));
        assert_eq!((&first["key_bytes"], &first["value_bytes"]), (&json!(null), &json!(9)));
        assert_eq!((&first["replayed"], &second["replayed"]), (&json!(false), &json!(true)));
    }

    #[test]
    fn letters_are_counted_by_topic_and_reason_and_once_as_replayed() {
        let mut summary = Summary::default();
        for (offset, reason) in [(2, "a"), (1, "a"), (4, "a"), (3, "b")] {
            summary.push(row(0, offset, reason));
        }
        for offset in [2, 2, 9] {
            summary.replayed(LetterId { partition: 0, offset });
        }
        insta::assert_snapshot!(summary.to_table(), @r"
        topic   reason  letters  replayed  first                     last
        orders  a       3        1         1970-01-01T00:00:01.001Z  1970-01-01T00:00:01.004Z
        orders  b       1        0         1970-01-01T00:00:01.003Z  1970-01-01T00:00:01.003Z
        ");
    }

    #[test]
    fn what_is_shown_moves_no_cursor() {
        assert_eq!(readable("é\n\u{1b}[2J".as_bytes()), "é\n\\u{1b}[2J");
        assert_eq!(readable(&[0xff, 0x01]), "0xff01");
        assert_eq!(shortened(&"é".repeat(90)).chars().count(), 81);
    }
}
