//! IO. `orchestrator pause`, `resume`, `drain`, `pin`, `unpin`, `approve`, `plan --dry-run`: orders of a person.

use std::time::Duration;

use clap::Args;
use common::identity::{ConsumerId, Nonce};
use common::messages::request::{
    Approve, Drain, DryRun, Pause, Resume, Scaling, StartConsuming, StateQuery, Unpin,
};
use common::messages::{Extra, Message};
use tokio::time::{sleep, timeout};

use super::send::{SendError, TopicArgs, answer, connect, write};
use super::table;
use crate::conductor::PROPOSAL;
use crate::ledger::kept;
use crate::proposal::Proposal;

/// How long `plan --dry-run` waits for a proposal.
const PATIENCE: Duration = Duration::from_secs(15);
const ASK_EVERY: Duration = Duration::from_secs(1);

#[derive(Args, Clone, Debug)]
pub struct ScalingArgs {
    #[command(flatten)]
    pub topics: TopicArgs,

    /// Only that consumers are closed
    #[arg(long, conflicts_with = "scale_out")]
    pub scale_in: bool,

    /// Only that consumers are created
    #[arg(long)]
    pub scale_out: bool,
}

#[derive(Args, Clone, Debug)]
pub struct DrainArgs {
    #[command(flatten)]
    pub topics: TopicArgs,

    /// Number of the consumer
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub consumer: u32,

    /// Keep it after all, if it is not gone yet
    #[arg(long)]
    pub lift: bool,
}

#[derive(Args, Clone, Debug)]
pub struct PinArgs {
    #[command(flatten)]
    pub topics: TopicArgs,

    #[command(flatten)]
    pub partitions: PartitionArgs,

    /// Number of the consumer that is preferred from now on
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub consumer: u32,
}

#[derive(Args, Clone, Debug)]
pub struct UnpinArgs {
    #[command(flatten)]
    pub topics: TopicArgs,

    #[command(flatten)]
    pub partitions: PartitionArgs,
}

/// Some or all partitions of a topic.
#[derive(Args, Clone, Debug)]
pub struct PartitionArgs {
    /// Topic whose partitions are meant
    pub topic: String,

    /// Partitions, separated by commas; all of them unless given
    #[arg(long, value_name = "NUMBER,…", value_delimiter = ',')]
    pub partitions: Vec<u32>,
}

#[derive(Args, Clone, Debug)]
pub struct ApproveArgs {
    #[command(flatten)]
    pub topics: TopicArgs,

    /// Name of the proposed plan, as `status` shows it
    pub proposal: String,
}

impl ScalingArgs {
    fn scaling(&self) -> Scaling {
        match (self.scale_in, self.scale_out) {
            (true, _) => Scaling::In,
            (false, true) => Scaling::Out,
            (false, false) => Scaling::All,
        }
    }
}

/// Writes the order and returns what to print.
///
/// # Errors
/// If Kafka does not answer.
pub async fn pause(args: &ScalingArgs) -> Result<String, SendError> {
    let scaling = args.scaling();
    order(&args.topics, Pause { scaling, extra: Extra::new() }).await?;
    Ok(match scaling {
        Scaling::All => "asked to leave the group as it is; what loses its owner still gets one",
        Scaling::In => "asked to close no consumer",
        Scaling::Out => "asked to create no consumer",
    }
    .into())
}

/// Writes the order and returns what to print.
///
/// # Errors
/// If Kafka does not answer.
pub async fn resume(args: &ScalingArgs) -> Result<String, SendError> {
    let scaling = args.scaling();
    order(&args.topics, Resume { scaling, extra: Extra::new() }).await?;
    Ok(match scaling {
        Scaling::All => "asked to go on by itself: pauses and the dry run are lifted",
        Scaling::In => "asked to close consumers again when fewer suffice",
        Scaling::Out => "asked to create consumers again when they are needed",
    }
    .into())
}

/// Writes the order and returns what to print.
///
/// # Errors
/// If Kafka does not answer.
pub async fn drain(args: &DrainArgs) -> Result<String, SendError> {
    let (consumer, lift) = (ConsumerId(args.consumer), args.lift);
    order(&args.topics, Drain { consumer, lift, extra: Extra::new() }).await?;
    Ok(if lift {
        format!("asked to keep {consumer}")
    } else {
        format!("asked to give what {consumer} holds to others, and to remove it")
    })
}

/// Writes the order and returns what to print.
///
/// # Errors
/// If Kafka does not answer.
pub async fn pin(args: &PinArgs) -> Result<String, SendError> {
    let PartitionArgs { topic, partitions } = args.partitions.clone();
    let consumer = ConsumerId(args.consumer);
    let said = format!("asked to read {topic} at {consumer} preferably");
    let (consumer, extra) = (Some(consumer), Extra::new());
    order(&args.topics, StartConsuming { topic, partitions, consumer, extra }).await?;
    Ok(said)
}

/// Writes the order and returns what to print.
///
/// # Errors
/// If Kafka does not answer.
pub async fn unpin(args: &UnpinArgs) -> Result<String, SendError> {
    let PartitionArgs { topic, partitions } = args.partitions.clone();
    let said = format!("asked to read {topic} wherever that suits");
    order(&args.topics, Unpin { topic, partitions, extra: Extra::new() }).await?;
    Ok(said)
}

/// Writes the order and returns what to print.
///
/// # Errors
/// If Kafka does not answer.
pub async fn approve(args: &ApproveArgs) -> Result<String, SendError> {
    let proposal = args.proposal.clone();
    order(&args.topics, Approve { proposal, extra: Extra::new() }).await?;
    Ok(format!("approved {}: it is carried out if it still is what is proposed", args.proposal))
}

/// Asks to propose rather than to act, and returns the first proposal.
///
/// # Errors
/// If Kafka does not answer, or nobody leads.
pub async fn dry_run(topics: &TopicArgs) -> Result<String, SendError> {
    order(topics, DryRun { extra: Extra::new() }).await?;
    let proposal = timeout(PATIENCE, first_proposal(topics)).await;
    let tail = "from now on plans wait for `orchestrator approve NAME`; `orchestrator resume` ends \
                that";
    match proposal {
        Ok(Ok(proposal)) => Ok(format!("{}\n{tail}", table::proposal(&proposal))),
        Ok(Err(error)) => Err(error),
        Err(_) => Ok(format!("nothing would be changed at present; {tail}")),
    }
}

async fn first_proposal(topics: &TopicArgs) -> Result<Proposal, SendError> {
    let clients = connect(topics).await?;
    loop {
        let nonce = Nonce::from_rng(&mut rand::rng());
        let query = StateQuery { nonce: Some(nonce), extra: Extra::new() };
        let next = write(&clients, topics, query.into(), nonce).await?;
        let snapshot = answer(&clients, topics, next, nonce).await?;
        if let Some(proposal) = kept(&snapshot.extra, PROPOSAL) {
            return Ok(proposal);
        }
        sleep(ASK_EVERY).await;
    }
}

async fn order(topics: &TopicArgs, order: impl Into<Message>) -> Result<(), SendError> {
    let clients = connect(topics).await?;
    write(&clients, topics, order.into(), Nonce::from_rng(&mut rand::rng())).await?;
    Ok(())
}
