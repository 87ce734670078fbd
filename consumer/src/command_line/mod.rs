//! What a person asks from the command line, beside running a consumer.

pub mod dead_letters;
