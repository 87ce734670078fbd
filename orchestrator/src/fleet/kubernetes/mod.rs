//! The fleet on Kubernetes: a Deployment of one pod and a claim for each consumer.
//!
//! ```text
//!  watch ──> observed ──> keeper ──> call        template, desired: what a consumer is to be like
//!   IO        pure         pure       IO         orders: what people ask by annotations
//!                                                lease, election: which orchestrator may lead
//! ```
//!
//! What decides is the keeper: it compares what is to exist with what is seen to, and asks for single
//! calls of the API until both are alike. Whoever else changes things is put right by the same way.

pub mod names;
pub mod template;
pub mod desired;
pub mod facts;
pub mod observed;
pub mod orders;
pub mod request;
pub mod member;
pub mod patience;
pub mod workload;
pub mod pods;
pub mod claims;
pub mod keeper;
pub mod lease;
pub mod announce;
pub mod watch;
pub mod call;
pub mod driver;
pub mod election;
pub mod publish;
