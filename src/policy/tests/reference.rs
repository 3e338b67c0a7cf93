//! The engine against a second, naive reading of the design: random policies, requests and callers, and every answer equal.
//!
//! `reference` knows nothing of the engine: no table, no stages, no order of checks but the order of reasons. A run by hand with
//! `COGWARD_FULL=1 cargo test --no-default-features --lib reference -- --nocapture` asks a million times.

use http::Method;
use serde_json::{Value, json};

use super::*;

/// Where an owner stands.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Path,
    Query,
    Body,
}

/// A condition, and what its text is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum When {
    True,
    False,
    Errs,
    InRoles,
    IsMachine,
    NameInPath,
}

#[derive(Clone, Debug)]
struct Rule {
    deny: bool,
    methods: Vec<&'static str>,
    roles: Vec<&'static str>,
    scopes: Vec<&'static str>,
    owner: Option<(Place, Option<&'static str>)>,
    kinds: Vec<&'static str>,
    when: Option<When>,
}

#[derive(Clone, Debug)]
struct Route {
    path: &'static str,
    methods: Vec<&'static str>,
    rules: Vec<Rule>,
}

/// A caller, as the reference sees it.
struct Caller {
    principal: Principal,
    kind: &'static str,
    id: &'static str,
    groups: Vec<&'static str>,
    scopes: Vec<&'static str>,
    claims: Value,
}

struct Line {
    method: &'static str,
    path: &'static str,
    query: &'static str,
    body: Value,
}

const PATHS: [&str; 5] = ["/a/{owner}", "/a/u-1", "/a/{rest..}", "/a/{owner}/b", "/{owner}/{x}"];
const USUAL: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

/// The design, read once more.
fn reference(routes: &[Route], who: &Caller, line: &Line) -> String {
    let matching = (0..routes.len()).filter(|route| captured(routes[*route].path, line.path).is_some());
    let Some(best) = matching.min_by_key(|route| specificity(routes[*route].path)) else {
        return "no_route".to_owned();
    };
    let route = &routes[best];
    let taken = |methods: &[&str], all: &[&str]| {
        let listed = if methods.is_empty() { all } else { methods };
        listed.contains(&line.method) || line.method == "HEAD" && listed.contains(&"GET")
    };
    if !taken(&route.methods, &USUAL) {
        return "405".to_owned();
    }
    let about: Vec<(usize, &Rule)> =
        route.rules.iter().enumerate().filter(|(_, rule)| taken(&rule.methods, &USUAL)).collect();
    let twice = line.query.matches("o=").count() > 1;
    if twice && about.iter().any(|(_, rule)| matches!(rule.owner, Some((Place::Query, _)))) {
        return "attribute_malformed".to_owned();
    }
    let owner_in_path = captured(route.path, line.path).unwrap();
    let failures: Vec<(usize, bool, Vec<&str>)> =
        about.iter().map(|(place, rule)| (*place, rule.deny, failures(rule, who, line, owner_in_path))).collect();
    let denials = || failures.iter().filter(|(_, deny, _)| *deny);
    if denials().any(|(_, _, failed)| failed.is_empty()) {
        return "explicit_deny".to_owned();
    }
    if denials().any(|(_, _, failed)| failed == &["evaluation_error"]) {
        return "evaluation_error".to_owned();
    }
    if let Some((place, _, _)) = failures.iter().find(|(_, deny, failed)| !deny && failed.is_empty()) {
        return format!("allow r{best}/x{place}");
    }
    let order = ["evaluation_error", "not_owner", "insufficient_scope", "missing_role"];
    let met = |reason: &str| failures.iter().any(|(_, deny, failed)| !deny && failed.contains(&reason));
    order.into_iter().find(|reason| met(reason)).unwrap_or("no_rule").to_owned()
}

/// Everything that a rule states and that does not hold.
fn failures(rule: &Rule, who: &Caller, line: &Line, owner_in_path: &str) -> Vec<&'static str> {
    let mut failed = Vec::new();
    if let Some((place, equals)) = rule.owner {
        let named = match place {
            Place::Path => Some(owner_in_path),
            Place::Query => line.query.strip_prefix("o="),
            Place::Body => line.body.get("owner").and_then(Value::as_str),
        };
        let claim = |name: &str| who.claims.get(name).and_then(Value::as_str);
        let mine = match equals {
            None => Some(who.id),
            Some("email") => claim("email").filter(|_| who.claims.get("email_verified") == Some(&json!(true))),
            Some(name) => claim(name),
        };
        let may_own = who.kind == "user" || who.kind == "machine" && rule.kinds.contains(&"machine");
        let some = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        if !may_own || some(named).is_none() || some(named) != some(mine) {
            failed.push("not_owner");
        }
    }
    if !rule.scopes.iter().all(|scope| who.scopes.contains(scope)) {
        failed.push("insufficient_scope");
    }
    let known = who.kind != "anonymous";
    let has = |role: &&str| match *role {
        "anyone" => true,
        "authenticated" => known,
        "anonymous" => !known,
        group => who.groups.contains(&group),
    };
    if !(rule.roles.iter().any(has) || rule.roles.is_empty() && (rule.deny || known)) {
        failed.push("missing_role");
    }
    if !(rule.kinds.is_empty() || rule.kinds.contains(&who.kind)) {
        failed.push("no_rule");
    }
    match rule.when {
        Some(When::Errs) => failed.push("evaluation_error"),
        Some(When::False) => failed.push("no_rule"),
        Some(When::InRoles) if !who.groups.contains(&"a") => failed.push("no_rule"),
        Some(When::IsMachine) if who.kind != "machine" => failed.push("no_rule"),
        // Who is unknown has no id to read.
        Some(When::NameInPath) if !known => failed.push("evaluation_error"),
        Some(When::NameInPath) if who.id != owner_in_path => failed.push("no_rule"),
        _ => {}
    }
    failed
}

