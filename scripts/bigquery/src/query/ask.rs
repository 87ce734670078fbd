//! Pure. `jobs.query`: the request, and the answer with its rows in it.

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::evaluate::{Answer, Parameters, evaluate};
use super::parse::{Query, columns_of, parse};
use crate::names::TableName;
use crate::refusal::RestRefusal;
use crate::row::value::Stamps;
use crate::warehouse::catalog::Warehouse;

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryRequest {
    pub query: String,
    #[serde(default)]
    pub default_dataset: Option<DefaultDataset>,
    #[serde(default)]
    pub query_parameters: Vec<QueryParameter>,
    #[serde(default)]
    pub format_options: Option<FormatOptions>,
    #[serde(default)]
    pub use_query_cache: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DefaultDataset {
    pub dataset_id: String,
    #[serde(default)]
    pub project_id: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueryParameter {
    #[serde(default)]
    pub name: Option<String>,
    pub parameter_value: ParameterValue,
}

#[derive(Clone, Debug, Deserialize)]
pub struct ParameterValue {
    #[serde(default)]
    pub value: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FormatOptions {
    #[serde(default)]
    pub use_int64_timestamp: bool,
}

impl FormatOptions {
    pub fn stamps(self) -> Stamps {
        if self.use_int64_timestamp { Stamps::Microseconds } else { Stamps::Seconds }
    }
}

impl QueryRequest {
    /// The table of that name, in the project and dataset that go without saying.
    fn table(&self, project: &str, text: &str) -> Option<TableName> {
        let parts: Vec<_> = text.split('.').collect();
        match (&parts[..], &self.default_dataset) {
            ([.., project, dataset, table], _) => Some(TableName::new(project, dataset, table)),
            ([dataset, table], _) => Some(TableName::new(project, dataset, table)),
            ([table], Some(default)) => {
                let project = default.project_id.as_deref().unwrap_or(project);
                Some(TableName::new(project, &default.dataset_id, table))
            }
            _ => None,
        }
    }

    fn parameters(&self) -> Parameters {
        let mut parameters = Parameters::default();
        for QueryParameter { name, parameter_value } in &self.query_parameters {
            let value = parameter_value.value.clone().unwrap_or_default();
            match name.clone().filter(|name| !name.is_empty()) {
                Some(name) => drop(parameters.named.insert(name, value)),
                None => parameters.positional.push(value),
            }
        }
        parameters
    }
}

impl Warehouse {
    pub fn query(&mut self, project: &str, request: &QueryRequest) -> Result<Json, RestRefusal> {
        let invalid = |message| RestRefusal::new(400, "invalidQuery", message);
        let query = parse(&request.query).map_err(invalid)?;
        let (Query::Select { table, .. } | Query::AddPrimaryKey { table, .. }) = &query;
        let unqualified = || invalid(format!("Table \"{table}\" must be qualified with a dataset"));
        let name = request.table(project, table).ok_or_else(unqualified)?;
        let answer = match &query {
            Query::Select { items, conditions, .. } => {
                let table = self.table(&name)?;
                let stamps = request.format_options.unwrap_or_default().stamps();
                let asked = (&items[..], &conditions[..]);
                let (columns, parameters) = (table.columns(), request.parameters());
                let rows = table.rows_with(&columns_of(items, conditions));
                let answer = evaluate(asked, columns, &rows, &parameters, stamps);
                Some(answer.map_err(invalid)?)
            }
            Query::AddPrimaryKey { columns, .. } => {
                self.table_mut(&name)?.set_primary_key(columns)?;
                None
            }
        };
        Ok(shown(project, answer))
    }
}

fn shown(project: &str, answer: Option<Answer>) -> Json {
    let mut shown = json!({
        "kind": "bigquery#queryResponse",
        "jobReference": {"projectId": project, "jobId": "job_double", "location": "US"},
        "jobComplete": true,
        "cacheHit": false,
        "totalBytesProcessed": "0",
    });
    match answer {
        Some(Answer { fields, row }) => {
            shown["schema"] = json!({"fields": fields});
            shown["rows"] = json!([row]);
            shown["totalRows"] = "1".into();
        }
        None => {
            shown["schema"] = json!({"fields": []});
            shown["totalRows"] = "0".into();
        }
    }
    shown
}
