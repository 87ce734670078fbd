//! Pure. The parts of the documents that are printed from the code: tables of flags, and their place in a page.
//!
//! A page keeps such a part between two markers, `<!-- monitor:begin -->` and `<!-- monitor:end -->`;
//! all else in it is written by people.

use clap::{Arg, Command};
use thiserror::Error;

/// A page that lacks the place for a printed part.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the page has no line `{marker}`")]
pub struct MissingMarker {
    marker: String,
}

/// The page with `content` as the printed part `section`.
///
/// # Errors
/// If the page does not have the two markers of that section, in order.
pub fn with_section(page: &str, section: &str, content: &str) -> Result<String, MissingMarker> {
    let begin = format!("<!-- {section}:begin -->\n");
    let end = format!("<!-- {section}:end -->");
    let missing = |marker: &str| MissingMarker { marker: marker.trim_end().into() };
    let (before, rest) = page.split_once(&begin).ok_or_else(|| missing(&begin))?;
    let (_, after) = rest.split_once(&end).ok_or_else(|| missing(&end))?;
    Ok(format!("{before}{begin}\n{}\n\n{end}{after}", content.trim()))
}

/// What a program takes: a table of flags for itself, if it has any, and for each of its commands.
pub fn flags(mut program: Command) -> String {
    program.build();
    let name = program.get_name().to_owned();
    let mut text = String::new();
    describe(&program, &name, &mut text);
    text
}

fn describe(command: &Command, path: &str, text: &mut String) {
    let flags: Vec<&Arg> = command.get_arguments().filter(|arg| is_shown(arg)).collect();
    if !flags.is_empty() {
        let about = command.get_about().map(|about| format!(": {about}")).unwrap_or_default();
        text.push_str(&format!("`{path}`{about}\n\n"));
        text.push_str("| flag | environment | default | meaning |\n|---|---|---|---|\n");
        for flag in flags {
            text.push_str(&row(flag));
        }
        text.push('\n');
    }
    let commands = command.get_subcommands().filter(|command| command.get_name() != "help");
    for command in commands.filter(|command| !command.is_hide_set()) {
        describe(command, &format!("{path} {}", command.get_name()), text);
    }
}

fn is_shown(arg: &Arg) -> bool {
    !arg.is_hide_set() && !["help", "version"].contains(&arg.get_id().as_str())
}

fn row(arg: &Arg) -> String {
    let takes_value = arg.get_num_args().is_some_and(|count| count.takes_values());
    let value = arg.get_value_names().map(|names| names.join(" ")).filter(|_| takes_value);
    let flag = match (arg.get_long(), value) {
        (Some(long), Some(value)) => format!("--{long} {value}"),
        (Some(long), None) => format!("--{long}"),
        (None, value) => value.unwrap_or_else(|| arg.get_id().to_string()),
    };
    let environment = arg.get_env().map(|name| format!("`{}`", name.to_string_lossy()));
    let defaults: Vec<_> =
        arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    let default = match (takes_value, defaults.is_empty(), arg.is_required_set()) {
        (true, false, _) => format!("`{}`", defaults.join(",")),
        (true, true, true) => "required".into(),
        _ => String::new(),
    };
    let meaning = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let environment = environment.unwrap_or_default();
    format!("| `{flag}` | {environment} | {default} | {} |\n", in_cell(&meaning))
}

/// A table's cell holds one line, and a bar would end it.
fn in_cell(text: &str) -> String {
    text.replace('|', "\\|").split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;

    #[derive(Parser)]
    #[command(name = "monitor")]
    enum Program {
        /// Measures
        Run {
            /// Time between
            /// two turns
            #[arg(long, env = "INTERVAL_MS", value_name = "MS", default_value_t = 1000)]
            interval_ms: u64,
            /// Brokers
            #[arg(long)]
            servers: String,
            /// JSON | table
            #[arg(long)]
            json: bool,
        },
    }

    #[test]
    fn every_flag_is_a_row_with_its_environment_default_and_meaning() {
        let expected = "`monitor run`: Measures\n\n\
            | flag | environment | default | meaning |\n|---|---|---|---|\n\
            | `--interval-ms MS` | `INTERVAL_MS` | `1000` | Time between two turns |\n\
            | `--servers SERVERS` |  | required | Brokers |\n\
            | `--json` |  |  | JSON \\| table |\n\n";
        assert_eq!(flags(Program::command()), expected);
    }

    #[test]
    fn a_section_is_replaced_and_nothing_else() {
        let page = "# A\n<!-- a:begin -->\nold\n<!-- a:end -->\n<!-- b:begin -->\n<!-- b:end -->\n";
        let replaced = with_section(page, "a", "new\n").unwrap();
        let expected =
            "# A\n<!-- a:begin -->\n\nnew\n\n<!-- a:end -->\n<!-- b:begin -->\n<!-- b:end -->\n";
        assert_eq!(replaced, expected);
        assert_eq!(with_section(&replaced, "a", "new").unwrap(), expected);
        let error = with_section(page, "c", "new").unwrap_err();
        assert_eq!(error.to_string(), "the page has no line `<!-- c:begin -->`");
    }
}