/// What stands in the place of `{owner}`, where the pattern is the path's.
fn captured<'p>(pattern: &str, path: &'p str) -> Option<&'p str> {
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match (pattern, segments.as_slice()) {
        ("/a/{owner}", ["a", owner]) | ("/a/{owner}/b", ["a", owner, "b"]) if !owner.is_empty() => Some(owner),
        ("/{owner}/{x}", [owner, x]) if !owner.is_empty() && !x.is_empty() => Some(owner),
        ("/a/u-1", ["a", "u-1"]) | ("/a/{rest..}", ["a", _, ..]) => Some(""),
        _ => None,
    }
}

fn specificity(pattern: &str) -> Vec<u8> {
    pattern
        .split('/')
        .skip(1)
        .map(|part| if part.contains("..") { 2 } else { u8::from(part.starts_with('{')) })
        .collect()
}

// What is drawn, by a generator of its own: the same numbers give the same run everywhere.

struct Draw(u64);

impl Draw {
    fn number(&mut self, below: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % below as u64).unwrap()
    }

    fn of<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.number(list.len())].clone()
    }

    fn some<T: Clone>(&mut self, list: &[T], most: usize) -> Vec<T> {
        let mut left = list.to_vec();
        (0..self.number(most + 1)).map(|_| left.swap_remove(self.number(left.len()))).collect()
    }

    fn rule(&mut self, path: &str) -> Rule {
        let in_path = path.contains("{owner}");
        let places = if in_path {
            &[Place::Path, Place::Path, Place::Query, Place::Body][..]
        } else {
            &[Place::Query, Place::Body]
        };
        let conditions =
            [When::True, When::True, When::False, When::Errs, When::InRoles, When::IsMachine, When::NameInPath];
        let mut rule = Rule {
            deny: self.number(3) == 0,
            methods: self.some(&["GET", "PUT", "DELETE"], 1),
            roles: self.some(&["a", "b", "anyone", "authenticated", "anonymous"], 2),
            scopes: if self.number(3) == 0 {
                self.some(&["openid", "contacts/read", "contacts/write"], 2)
            } else {
                vec![]
            },
            owner: (self.number(3) == 0)
                .then(|| (self.of(places), self.of(&[None, None, Some("email"), Some("custom:tenant")]))),
            kinds: if self.number(4) == 0 { self.some(&["user", "machine"], 2) } else { vec![] },
            when: (self.number(2) == 0).then(|| self.of(&conditions[..if in_path { 7 } else { 6 }])),
        };
        if !rule.deny && rule.roles.is_empty() && rule.scopes.is_empty() && rule.owner.is_none() && rule.when.is_none()
        {
            rule.roles.push("a");
        }
        rule
    }

    fn routes(&mut self) -> Vec<Route> {
        let mut paths = self.some(&PATHS, 3);
        paths.push(PATHS[0]);
        paths.dedup();
        paths.sort_unstable();
        paths.dedup();
        let mut route = |path: &&'static str| {
            let methods = self.some(&["GET", "PUT", "DELETE"], 2);
            let mut rules: Vec<Rule> = (0..=self.number(4)).map(|_| self.rule(path)).collect();
            if !methods.is_empty() {
                rules.iter_mut().for_each(|rule| rule.methods.clear());
            }
            Route { path, methods, rules }
        };
        paths.iter().map(&mut route).collect()
    }

    fn line(&mut self) -> Line {
        Line {
            method: self.of(&["GET", "GET", "PUT", "DELETE", "HEAD", "OPTIONS"]),
            path: self.of(&[
                "/a/u-1",
                "/a/u-2",
                "/a/u-1",
                "/a/client-2",
                "/a/u-1/b",
                "/a/u-1/c",
                "/a/",
                "/b/x",
                "/u-1/x",
                "/none",
            ]),
            query: self.of(&["", "", "o=u-1", "o=u-2", "o=", "o=client-2", "o=u-1&o=u-1"]),
            body: self.of(&[
                json!({}),
                json!({"owner": "u-1"}),
                json!({"owner": "u-2"}),
                json!({"owner": 1}),
                json!({"owner": ""}),
            ]),
        }
    }
}

