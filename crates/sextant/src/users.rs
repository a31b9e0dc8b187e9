//! `sextant users`: the accounts that a server keeps in its data directory, and hashes for those of
//! configuration files.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use base::TenantId;
use clap::{Args, Subcommand};
use config::PasswordHash;
use config::sextant::Rights;
use server::accounts::{Accounts, AccountsError, random_salt};
use vfs::RealVfs;

use crate::{launch, output};

/// Manage the accounts of a data directory whose server is stopped.
#[derive(Debug, Args)]
pub(crate) struct Users {
    #[command(subcommand)]
    what: What,
    /// The data directory.
    #[arg(long, value_name = "DIR", default_value = "data", global = true)]
    data_dir: PathBuf,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show accounts and their rights.
    List,
    /// Add an account and print the password that was made for it.
    Add {
        name: String,
        /// May delete, take snapshots, reload and end the server.
        #[arg(long)]
        admin: bool,
        /// May act for this tenant only; may be repeated.
        #[arg(long = "tenant", value_name = "TENANT")]
        tenants: Vec<String>,
    },
    /// Print a new password for an account.
    ResetPassword { name: String },
    /// Remove an account.
    Remove { name: String },
    /// Read a password from standard input and print its hash, for `auth.users` of sextant.yml.
    Hash,
}

pub(crate) fn run(users: &Users) -> ExitCode {
    let outcome = match &users.what {
        What::Hash => hash(),
        other => change(users, other),
    };
    match outcome {
        Ok(text) => {
            output::line(&text);
            ExitCode::SUCCESS
        }
        Err(message) => launch::fail(&message),
    }
}

fn change(users: &Users, what: &What) -> Result<String, String> {
    // Only a server makes a data directory, so that a mistyped path does not look like an empty one.
    if !users.data_dir.is_dir() {
        return Err(format!("{} is not a directory; say --data-dir", users.data_dir.display()));
    }
    let accounts = Accounts::open(Arc::new(RealVfs), &users.data_dir).map_err(|e| e.to_string())?;
    let done = match what {
        What::List => accounts.list().map(|all| {
            let lines = all.iter().map(|(name, user)| shown(name, &user.rights));
            lines.collect::<Vec<_>>().join("\n")
        }),
        What::Add { name, admin, tenants } => {
            let tenants = tenants.iter().map(|id| TenantId::new(id)).collect::<Result<_, _>>();
            let rights = Rights { tenants: tenants.map_err(|e| e.to_string())?, admin: *admin };
            accounts.add(name, &rights)
        }
        What::ResetPassword { name } => accounts.reset_password(name),
        What::Remove { name } => accounts.remove(name).map(|()| format!("removed {name}")),
        What::Hash => Ok(String::new()),
    };
    done.map_err(|e: AccountsError| e.to_string())
}

fn shown(name: &str, rights: &Rights) -> String {
    let tenants: Vec<&str> = rights.tenants.iter().map(TenantId::as_str).collect();
    let tenants = if tenants.is_empty() { "all tenants".to_owned() } else { tenants.join(", ") };
    format!("{name}\t{}\t{tenants}", if rights.admin { "admin" } else { "user" })
}

fn hash() -> Result<String, String> {
    if std::io::stdin().is_terminal() {
        output::remark("Type the password and press Enter; it is shown as you type.");
    }
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(|e| format!("cannot read the password: {e}"))?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err("the password is empty".to_owned());
    }
    let salt = random_salt().map_err(|e| e.to_string())?;
    Ok(PasswordHash::make(password, salt).expose().to_owned())
}
