//! The little SQL that the double knows.
//!
//! ```text
//!  SELECT aggregate [[AS] name], … FROM table [WHERE column op value [AND …]]
//!      aggregate   COUNT(*), COUNT(x), COUNT(DISTINCT x), MIN(x), MAX(x), SUM(x)
//!      x           a column, or FORMAT('…', column, …)
//!      op          =  !=  <>  <  <=  >  >=
//!      value       a number, 'text', TRUE, FALSE, @name or ?
//!  ALTER TABLE table ADD PRIMARY KEY (column, …) NOT ENFORCED
//! ```
//!
//! That is enough for a sink that asks for the last offset it stored, such as
//! `SELECT MAX(kafka_offset) FROM t WHERE kafka_partition = @partition AND kafka_topic_id = @topic_id`.

pub mod parse;
pub mod evaluate;
pub mod ask;
pub mod jobs;
