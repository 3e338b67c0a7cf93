use std::fmt::Write;

use clap::CommandFactory;
use expect_test::expect_file;

use super::*;

const INTRODUCTION: &str = "# The command line

What `--help` says of `cogward` and of each command. This page is rendered from the code; a test compares it.

| exit code | meaning |
|---|---|
| 0 | done; of `healthcheck`: ready |
| 1 | could not run: an address is taken, a certificate or the audit file cannot be had; of `healthcheck`: not ready |
| 2 | of `test`: a test failed |
| 3 | settings, policies, policy tests or key files do not compile, or cannot be read |
| 64 | the arguments make no sense |

`COGWARD_LOG` sets the level of the log: `off`, `error`, `warn`, `info`, `debug` or `trace`. The demo's key is kept below
`$XDG_STATE_HOME/cogward/demo`, by default `~/.local/state/cogward/demo`.
";

fn block(page: &mut String, title: &str, command: &mut clap::Command) {
    let help = command.render_long_help().to_string();
    let _ = write!(page, "\n## `{title}`\n\n```text\n");
    for line in help.trim_end().lines() {
        let _ = writeln!(page, "{}", line.trim_end());
    }
    page.push_str("```\n");
}

fn render() -> String {
    let mut command = Arguments::command().term_width(100);
    command.build();
    let mut page = INTRODUCTION.to_owned();
    block(&mut page, "cogward", &mut command);
    let names: Vec<_> =
        command.get_subcommands().map(|one| one.get_name().to_owned()).filter(|name| name != "help").collect();
    for name in names {
        let one = command.find_subcommand_mut(&name).unwrap();
        block(&mut page, &format!("cogward {name}"), one);
    }
    page
}

#[test]
fn the_command_line_page_is_what_help_says() {
    expect_file![concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.md")].assert_eq(&render());
}

#[test]
fn the_command_line_holds_together() {
    Arguments::command().debug_assert();
}
