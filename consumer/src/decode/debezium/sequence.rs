//! Pure. Where a change stands among all changes of its row, as a number that BigQuery compares: up to four sections
//! of up to 16 hexadecimal digits, the first of which counts most.

use std::collections::BTreeMap;

use common::messages::entry::SequenceBy;

/// What a change event says of its source, as text.
pub(super) type Source = BTreeMap<String, String>;

/// The number of a change: the position in the source, then the offset in Kafka.
///
/// # Errors
/// If the source has positions and this event tells none.
pub(super) fn number(by: SequenceBy, source: &Source, offset: u64) -> Result<String, String> {
    let position = match by {
        SequenceBy::Offset => Vec::new(),
        SequenceBy::Source => position(source)?,
    };
    let sections = position.into_iter().chain([offset]);
    Ok(sections.map(|section| format!("{section:X}")).collect::<Vec<_>>().join("/"))
}

/// Up to three sections; none where nothing is known of the connector.
fn position(source: &Source) -> Result<Vec<u64>, String> {
    let text = |name: &str| source.get(name).map(String::as_str);
    let decimal = |name: &str| match text(name) {
        None => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| unreadable(name, text)),
    };
    let needed = |name: &str| decimal(name)?.ok_or_else(|| missing(name));
    Ok(match text("connector") {
        Some("postgresql") => postgresql(source, needed("lsn")?)?,
        Some("mysql" | "mariadb") => {
            let file = text("file").ok_or_else(|| missing("file"))?;
            let digits = file.rsplit('.').next().unwrap_or_default();
            let file = digits.parse().map_err(|_| unreadable("file", file))?;
            vec![file, needed("pos")?, decimal("row")?.unwrap_or(0)]
        }
        Some("sqlserver") => {
            let commit = log_position("commit_lsn", text("commit_lsn"))?;
            let commit = commit.ok_or_else(|| missing("commit_lsn"))?;
            let change = log_position("change_lsn", text("change_lsn"))?.unwrap_or(0);
            let serial = decimal("event_serial_no")?.unwrap_or(0);
            sections_of(commit, change, serial)
        }
        Some("oracle") => {
            let scn = needed("scn")?;
            let within = if is_snapshot(source) { 0 } else { scn };
            vec![decimal("commit_scn")?.unwrap_or(scn), within]
        }
        Some("mongodb") => vec![needed("ts_ms")?, decimal("ord")?.unwrap_or(0)],
        _ => Vec::new(),
    })
}

/// Transactions come in the order of their commits: what was committed last before the event counts first, then its
/// own place. A snapshot's row has none: it is before all that follow it, also before changes that were made, and not
/// committed, when it was read.
fn postgresql(source: &Source, lsn: u64) -> Result<Vec<u64>, String> {
    let sequence = source.get("sequence").map_or("[]", String::as_str);
    let unreadable = || unreadable("sequence", sequence);
    let parts: Vec<Option<String>> = serde_json::from_str(sequence).map_err(|_| unreadable())?;
    let committed = match parts.into_iter().next().flatten() {
        Some(text) => text.parse().map_err(|_| unreadable())?,
        None => lsn,
    };
    Ok(vec![committed, if is_snapshot(source) { 0 } else { lsn }])
}

fn is_snapshot(source: &Source) -> bool {
    source.get("snapshot").is_some_and(|snapshot| snapshot != "false")
}

/// Eight, eight and four hexadecimal digits.
fn log_position(name: &str, text: Option<&str>) -> Result<Option<u128>, String> {
    let Some(text) = text else { return Ok(None) };
    let parts: Vec<_> = text.split(':').collect();
    let has_form = parts.iter().map(|part| part.len()).eq([8, 8, 4]);
    let digits = parts.concat();
    let is_plain = has_form && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = is_plain.then(|| u128::from_str_radix(&digits, 16).ok()).flatten();
    number.map(Some).ok_or_else(|| unreadable(name, text))
}

/// 80, 80 and 32 bits, one behind the other.
fn sections_of(commit: u128, change: u128, serial: u64) -> Vec<u64> {
    let low =
        |number: u128| u64::try_from(number & u128::from(u64::MAX)).expect("64 bits are left");
    let rest = (low(change) & 0xffff_ffff) << 32 | serial & 0xffff_ffff;
    vec![low(commit >> 16), low(commit & 0xffff) << 48 | low(change >> 32), rest]
}

fn missing(name: &str) -> String {
    format!(
        "its source tells no `{name}`, by which changes are ordered: set the option `sequence` to `offset` to order them \
         as they stand in the topic"
    )
}

