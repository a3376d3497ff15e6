//! The reference of the command line as Markdown, made from the same description that parses it.

use std::fmt::Write;

use clap::{Arg, ArgAction, Command};

use super::environment::VARIABLES;
use super::exit::ExitKind;

const HEAD: &str = "\
# Command line

Made by `snap reference`; a test compares the two. Global options may stand before or after the command's
name. `SNAP` is an id, its first digits, `latest` or `latest~N`.
";

/// Returns `docs/cli.md`: all commands and options, variables and exit codes.
pub fn reference() -> String {
    let mut command = super::command();
    command.build();
    let mut text = HEAD.to_owned();
    let globals: Vec<&Arg> = command.get_arguments().filter(|arg| arg.is_global_set()).collect();
    heading(&mut text, 2, "Global options");
    option_table(&mut text, &globals);
    for subcommand in visible(&command) {
        section(&mut text, subcommand, 2);
    }
    heading(&mut text, 2, "Environment");
    text.push_str("Flags win over variables. An empty variable counts as not set. Stores read `AWS_*`.\n\n");
    table(
        &mut text,
        ["Variable", "Meaning"],
        VARIABLES.map(|(name, meaning)| [code(name), meaning.to_owned()]),
    );
    heading(&mut text, 2, "Exit codes");
    let codes = ExitKind::ALL.map(|kind| [kind.code().to_string(), kind.meaning().to_owned()]);
    table(&mut text, ["Code", "Meaning"], codes);
    text
}

fn visible(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|sub| !sub.is_hide_set() && sub.get_name() != "help")
}

/// Depth is bounded by the description itself: two levels of commands.
fn section(text: &mut String, command: &Command, level: usize) {
    let name = command.get_bin_name().unwrap_or(command.get_name());
    heading(text, level, &code(name));
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    push(text, format_args!("{about}.\n\n```text\n{usage}\n```\n"));
    let own = || command.get_arguments().filter(|arg| !arg.is_global_set() && !arg.is_hide_set());
    let positionals: Vec<&Arg> = own().filter(|arg| arg.is_positional()).collect();
    let options: Vec<&Arg> = own().filter(|arg| !arg.is_positional() && arg.get_id() != "help").collect();
    if !positionals.is_empty() {
        text.push('\n');
        let rows = positionals.iter().map(|arg| [code(&value_name(arg)), help(arg)]);
        table(text, ["Argument", "Meaning"], rows);
    }
    if !options.is_empty() {
        text.push('\n');
        option_table(text, &options);
    }
    if let Some(examples) = command.get_after_long_help() {
        push(text, format_args!("\n```text\n{}\n```\n", examples.to_string().trim_end()));
    }
    for subcommand in visible(command) {
        section(text, subcommand, level + 1);
    }
}

fn option_table(text: &mut String, options: &[&Arg]) {
    table(text, ["Option", "Meaning"], options.iter().map(|arg| [code(&option_name(arg)), help(arg)]));
}

fn option_name(arg: &Arg) -> String {
    let short = arg.get_short().map(|short| format!("-{short}"));
    let long = arg.get_long().map(|long| format!("--{long}"));
    let mut name: String = [short, long].into_iter().flatten().collect::<Vec<_>>().join(", ");
    if matches!(arg.get_action(), ArgAction::Set | ArgAction::Append) {
        name = match arg.is_require_equals_set() {
            true => format!("{name}[={}]", value_name(arg)),
            false => format!("{name} {}", value_name(arg)),
        };
    }
    name
}

fn value_name(arg: &Arg) -> String {
    let names = arg.get_value_names().unwrap_or_default();
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

fn help(arg: &Arg) -> String {
    let mut help = arg.get_help().map(ToString::to_string).unwrap_or_default();
    let takes_value = matches!(arg.get_action(), ArgAction::Set | ArgAction::Append);
    let values: Vec<String> = match takes_value {
        true => arg.get_possible_values().iter().map(|value| code(value.get_name())).collect(),
        false => Vec::new(),
    };
    if !values.is_empty() {
        push(&mut help, format_args!(": {}", values.join(", ")));
    }
    let defaults: Vec<String> =
        arg.get_default_values().iter().map(|value| code(&value.to_string_lossy())).collect();
    if takes_value && !defaults.is_empty() {
        push(&mut help, format_args!(" (default: {})", defaults.join(", ")));
    }
    help
}

fn heading(text: &mut String, level: usize, title: &str) {
    push(text, format_args!("\n{} {title}\n\n", "#".repeat(level)));
}

fn table(text: &mut String, head: [&str; 2], rows: impl IntoIterator<Item = [String; 2]>) {
    push(text, format_args!("| {} | {} |\n|---|---|\n", head[0], head[1]));
    for [left, right] in rows {
        push(text, format_args!("| {} | {} |\n", left.replace('|', "\\|"), right.replace('|', "\\|")));
    }
}

fn code(text: &str) -> String {
    format!("`{text}`")
}

fn push(text: &mut String, part: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = text.write_fmt(part);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_visible_command_and_option_is_in_the_reference() {
        fn walk(command: &Command, text: &str) {
            for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
                if let Some(long) = arg.get_long().filter(|long| !matches!(*long, "help" | "version")) {
                    assert!(text.contains(&format!("--{long}")), "{} --{long}", command.get_name());
                }
            }
            for subcommand in visible(command) {
                let name = subcommand.get_bin_name().unwrap();
                assert!(text.contains(&format!(" `{name}`\n")), "{name}");
                walk(subcommand, text);
            }
        }
        let mut command = crate::cli::command();
        command.build();
        let text = reference();
        walk(&command, &text);
        assert!(!text.contains("snap reference`\n"), "a hidden command is shown");
    }
}
