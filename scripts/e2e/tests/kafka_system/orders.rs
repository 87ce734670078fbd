//! What people order about the group, as they would type it: it holds, also for the next leader.

use common::identity::ConsumerId;
use rustix::process::Signal;

use crate::crew::{CAPACITY, Crew, serving};
use crate::flow::Flow;
use crate::stage::{PATIENCE, Stage};

const PARTITIONS: u32 = 6;

/// A dry run proposes and changes nothing; a leader that comes after knows of it; what is approved
/// is carried out; a consumer that is drained goes.
#[test]
fn plans_wait_for_approval_and_a_drained_consumer_goes() {
    let Some(stage) = Stage::set("system-orders") else { return };
    let mut crew = Crew::start(stage, PARTITIONS);
    crew.system.tell(&["plan", "--dry-run"]).unwrap();
    let flow = Flow::start(&crew.stage, &crew.topic, PARTITIONS, CAPACITY * 2);
    let proposed = |crew: &Crew| {
        crew.wait_for("a plan is proposed", |status| {
            let proposal = status.proposal.as_ref();
            let creates = proposal.filter(|p| !p.decision.changes.create.is_empty());
            creates.map(|p| p.name.clone()).ok_or_else(|| format!("{proposal:?}"))
        })
    };
    proposed(&crew);
    assert_eq!(crew.status().consumers.len(), 1, "it is only proposed");
    let orchestrator = crew.system.orchestrator().expect("it runs");
    orchestrator.signal(Signal::KILL).unwrap();
    orchestrator.wait(PATIENCE).unwrap();
    crew.system.start_orchestrator().unwrap();
    crew.wait_until_owned(PARTITIONS);
    assert!(crew.status().operations.is_dry_run);
    crew.system.tell(&["approve", &proposed(&crew)]).unwrap();
    crew.wait_for_serving("what was approved is done", |count| count > 1);
    crew.system.tell(&["resume"]).unwrap();
    crew.system.tell(&["pause", "--scale-in"]).unwrap();
    flow.stop();
    let low = Flow::start(&crew.stage, &crew.topic, PARTITIONS, CAPACITY / 5);
    let victim = crew.victim().consumer;
    crew.system.tell(&["drain", &victim.0.to_string()]).unwrap();
    crew.wait_for("the drained consumer is gone, and the order with it", |status| {
        let ids: Vec<ConsumerId> = serving(status).map(|one| one.consumer).collect();
        let is_gone = status.consumers.iter().all(|one| one.consumer != victim);
        let is_over = status.operations.draining.is_empty();
        if is_gone && is_over && !ids.is_empty() { Ok(()) } else { Err(format!("{ids:?}")) }
    });
    crew.wait_until_owned(PARTITIONS);
    assert!(crew.status().operations.is_scale_in_paused);
    low.stop();
    crew.end_soundly();
}