fn render(routes: &[Route]) -> String {
    let route = |(place, route): (usize, &Route)| {
        let rules: Vec<String> =
            route.rules.iter().enumerate().map(|(place, rule)| rendered_rule(place, rule)).collect();
        let methods =
            if route.methods.is_empty() { String::new() } else { format!("\n  methods: {}", json!(route.methods)) };
        format!(
            "- id: r{place}\n  path: '{}'\n  authentication: optional{methods}\n  rules: [ {} ]\n",
            route.path,
            rules.join(", ")
        )
    };
    routes.iter().enumerate().map(route).collect()
}

fn rendered_rule(place: usize, rule: &Rule) -> String {
    let mut text = format!("{{ id: x{place}, effect: {}", if rule.deny { "deny" } else { "allow" });
    for (name, list) in
        [("methods", &rule.methods), ("roles", &rule.roles), ("scopes", &rule.scopes), ("principals", &rule.kinds)]
    {
        if !list.is_empty() {
            text += &format!(", {name}: {}", json!(list));
        }
    }
    if let Some((place, equals)) = rule.owner {
        let place = match place {
            Place::Path => "path: owner",
            Place::Query => "query: o",
            Place::Body => "body: /owner",
        };
        let equals = equals.map_or(String::new(), |claim| format!(", equals: '{claim}'"));
        text += &format!(", owner: {{ {place}{equals} }}");
    }
    if let Some(when) = rule.when {
        text += match when {
            When::True => r#", when: 'request.host == "gateway.example"'"#,
            When::False => r#", when: 'request.host != "gateway.example"'"#,
            When::Errs => r#", when: 'principal.claims["absent"] == "x"'"#,
            When::InRoles => r#", when: '"a" in principal.roles'"#,
            When::IsMachine => r#", when: 'principal.kind == "machine"'"#,
            When::NameInPath => ", when: 'path.owner == principal.id'",
        };
    }
    text + " }"
}

fn callers() -> Vec<Caller> {
    let mut callers = vec![
        Caller {
            principal: Principal::Anonymous,
            kind: "anonymous",
            id: "",
            groups: vec![],
            scopes: vec![],
            claims: json!({}),
        },
        Caller {
            principal: machine(),
            kind: "machine",
            id: "client-2",
            groups: vec![],
            scopes: vec!["contacts/read", "contacts/write"],
            claims: json!({}),
        },
    ];
    let extras = [
        json!({}),
        json!({"email": "u-1", "email_verified": true}),
        json!({"email": "u-1", "email_verified": false}),
        json!({"custom:tenant": "u-1"}),
        json!({"custom:tenant": ""}),
        json!({"custom:tenant": ["u-1"]}),
    ];
    for (id, groups) in [("u-1", vec!["a"]), ("u-1", vec!["b", "a"]), ("u-2", vec!["b"]), ("u-2", vec![])] {
        for extra in &extras {
            let mut claims = extra.clone();
            claims["sub"] = json!(id);
            claims["cognito:groups"] = json!(groups);
            let principal = user_with(&claims);
            let (groups, scopes) = (groups.clone(), vec!["openid", "contacts/read"]);
            callers.push(Caller { principal, kind: "user", id, groups, scopes, claims });
        }
    }
    callers
}

#[test]
fn the_engine_answers_as_a_second_reading_of_the_design() {
    let policies = if std::env::var_os("COGWARD_FULL").is_some_and(|full| full == "1") { 50_000 } else { 1000 };
    let (mut draw, callers) = (Draw(3), callers());
    let mut answers = std::collections::BTreeMap::<String, u32>::new();
    for _ in 0..policies {
        let routes = draw.routes();
        let text = render(&routes);
        let (set, report) = compile(&[file("r.yaml", &routes_file(&text))]);
        assert!(!report.has_errors(), "{report}\n{text}");
        let set = set.unwrap();
        for _ in 0..20 {
            let (line, who) = (draw.line(), &callers[draw.number(callers.len())]);
            let target =
                if line.query.is_empty() { line.path.to_owned() } else { format!("{}?{}", line.path, line.query) };
            let method: Method = line.method.parse().unwrap();
            let asked = Ask::new(&format!("{method} {target}")).body(line.body.clone());
            let answer = asked.of(&set, &who.principal).0;
            let answer = if answer.starts_with("405 ") { "405".to_owned() } else { answer };
            let expected = reference(&routes, who, &line);
            assert_eq!(answer, expected, "{method} {target} {} by {} {}\n{text}", line.body, who.kind, who.claims);
            *answers.entry(answer.split(' ').next().unwrap().to_owned()).or_default() += 1;
        }
    }
    println!("{} questions, every answer equal: {answers:?}", policies * 20);
    assert!(answers.len() >= 9 && answers.values().all(|count| *count >= 20), "{answers:?}");
}
