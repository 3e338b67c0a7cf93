//! `cogward demo`: the gateway, an issuer and an upstream in one process, and the requests to try.
//!
//! Writes an ordinary settings file and serves it: what the demo shows is what `serve` does, reloads included.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

use clap::Args;
use serde_json::json;

use super::{ExitStatus, Output, complain, say, serve};
use crate::{
    admission::now,
    dev::{self, Contacts, DEMO_CLIENT, DEMO_POOL, DemoHome, DemoKey, Mint},
    server::{Server, Start, Started},
    token::TokenUse,
};

const LIFETIME: i64 = 12 * 3600;
const MACHINE: &str = "demo-machine";

/// The shipped policies, for a binary that runs where the folder is not.
const POLICIES: [(&str, &str); 3] = [
    ("contacts.yaml", include_str!("../../policies/contacts.yaml")),
    ("contact.resource.yaml", include_str!("../../policies/contact.resource.yaml")),
    ("profile.yaml", include_str!("../../policies/profile.yaml")),
];

/// How to run the demo.
#[derive(Debug, Args)]
pub(super) struct DemoArguments {
    /// Address of the gateway; a free port is taken when this one is in use
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Address of metrics, health and status; likewise
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9901")]
    admin: SocketAddr,
    /// How to print addresses, tokens and examples
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// The four who try the demo.
#[derive(Clone, Debug)]
struct Tokens {
    admin: String,
    user: String,
    stranger: String,
    machine: String,
}

/// One request to try, and what it should answer.
struct Example {
    why: &'static str,
    curl: String,
    status: u16,
}

/// The files of a demo that is ready to run.
struct Prepared {
    folder: PathBuf,
    config: PathBuf,
    policies: PathBuf,
    tokens: Tokens,
}

pub(super) fn run(arguments: &DemoArguments) -> ExitStatus {
    let prepared = match prepare(arguments) {
        Ok(prepared) => prepared,
        Err(reason) => {
            complain(&format!("error: {reason}"));
            return ExitStatus::CouldNotRun;
        }
    };
    let output = arguments.output;
    let ran = Server::prepare(&prepared.config)
        .and_then(|server| server.run(Start::Fresh, |started| say(&introduction(output, started, &prepared))));
    // Left-over files are harmless: the folder is the run's own.
    let _ = fs::remove_dir_all(&prepared.folder);
    ran.map_or_else(|error| serve::failed(&error), |()| ExitStatus::Good)
}

fn prepare(arguments: &DemoArguments) -> Result<Prepared, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let home = DemoHome::open(|name| std::env::var(name).ok()).map_err(|error| text(&error))?;
    let key = home.key().map_err(|error| text(&error))?;
    let folder = home.run_folder().map_err(|error| text(&error))?;

    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(|error| text(&error))?;
    let upstream = listener.local_addr().map_err(|error| text(&error))?;
    let contacts = Contacts::seeded(&["admin-1", "user-1", "stranger-1"]);
    dev::spawn_upstream(listener, contacts).map_err(|error| text(&error))?;

    let policies = policies(&folder)?;
    let write = |name: &str, content: &str| {
        let path = folder.join(name);
        fs::write(&path, content).map_err(|error| format!("cannot write {}: {error}", path.display())).map(|()| path)
    };
    write("jwks.json", &key.jwks())?;
    let settings = settings(free(arguments.listen), free(arguments.admin), upstream, &policies, arguments.output);
    let config = write("cogward.yaml", &settings)?;
    let tokens = mint(&key).map_err(|error| text(&error))?;
    Ok(Prepared { folder, config, policies, tokens })
}

/// The policies of the working folder, so that they can be changed while the demo runs; else the shipped ones.
fn policies(folder: &Path) -> Result<PathBuf, String> {
    if let Ok(here) = fs::canonicalize("policies")
        && here.join("contacts.yaml").is_file()
    {
        return Ok(here);
    }
    let shipped = folder.join("policies");
    fs::create_dir_all(&shipped).map_err(|error| error.to_string())?;
    for (name, content) in POLICIES {
        fs::write(shipped.join(name), content).map_err(|error| error.to_string())?;
    }
    Ok(shipped)
}

/// The address itself when it is free, else a free port beside it.
fn free(address: SocketAddr) -> SocketAddr {
    match TcpListener::bind(address) {
        Ok(_) => address,
        Err(_) => SocketAddr::new(address.ip(), 0),
    }
}

fn settings(listen: SocketAddr, admin: SocketAddr, upstream: SocketAddr, policies: &Path, output: Output) -> String {
    // Standard output belongs to the one who reads the JSON.
    let audit = match output {
        Output::Text => json!("stdout"),
        Output::Json => json!({ "file": "audit.log" }),
    };
    json!({
        "listeners": [{ "address": listen.to_string() }],
        "admin": { "address": admin.to_string() },
        "shutdown_delay": "0s",
        "identity": { "providers": [{
            "id": "main",
            "cognito": {
                "user_pool_id": DEMO_POOL,
                "client_ids": [DEMO_CLIENT, MACHINE],
                "token_use": ["access", "id"],
                "jwks": { "file": "jwks.json" },
            },
        }] },
        "upstreams": [{ "id": "contacts", "endpoints": [format!("http://{upstream}")] }],
        "policies": { "path": policies },
        "audit": { "destination": audit },
    })
    .to_string()
}

