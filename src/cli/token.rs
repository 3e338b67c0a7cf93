//! `cogward token`: mints what the demo's issuer would mint.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::{ExitStatus, complain, say};
use crate::{
    admission::now,
    config::Settings,
    dev::{DEMO_CLIENT, DEMO_POOL, DemoHome, Mint},
    server,
    token::{TokenUse, UserPoolId},
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Use {
    /// An access token
    Access,
    /// An ID token
    Id,
}

/// What the token shall say.
#[derive(Debug, Args)]
pub(super) struct TokenArguments {
    /// Settings that the token is meant for, else `config/cogward.yaml` where there is one; refused when they trust a real pool
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// `sub`: the id of the principal
    #[arg(long, default_value = "user-1")]
    sub: String,
    /// `username`; without it the token of a user has its `sub` here, and that of a machine none
    #[arg(long)]
    username: Option<String>,
    /// `cognito:groups`, separated by commas
    #[arg(long, value_delimiter = ',')]
    groups: Vec<String>,
    /// `scope`, separated by commas or spaces
    #[arg(long, value_delimiter = ',')]
    scopes: Vec<String>,
    /// `token_use`
    #[arg(long = "use", value_enum, default_value_t = Use::Access, value_name = "USE")]
    token_use: Use,
    /// App client; a `--sub` equal to it makes the token of a machine
    #[arg(long, default_value = DEMO_CLIENT)]
    client: String,
    /// Seconds until it expires; negative for one that has
    #[arg(long, default_value_t = 3600, allow_hyphen_values = true, value_name = "SECONDS")]
    expires_in: i64,
}

pub(super) fn run(arguments: &TokenArguments) -> ExitStatus {
    if let Some(config) = meant(arguments.config.as_deref(), Path::new("."))
        && let Err(status) = refuse_real_pools(&config)
    {
        return status;
    }
    let minted = DemoHome::open(|name| std::env::var(name).ok())
        .and_then(|home| home.key())
        .map_err(|error| error.to_string())
        .and_then(|key| key.sign(&mint(arguments), now()).map_err(|error| error.to_string()));
    match minted {
        Ok(token) => {
            say(&token);
            ExitStatus::Good
        }
        Err(reason) => {
            complain(&format!("error: {reason}"));
            ExitStatus::CouldNotRun
        }
    }
}

fn mint(arguments: &TokenArguments) -> Mint {
    let is_machine = arguments.sub == arguments.client;
    let username = arguments.username.clone().or_else(|| (!is_machine).then(|| arguments.sub.clone()));
    let scopes = arguments.scopes.iter().flat_map(|scopes| scopes.split_whitespace()).map(str::to_owned);
    Mint {
        sub: arguments.sub.clone(),
        username,
        groups: arguments.groups.clone(),
        scopes: scopes.collect(),
        token_use: match arguments.token_use {
            Use::Access => TokenUse::Access,
            Use::Id => TokenUse::Id,
        },
        client: arguments.client.clone(),
        expires_in: arguments.expires_in,
    }
}

/// The settings that a token is meant for: those that are named, else those that `serve` would take in `folder`.
fn meant(named: Option<&Path>, folder: &Path) -> Option<PathBuf> {
    let usual = folder.join("config/cogward.yaml");
    named.map(Path::to_owned).or_else(|| usual.is_file().then_some(usual))
}

/// A token that looks like one of a real pool is nothing to have lying about, even one that no real gateway would accept.
fn refuse_real_pools(config: &Path) -> Result<(), ExitStatus> {
    let settings = server::read_settings(config).map_err(|report| {
        complain(&report.to_string());
        ExitStatus::DoesNotCompile
    })?;
    match real_provider(&settings) {
        None => Ok(()),
        Some(id) => {
            complain(&format!(
                "error: {}: provider `{id}` is not the demo's pool `{DEMO_POOL}`: tokens are minted for the demo only",
                config.display()
            ));
            Err(ExitStatus::CouldNotRun)
        }
    }
}

fn real_provider(settings: &Settings) -> Option<&str> {
    let demo: Vec<_> = DEMO_POOL.parse::<UserPoolId>().map(|pool| pool.issuers().to_vec()).unwrap_or_default();
    let providers = settings.identity.providers.iter().map(|settings| &settings.provider);
    let mut real = providers.filter(|provider| provider.issuers.iter().any(|issuer| !demo.contains(issuer)));
    real.next().map(|provider| provider.id.as_str())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn settings(pool: &str) -> String {
        format!(
            "identity: {{ providers: [{{ id: main, cognito: {{ user_pool_id: {pool}, client_ids: [web] }} }}] }}\nupstreams: [{{ id: app, endpoints: ['http://127.0.0.1:9000'] }}]\n"
        )
    }

    #[test]
    fn the_settings_that_serve_would_take_are_asked_although_none_are_named() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(meant(None, folder.path()), None);
        fs::create_dir(folder.path().join("config")).unwrap();
        let usual = folder.path().join("config/cogward.yaml");
        for (pool, refused) in [("eu-west-1_RealPool1", Err(ExitStatus::CouldNotRun)), (DEMO_POOL, Ok(()))] {
            fs::write(&usual, settings(pool)).unwrap();
            let config = meant(None, folder.path()).unwrap();
            assert_eq!(refuse_real_pools(&config), refused, "{pool}");
        }
        let named = Path::new("other.yaml");
        assert_eq!(meant(Some(named), folder.path()), Some(named.to_owned()));
    }
}
