//! `procall completions`: scripts for shells.

use clap::{Args, ValueEnum};
use clap_complete::{Shell, generate};

use crate::failure::Failure;
use crate::output;

const EXAMPLES: &str = "Examples:
  procall completions bash >~/.local/share/bash-completion/completions/procall
  procall completions zsh >~/.zfunc/_procall
  procall completions fish >~/.config/fish/completions/procall.fish";

/// Print the script that completes this command's words in a shell.
#[derive(Debug, Args)]
#[command(before_help = EXAMPLES)]
pub(crate) struct Completions {
    /// The shell.
    #[arg(value_enum)]
    shell: Choice,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Choice {
    Bash,
    Zsh,
    Fish,
}

impl Completions {
    pub(crate) fn run(self, command: &mut clap::Command) -> Result<(), Failure> {
        let shell = match self.shell {
            Choice::Bash => Shell::Bash,
            Choice::Zsh => Shell::Zsh,
            Choice::Fish => Shell::Fish,
        };
        let mut script = Vec::new();
        generate(shell, command, "procall", &mut script);
        output::line(String::from_utf8_lossy(&script).trim_end())
    }
}
