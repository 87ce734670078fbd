//! Pure. The flags that say how plans are made.

use clap::Args;

use crate::plan::policy::{Algorithm, ConsumerPrice, Policy, Preset};

/// How plans are made.
#[derive(Args, Clone, Debug)]
pub struct PolicyArgs {
    /// Algorithm of the plans: `stowage`, or a published heuristic (nf, nfd, ff, ffd, bf, bfd, wf, wfd,
    /// mwf, mbf, mwfp, mbfp)
    #[arg(long, env, hide_env_values = true, value_name = "NAME", default_value_t)]
    pub algorithm: Algorithm,

    /// What one consumer less is worth: moving so many times what a consumer sustains, or `inf` for
    /// the fewest consumers whatever moves
    #[arg(long, env, hide_env_values = true, value_name = "TIMES", conflicts_with = "preset")]
    pub consumer_price: Option<ConsumerPrice>,

    /// The same by name
    #[arg(long, env, hide_env_values = true, value_enum, default_value_t = Preset::Balanced)]
    pub preset: Preset,
}

impl PolicyArgs {
    pub fn policy(&self) -> Policy {
        let consumer_price = self.consumer_price.unwrap_or_else(|| self.preset.price());
        Policy { algorithm: self.algorithm, consumer_price }
    }
}