fn unreadable(name: &str, text: &str) -> String {
    format!(
        "the `{name}` of its source is {text:?}, by which changes cannot be ordered: set the option `sequence` to `offset`"
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn source(members: &[(&str, &str)]) -> Source {
        members.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    fn numbered(members: &[(&str, &str)], offset: u64) -> Result<String, String> {
        number(SequenceBy::Source, &source(members), offset)
    }

    /// As the service compares them.
    fn compared(number: &str) -> Vec<u64> {
        let section = |section: &str| {
            assert!((1..=16).contains(&section.len()), "{number}");
            u64::from_str_radix(section, 16).unwrap()
        };
        let sections: Vec<_> = number.split('/').map(section).collect();
        assert!(sections.len() <= 4, "{number}");
        sections
    }

    #[test]
    fn each_connector_has_its_position() {
        let sequence = "[\"100\",\"255\"]";
        for (members, number) in [
            (
                &[("connector", "postgresql"), ("lsn", "255"), ("sequence", sequence)][..],
                "64/FF/10",
            ),
            (
                &[("connector", "postgresql"), ("lsn", "255"), ("sequence", "[null,\"255\"]")],
                "FF/FF/10",
            ),
            (&[("connector", "postgresql"), ("lsn", "255"), ("snapshot", "first")], "FF/0/10"),
            (
                &[("connector", "mysql"), ("file", "bin.000011"), ("pos", "32"), ("row", "1")],
                "B/20/1/10",
            ),
            (&[("connector", "mariadb"), ("file", "a.b.0002"), ("pos", "4")], "2/4/0/10"),
            (
                &[
                    ("connector", "sqlserver"),
                    ("commit_lsn", "00000027:00000ac0:0002"),
                    ("change_lsn", "00000027:00000abc:0003"),
                    ("event_serial_no", "2"),
                ],
                "2700000AC0/2000000270000/ABC000300000002/10",
            ),
            (&[("connector", "oracle"), ("scn", "17"), ("commit_scn", "18")], "12/11/10"),
            (&[("connector", "oracle"), ("scn", "17"), ("snapshot", "true")], "11/0/10"),
            (&[("connector", "mongodb"), ("ts_ms", "16"), ("ord", "2")], "10/2/10"),
            (&[("connector", "vitess"), ("pos", "x")], "10"),
            (&[], "10"),
        ] {
            assert_eq!(numbered(members, 16).as_deref(), Ok(number), "{members:?}");
            compared(number);
            let by_offset = self::number(SequenceBy::Offset, &source(members), 16);
            assert_eq!(by_offset.as_deref(), Ok("10"));
        }
    }

    #[test]
    fn a_position_that_is_not_told_is_an_error_that_names_it() {
        for (members, name) in [
            (&[("connector", "postgresql")][..], "`lsn`"),
            (&[("connector", "postgresql"), ("lsn", "1"), ("sequence", "x")], "`sequence`"),
            (&[("connector", "mysql"), ("pos", "4")], "`file`"),
            (&[("connector", "mysql"), ("file", "binlog"), ("pos", "4")], "`file`"),
            (&[("connector", "sqlserver")], "`commit_lsn`"),
            (&[("connector", "sqlserver"), ("commit_lsn", "1:2:3")], "`commit_lsn`"),
            (&[("connector", "oracle"), ("scn", "99999999999999999999999")], "`scn`"),
        ] {
            let refused = numbered(members, 16).unwrap_err();
            assert!(refused.contains(name) && refused.contains("`offset`"), "{refused}");
        }
    }

    /// Positions of a source in the order in which it made them.
    fn positions() -> impl Strategy<Value = Vec<Source>> {
        let steps = prop::collection::vec((1..1_u64 << 40, 0..3_u64), 1..20);
        (0..5_usize, steps).prop_map(|(connector, steps)| {
            let mut at = 0;
            let place = |(step, within): (u64, u64)| {
                at += step;
                match connector {
                    // A change may be older than what was committed last before it.
                    0 => source(&[
                        ("connector", "postgresql"),
                        ("lsn", &(at - step.min(at) / 2).to_string()),
                        ("sequence", &format!("[\"{at}\",\"{}\"]", at - step.min(at) / 2)),
                    ]),
                    1 => source(&[
                        ("connector", "mysql"),
                        ("file", &format!("b.{:06}", at >> 20)),
                        ("pos", &(at & 0xf_ffff).to_string()),
                        ("row", &within.to_string()),
                    ]),
                    2 => source(&[
                        ("connector", "sqlserver"),
                        ("commit_lsn", &format!("{:08x}:{:08x}:0001", at >> 32, at & 0xffff_ffff)),
                        ("event_serial_no", &within.to_string()),
                    ]),
                    3 => source(&[
                        ("connector", "oracle"),
                        ("scn", "1"),
                        ("commit_scn", &at.to_string()),
                    ]),
                    _ => source(&[("connector", "mongodb"), ("ts_ms", &at.to_string())]),
                }
            };
            steps.into_iter().map(place).collect()
        })
    }

    proptest! {
        /// A later change has a higher number, also where the same events come again at later offsets: an old one never
        /// overtakes a newer one, and the same one again comes after itself.
        #[test]
        fn later_changes_have_higher_numbers(positions in positions(), first in 0..1_u64 << 62, again in 0..20_usize) {
            let numbered = |at: usize, offset: u64| {
                compared(&number(SequenceBy::Source, &positions[at], offset).unwrap())
            };
            let offset = |at: usize| first + at as u64;
            for at in 1..positions.len() {
                prop_assert!(numbered(at, offset(at)) > numbered(at - 1, offset(at - 1)));
            }
            let again = again.min(positions.len() - 1);
            let repeated = numbered(again, offset(positions.len() + 7));
            prop_assert!(repeated > numbered(again, offset(again)));
            for newer in again + 1..positions.len() {
                prop_assert!(repeated < numbered(newer, offset(newer)));
            }
        }

        /// Changes at one place of the source are ordered as they stand in the topic.
        #[test]
        fn the_offset_counts_where_the_source_is_at_one_place(positions in positions(), one in 0..1_u64 << 62, other in 0..1_u64 << 62) {
            let numbered = |offset| compared(&number(SequenceBy::Source, &positions[0], offset).unwrap());
            prop_assert_eq!(numbered(one).cmp(&numbered(other)), one.cmp(&other));
        }
    }
}
