//! IO. What a table holds of a partition, by a query.

use gcp_bigquery_client::model::get_query_results_parameters::GetQueryResultsParameters;
use gcp_bigquery_client::model::query_parameter::QueryParameter;
use gcp_bigquery_client::model::query_parameter_type::QueryParameterType;
use gcp_bigquery_client::model::query_parameter_value::QueryParameterValue;
use gcp_bigquery_client::model::query_request::QueryRequest;
use gcp_bigquery_client::model::query_response::QueryResponse;
use gcp_bigquery_client::model::table_row::TableRow;
use serde_json::Value as Json;
use tokio::time::timeout;
use uuid::Uuid;

use super::call_error::{Call, CallError};
use super::connect::Client;

/// Rows of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredRows {
    /// Their highest `kafka_offset`.
    pub highest: Option<u64>,
    pub rows: u64,
}

/// Which rows are asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    pub topic_id: &'a str,
    pub partition: u32,
    /// Only rows of this offset and above: where the table is clustered by offsets, the others are
    /// not read.
    pub from: Option<u64>,
}

impl Client {
    /// What the table holds of a partition at this moment: no cached answer is taken. It is billed as a
    /// query of three columns.
    ///
    /// # Errors
    /// As every call.
    pub async fn stored(&self, table: &str, asked: Asked<'_>) -> Result<StoredRows, CallError> {
        let request = self.request_of(table, asked)?;
        let subject = self.options().table_name(table);
        let limit = self.options().patience.query;
        let silent = |_| {
            let text = format!("the query was not done within {limit:?}");
            CallError::unknown(Call::Query, &subject, text)
        };
        let done = timeout(limit, self.run(&subject, request)).await.map_err(silent)??;
        let row = done.rows.as_deref().unwrap_or_default().first();
        row.and_then(read).ok_or_else(|| {
            CallError::unknown(Call::Query, &subject, "the answer held no row with two numbers")
        })
    }

    fn request_of(&self, table: &str, asked: Asked<'_>) -> Result<QueryRequest, CallError> {
        let Asked { topic_id, partition, from } = asked;
        let name = self.options().quoted_table(table)?;
        let mut sql = format!(
            "SELECT MAX(kafka_offset) AS highest, COUNT(*) AS stored FROM {name} \
             WHERE kafka_topic_id = @topic_id AND kafka_partition = @partition"
        );
        let mut parameters = vec![
            parameter("topic_id", "STRING", topic_id),
            parameter("partition", "INT64", &partition.to_string()),
        ];
        if let Some(from) = from {
            sql.push_str(" AND kafka_offset >= @from_offset");
            parameters.push(parameter("from_offset", "INT64", &from.to_string()));
        }
        Ok(QueryRequest {
            use_query_cache: Some(false),
            parameter_mode: Some("NAMED".into()),
            query_parameters: Some(parameters),
            location: self.options().location.clone(),
            // The same query asked again is the same job, and billed once.
            request_id: Some(Uuid::new_v4().to_string()),
            timeout_ms: Some(self.wait_ms()),
            ..QueryRequest::new(sql)
        })
    }

    async fn run(&self, subject: &str, request: QueryRequest) -> Result<QueryResponse, CallError> {
        let (project, call) = (&self.options().project, Call::Query);
        let ask = || async {
            let answer = self.rest().job().query(project, request.clone()).await;
            answer.map_err(|error| CallError::of_client(call, subject, &error))
        };
        let mut answer = self.again(call, subject, ask).await?;
        while answer.job_complete != Some(true) {
            let job = answer.job_reference.clone().unwrap_or_default();
            let Some(id) = job.job_id else {
                let text = "the query was not done, and has no name to ask again by";
                return Err(CallError::unknown(call, subject, text));
            };
            let parameters = GetQueryResultsParameters {
                location: job.location.or_else(|| self.options().location.clone()),
                timeout_ms: Some(self.wait_ms()),
                ..GetQueryResultsParameters::default()
            };
            let look = || async {
                let answer =
                    self.rest().job().get_query_results(project, &id, parameters.clone()).await;
                answer.map_err(|error| CallError::of_client(call, subject, &error))
            };
            answer = self.again(call, subject, look).await?.into();
        }
        Ok(answer)
    }

    /// How long the service may wait for the query before it answers that it is not done.
    fn wait_ms(&self) -> i32 {
        i32::try_from(self.options().patience.answer.as_millis() / 2).unwrap_or(i32::MAX)
    }
}

fn parameter(name: &str, kind: &str, value: &str) -> QueryParameter {
    QueryParameter {
        name: Some(name.into()),
        parameter_type: Some(QueryParameterType { r#type: kind.into(), ..Default::default() }),
        parameter_value: Some(QueryParameterValue {
            value: Some(value.into()),
            ..Default::default()
        }),
    }
}

fn read(row: &TableRow) -> Option<StoredRows> {
    let cell = |at: usize| row.columns.as_deref()?.get(at)?.value.clone();
    let number = |value: Json| value.as_str()?.parse().ok();
    let highest = match cell(0) {
        None | Some(Json::Null) => None,
        Some(value) => Some(number(value)?),
    };
    Some(StoredRows { highest, rows: number(cell(1)?)? })
}
