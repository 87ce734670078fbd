//! Pure. The chain of a partition's objects: from offset 0 on, without holes, overlaps or old writers.

use crate::lake::footer::Footer;
use crate::lake::name::ObjectName;

/// One object of a chain, with what its footer says.
#[derive(Clone, Debug)]
pub struct Link {
    pub name: ObjectName,
    pub path: String,
    pub footer: Footer,
}

/// The end of what is stored without a hole, counted from offset 0.
///
/// `links` are in order of their first offsets.
pub fn end(links: &[Link]) -> u64 {
    links.iter().fold(0, |end, link| {
        let goes_on = link.footer.from <= end;
        if goes_on { end.max(link.footer.to) } else { end }
    })
}

/// What is wrong with a chain, in words; nothing if it is sound.
///
/// `links` belong to one table, topic id and partition, in order of their first offsets.
pub fn problems(links: &[Link]) -> Vec<String> {
    let mut problems: Vec<String> = links.iter().flat_map(of_link).collect();
    if let Some(first) = links.first()
        && first.footer.from != 0
    {
        problems.push(format!("{}: the chain begins at {}", first.path, first.footer.from));
    }
    for pair in links.windows(2) {
        if let [before, after] = pair {
            problems.extend(between(before, after));
        }
    }
    problems
}

fn of_link(link: &Link) -> Vec<String> {
    let Link { name, path, footer } = link;
    let says = |what: &str, named: &dyn std::fmt::Display, said: &dyn std::fmt::Display| {
        format!("{path}: the name says {what} {named}, the footer {said}")
    };
    let mut problems = Vec::new();
    if footer.topic != name.topic {
        problems.push(says("topic", &name.topic, &footer.topic));
    }
    if footer.partition != name.partition {
        problems.push(says("partition", &name.partition, &footer.partition));
    }
    if footer.from != name.from {
        problems.push(says("first offset", &name.from, &footer.from));
    }
    if let Some(digits) = &name.id_digits
        && !footer.topic_id.starts_with(digits.as_str())
    {
        problems.push(says("topic id", digits, &footer.topic_id));
    }
    if footer.to <= footer.from {
        problems.push(format!("{path}: covers nothing ({} to {})", footer.from, footer.to));
    }
    problems
}

fn between(before: &Link, after: &Link) -> Vec<String> {
    let (end, start) = (before.footer.to, after.footer.from);
    let path = &after.path;
    let mut problems = Vec::new();
    if start > end {
        problems.push(format!("{path}: begins at {start}, a hole after {end}"));
    }
    if start < end {
        problems.push(format!("{path}: begins at {start}, overlaps what ends at {end}"));
    }
    let same_controller = before.footer.controller_topic_id == after.footer.controller_topic_id;
    if same_controller && after.footer.term < before.footer.term {
        problems.push(format!(
            "{path}: written under term {}, after one of term {}",
            after.footer.term, before.footer.term
        ));
    }
    if before.footer.table_id != after.footer.table_id {
        problems.push(format!("{path}: of another table id than the object before it"));
    }
    problems
}

#[cfg(test)]
mod tests {
    use common::term::{Generation, Sequence, Term};

    use super::*;

    fn link(from: u64, to: u64, term: u64) -> Link {
        let name = ObjectName {
            table: "t".into(),
            topic: "orders".into(),
            id_digits: None,
            partition: 0,
            from,
        };
        let footer = Footer {
            topic: "orders".into(),
            topic_id: "id".into(),
            partition: 0,
            from,
            to,
            table_id: "table".into(),
            controller_topic_id: "controller".into(),
            term: Term { generation: Generation(term), sequence: Sequence(1) },
            rows: to - from,
        };
        Link { name, path: format!("at {from}"), footer }
    }

    fn only_problem(links: &[Link]) -> String {
        let problems = problems(links);
        assert_eq!(problems.len(), 1, "{problems:?}");
        problems[0].clone()
    }

    #[test]
    fn a_whole_chain_is_sound() {
        let links = [link(0, 10, 1), link(10, 12, 1), link(12, 40, 3)];
        assert_eq!(problems(&links), Vec::<String>::new());
        assert_eq!((end(&links), end(&[])), (40, 0));
    }

    #[test]
    fn holes_overlaps_and_late_beginnings_are_named() {
        let hole = [link(0, 10, 1), link(11, 12, 1)];
        assert!(only_problem(&hole).contains("begins at 11, a hole after 10"));
        assert_eq!(end(&hole), 10);
        let overlap = [link(0, 10, 1), link(9, 12, 1)];
        assert!(only_problem(&overlap).contains("overlaps what ends at 10"));
        assert_eq!(end(&overlap), 12);
        assert!(only_problem(&[link(5, 10, 1)]).contains("the chain begins at 5"));
    }

    #[test]
    fn an_older_writer_after_a_newer_one_is_named() {
        assert!(only_problem(&[link(0, 10, 2), link(10, 12, 1)]).contains("term 1.1, after"));
        let mut other = link(10, 12, 1);
        other.footer.controller_topic_id = "another".into();
        assert!(problems(&[link(0, 10, 2), other]).is_empty());
    }

    #[test]
    fn a_footer_that_contradicts_the_name_is_named() {
        let mut lies = link(0, 10, 1);
        lies.footer.partition = 7;
        assert!(only_problem(&[lies]).contains("the name says partition 0, the footer 7"));
        let mut table = link(10, 20, 1);
        table.footer.table_id = "other".into();
        assert!(only_problem(&[link(0, 10, 1), table]).contains("another table id"));
    }
}
