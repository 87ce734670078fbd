//! Pure. Queries that take longer than one answer.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::ask::QueryRequest;
use crate::refusal::RestRefusal;
use crate::world::World;

/// Queries that were asked and not answered yet, by the names of their jobs.
#[derive(Debug, Default)]
pub struct Jobs(BTreeMap<String, Job>);

#[derive(Debug)]
struct Job {
    request: QueryRequest,
    /// How many further answers say that it is not done.
    unfinished: u32,
}

impl World {
    /// `jobs.query`.
    pub fn query(&mut self, project: &str, request: QueryRequest) -> Result<Json, RestRefusal> {
        let unfinished = self.settings.queries_unfinished;
        if unfinished == 0 {
            return self.warehouse.query(project, &request);
        }
        let name = format!("job_unfinished_{}", self.jobs.0.len());
        self.jobs.0.insert(name.clone(), Job { request, unfinished: unfinished - 1 });
        Ok(not_done(project, &name))
    }

    /// `jobs.getQueryResults`.
    pub fn query_results(&mut self, project: &str, name: &str) -> Result<Json, RestRefusal> {
        let missing = || RestRefusal::not_found(&format!("Job {project}:{name}"));
        let job = self.jobs.0.get_mut(name).ok_or_else(missing)?;
        if job.unfinished > 0 {
            job.unfinished -= 1;
            return Ok(not_done(project, name));
        }
        self.warehouse.query(project, &job.request)
    }
}

fn not_done(project: &str, name: &str) -> Json {
    let reference = json!({"projectId": project, "jobId": name, "location": "US"});
    json!({"kind": "bigquery#queryResponse", "jobReference": reference, "jobComplete": false})
}