fn mint(key: &DemoKey) -> Result<Tokens, dev::DemoKeyError> {
    let user = |sub: &str, groups: &[&str]| Mint {
        sub: sub.to_owned(),
        username: Some(sub.to_owned()),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        scopes: vec!["openid".to_owned()],
        token_use: TokenUse::Access,
        client: DEMO_CLIENT.to_owned(),
        expires_in: LIFETIME,
    };
    let machine = Mint {
        username: None,
        scopes: vec!["contacts/read".to_owned()],
        client: MACHINE.to_owned(),
        ..user(MACHINE, &[])
    };
    Ok(Tokens {
        admin: key.sign(&user("admin-1", &["admin"]), now())?,
        user: key.sign(&user("user-1", &["user"]), now())?,
        stranger: key.sign(&user("stranger-1", &["user"]), now())?,
        machine: key.sign(&machine, now())?,
    })
}

fn introduction(output: Output, started: &Started, prepared: &Prepared) -> String {
    let gateway = started.listeners.first().map(|address| format!("http://{address}")).unwrap_or_default();
    let admin = format!("http://{}", started.admin);
    let tokens = &prepared.tokens;
    match output {
        Output::Json => json!({
            "gateway": gateway,
            "admin": admin,
            "policies": prepared.policies,
            "tokens": { "admin": tokens.admin, "user": tokens.user, "stranger": tokens.stranger, "machine": tokens.machine },
            "examples": examples(&gateway, tokens)
                .iter()
                .map(|example| json!({ "why": example.why, "curl": example.curl, "status": example.status }))
                .collect::<Vec<_>>(),
        })
        .to_string(),
        Output::Text => text(&gateway, &admin, prepared),
    }
}

fn text(gateway: &str, admin: &str, prepared: &Prepared) -> String {
    let Tokens { admin: admins, user, stranger, machine } = &prepared.tokens;
    let mut text = format!(
        "cogward demo\n  gateway   {gateway}\n  admin     {admin}/metrics {admin}/status\n  policies  {} (change them: they reload)\n\n\
         Tokens, to be pasted into a shell first:\n\nADMIN_TOKEN={admins}\nUSER_TOKEN={user}\nSTRANGER_TOKEN={stranger}\nMACHINE_TOKEN={machine}\n\n\
         Then each of these says what it should answer:\n",
        prepared.policies.display()
    );
    let variables = Tokens {
        admin: "$ADMIN_TOKEN".to_owned(),
        user: "$USER_TOKEN".to_owned(),
        stranger: "$STRANGER_TOKEN".to_owned(),
        machine: "$MACHINE_TOKEN".to_owned(),
    };
    for example in examples(gateway, &variables) {
        text.push_str(&format!("\n# {}: {}\n{}\n", example.why, example.status, example.curl));
    }
    text.push_str(
        "\nOther tokens: cogward token --sub someone --groups user\nStop with Ctrl-C. Each decision follows as one audit line.\n",
    );
    text
}

fn examples(gateway: &str, tokens: &Tokens) -> Vec<Example> {
    let curl = |token: Option<&str>, method: &str, path: &str| {
        let method = if method == "GET" { String::new() } else { format!(" -X {method}") };
        let token = token.map(|token| format!(" -H \"Authorization: Bearer {token}\"")).unwrap_or_default();
        let body = if method.ends_with("PUT") {
            " -H 'Content-Type: application/json' -d '{\"name\":\"Ada L.\"}'"
        } else {
            ""
        };
        format!("curl -i{method}{token}{body} {gateway}{path}")
    };
    let example = |why, token, method, path, status| Example { why, curl: curl(token, method, path), status };
    let (admin, user) = (Some(tokens.admin.as_str()), Some(tokens.user.as_str()));
    let (stranger, machine) = (Some(tokens.stranger.as_str()), Some(tokens.machine.as_str()));
    vec![
        example("a user reads a contact of their own", user, "GET", "/users/user-1/contacts/1", 200),
        example("a user changes a contact of their own", user, "PUT", "/users/user-1/contacts/1", 200),
        example("a stranger may read it", stranger, "GET", "/users/user-1/contacts/1", 200),
        example("a stranger may not change it", stranger, "PUT", "/users/user-1/contacts/1", 403),
        example("an admin may change anybody's", admin, "PUT", "/users/user-1/contacts/1", 200),
        example("a stranger may not delete it", stranger, "DELETE", "/users/user-1/contacts/2", 403),
        example("an admin deletes one", admin, "DELETE", "/users/user-1/contacts/2", 200),
        example("a machine has no groups, so no rule allows it", machine, "GET", "/users/user-1/contacts/1", 403),
        example("a user reads their own profile", user, "GET", "/users/user-1/profile", 200),
        example("a stranger does not", stranger, "GET", "/users/user-1/profile", 403),
        example("nobody without a token", None, "GET", "/users/user-1/contacts", 401),
        example("except what is public", None, "GET", "/public/hello", 200),
        example("a path with two readings is refused", user, "GET", "/users/user-1/contacts/..%2f..%2fadmin", 400),
        example("what no route takes does not exist", user, "GET", "/nowhere", 404),
    ]
}
