//! `foreshadow token`.

use std::io::Read as _;

use foreshadow_access::{Role, TokenHash, check_token};
use rand::{TryRngCore as _, rngs::OsRng};

use crate::failure::Failure;

/// Random bytes of a token.
const BYTES: usize = 32;

/// Arguments of `foreshadow token`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How its holder is called in logs.
    #[arg(long, default_value = "somebody")]
    name: String,
    /// What its holder is there for: client, telemetry, operator or admin.
    #[arg(long, default_value = "client", value_parser = str::parse::<Role>)]
    role: Role,
    /// Read the token from standard input in the place of making one.
    #[arg(long)]
    stdin: bool,
}

/// Runs the command: the token goes to stdout, what to write in the configuration to stderr.
pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    let token = if args.stdin { given()? } else { made()? };
    eprintln!("The server keeps only its hash; put this into its configuration:\n");
    eprintln!("[[token]]");
    eprintln!("name = {}", toml::Value::from(args.name.as_str()));
    eprintln!("sha256 = \"{}\"", TokenHash::of(&token));
    eprintln!("role = \"{}\"", args.role);
    if !args.stdin {
        eprintln!("\nThe token, which is shown only now:");
        println!("{token}");
    }
    Ok(())
}

fn made() -> Result<String, Failure> {
    let mut random = [0; BYTES];
    let filled = OsRng.try_fill_bytes(&mut random);
    filled.map_err(|error| anyhow::anyhow!("there is no randomness: {error}"))?;
    let digits = random.iter().map(|byte| format!("{byte:02x}"));
    Ok(format!("fsh_{}", digits.collect::<String>()))
}

fn given() -> Result<String, Failure> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let token = text.trim();
    check_token(token).map_err(|error| Failure::bad_input(format!("standard input: {error}")))?;
    Ok(token.to_owned())
}
