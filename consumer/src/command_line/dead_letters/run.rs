//! IO. Carries out what was asked of the dead letters.

use common::clock::Clock;

use super::{DeadLettersArgs, DeadLettersCommand, DeadLettersError, page, replay};

/// Returns what to print.
///
/// # Errors
/// If Kafka does not answer, or what was asked for is not there.
pub async fn carry_out(args: &DeadLettersArgs) -> Result<String, DeadLettersError> {
    let now = Clock.timestamp();
    match &args.command {
        DeadLettersCommand::List(list) => {
            page::list(list, now).await.map_err(DeadLettersError::Page)
        }
        DeadLettersCommand::Show(show) => page::show(show).await.map_err(DeadLettersError::Page),
        DeadLettersCommand::Replay(args) => {
            replay::replay(args, now).await.map_err(DeadLettersError::Replay)
        }
    }
}
