//! Pure. The names of datasets, tables and write streams, as they stand in requests.

use std::fmt;

/// The part of a stream's name that stands for the default stream.
const DEFAULT: &str = "_default";

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DatasetName {
    pub project: String,
    pub dataset: String,
}

/// Printed as `projects/P/datasets/D/tables/T`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TableName {
    pub dataset: DatasetName,
    pub table: String,
}

/// Printed as `projects/P/datasets/D/tables/T/streams/ID`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamName {
    pub table: TableName,
    pub id: String,
}

impl DatasetName {
    pub fn new(project: &str, dataset: &str) -> Self {
        Self { project: project.into(), dataset: dataset.into() }
    }
}

impl TableName {
    pub fn new(project: &str, dataset: &str, table: &str) -> Self {
        Self { dataset: DatasetName::new(project, dataset), table: table.into() }
    }

    /// `None` unless it has the form that `Display` prints.
    pub fn parse(path: &str) -> Option<Self> {
        let parts: Vec<_> = path.split('/').collect();
        let ["projects", project, "datasets", dataset, "tables", table] = parts[..] else {
            return None;
        };
        let whole = [project, dataset, table].iter().all(|part| !part.is_empty());
        whole.then(|| Self::new(project, dataset, table))
    }

    /// Whether `text` names this table: its path, `P.D.T`, `D.T` or the table's own name.
    pub fn is_called(&self, text: &str) -> bool {
        let DatasetName { project, dataset } = &self.dataset;
        let table = &self.table;
        text == table
            || text == format!("{dataset}.{table}")
            || text == format!("{project}.{dataset}.{table}")
            || text == self.to_string()
    }
}

impl StreamName {
    pub fn new(table: TableName, id: String) -> Self {
        Self { table, id }
    }

    /// The default stream is taken with and without `/streams`.
    pub fn parse(name: &str) -> Option<Self> {
        let (rest, id) = name.rsplit_once('/')?;
        let table = match rest.strip_suffix("/streams") {
            Some(table) => table,
            None if id == DEFAULT => rest,
            None => return None,
        };
        let table = TableName::parse(table)?;
        (!id.is_empty()).then(|| Self::new(table, id.into()))
    }

    pub fn is_default(&self) -> bool {
        self.id == DEFAULT
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DatasetName { project, dataset } = &self.dataset;
        write!(f, "projects/{project}/datasets/{dataset}/tables/{}", self.table)
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/streams/{}", self.table, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_printed_and_nothing_else_is_one() {
        let table = TableName::new("p", "d", "t");
        assert_eq!(TableName::parse(&table.to_string()), Some(table.clone()));
        let stream = StreamName::new(table.clone(), "Cic-_0".into());
        assert_eq!(StreamName::parse(&stream.to_string()), Some(stream.clone()));
        for wrong in ["", "t", "projects/p/datasets/d/tables/", "projects/p/datasets/d/tables/t/x"]
        {
            assert_eq!(TableName::parse(wrong), None, "{wrong}");
        }
        for wrong in ["", "x", "projects/p/datasets/d/tables/t/abc", "projects/p/streams/abc"] {
            assert_eq!(StreamName::parse(wrong), None, "{wrong}");
        }
        assert!(!stream.is_default());
    }

    #[test]
    fn the_default_stream_has_two_spellings() {
        let table = TableName::new("p", "d", "t");
        let long = StreamName::parse(&format!("{table}/streams/_default"));
        assert!(long.as_ref().is_some_and(StreamName::is_default));
        assert_eq!(StreamName::parse(&format!("{table}/_default")), long);
    }

    #[test]
    fn a_table_answers_to_its_names() {
        let table = TableName::new("p", "d", "t");
        for name in ["t", "d.t", "p.d.t", "projects/p/datasets/d/tables/t"] {
            assert!(table.is_called(name), "{name}");
        }
        assert!(!table.is_called("x.t"));
    }
}
