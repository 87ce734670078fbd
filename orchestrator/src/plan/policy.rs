//! Pure. Which algorithm plans, and what one consumer less is worth to it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::pack::problem::Price;
use crate::pack::published::Heuristic;

/// How plans are made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    pub algorithm: Algorithm,
    pub consumer_price: ConsumerPrice,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Algorithm {
    /// Our own.
    #[default]
    Stowage,
    Published(Heuristic),
}

/// One consumer less is worth moving so much: thousandths of a consumer's capacity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ConsumerPrice(pub Price);

/// A name for a price.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Preset {
    /// Fewest consumers first
    Compact,
    /// A consumer less is worth moving as much as two sustain
    Balanced,
    /// A consumer less is worth moving as much as one sustains
    Calm,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PolicyError {
    #[error("there is no algorithm `{0}`; there are: stowage, {list}", list = names())]
    Algorithm(String),
    #[error("expected `inf` or a number from 0 to 1000 with at most three decimals, got `{0}`")]
    Price(String),
}

impl Algorithm {
    /// All of them, ours first.
    pub fn all() -> impl Iterator<Item = Self> {
        [Self::Stowage].into_iter().chain(Heuristic::ALL.map(Self::Published))
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Stowage => "stowage",
            Self::Published(heuristic) => heuristic.name(),
        }
    }
}

impl Preset {
    pub fn price(self) -> ConsumerPrice {
        ConsumerPrice(match self {
            Self::Compact => Price::Infinite,
            Self::Balanced => Price::Thousandths(2_000),
            Self::Calm => Price::Thousandths(1_000),
        })
    }
}

impl Default for ConsumerPrice {
    fn default() -> Self {
        Preset::Balanced.price()
    }
}

fn names() -> String {
    Heuristic::ALL.map(Heuristic::name).join(", ")
}

impl FromStr for Algorithm {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        let found = Self::all().find(|algorithm| algorithm.name() == text);
        found.ok_or_else(|| PolicyError::Algorithm(text.into()))
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for ConsumerPrice {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        if text == "inf" {
            return Ok(Self(Price::Infinite));
        }
        let wrong = || PolicyError::Price(text.into());
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        if !is_number(whole) || !is_number(decimals) || decimals.len() > 3 {
            return Err(wrong());
        }
        let thousandths: u32 = format!("{whole}{decimals:0<3}").parse().map_err(|_| wrong())?;
        let price = (thousandths <= 1_000_000).then_some(Price::Thousandths(thousandths));
        price.map(Self).ok_or_else(wrong)
    }
}

impl fmt::Display for ConsumerPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Price::Infinite => f.write_str("inf"),
            Price::Thousandths(thousandths) => {
                let text = format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000);
                f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
            }
        }
    }
}

impl TryFrom<String> for Algorithm {
    type Error = PolicyError;

    fn try_from(text: String) -> Result<Self, PolicyError> {
        text.parse()
    }
}

impl From<Algorithm> for String {
    fn from(algorithm: Algorithm) -> Self {
        algorithm.to_string()
    }
}

impl TryFrom<String> for ConsumerPrice {
    type Error = PolicyError;

    fn try_from(text: String) -> Result<Self, PolicyError> {
        text.parse()
    }
}

impl From<ConsumerPrice> for String {
    fn from(price: ConsumerPrice) -> Self {
        price.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_read_as_it_is_written() {
        for (text, thousandths) in [("0", 0), ("1", 1_000), ("1.5", 1_500), ("0.125", 125)] {
            let price: ConsumerPrice = text.parse().unwrap();
            assert_eq!(price, ConsumerPrice(Price::Thousandths(thousandths)));
            assert_eq!(price.to_string(), text);
        }
        assert_eq!("inf".parse(), Ok(ConsumerPrice(Price::Infinite)));
        for wrong in ["", "-1", "1.2345", ".5", "1.", "1e3", "1001", "a"] {
            assert!(wrong.parse::<ConsumerPrice>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_algorithm_is_found_by_its_name() {
        for algorithm in Algorithm::all() {
            assert_eq!(algorithm.to_string().parse(), Ok(algorithm));
        }
        let error = "best".parse::<Algorithm>().unwrap_err().to_string();
        assert!(error.contains("`best`") && error.contains("stowage, nf, nfd"), "{error}");
    }
}
