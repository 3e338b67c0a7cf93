use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::{
    decision_api::cerbos::protojson::{self, FromJson},
    policy::cerbos::{ActionResult, Output},
    time::UnixTime,
    token::KeySet,
};

const CLOCK: Clock = Clock { time: UnixTime::from_seconds(1_700_000_000), nanos: 7 };

/// Allows `read` of what belongs to the principal, and says all that can be said.
fn policies(input: &CheckInput<'_>, clock: Clock) -> CheckOutput {
    assert_eq!(clock, CLOCK);
    let owns = input.resource.attributes.get("owner").and_then(Json::as_str) == Some(input.principal.id);
    let decided = |action: Box<str>| {
        let effect = if owns && &*action == "read" { Effect::Allow } else { Effect::Deny };
        let policy = format!("resource.{}.vdefault", input.resource.kind).into();
        let result = ActionResult {
            effect,
            policy,
            scope: input.resource.scope.into(),
            rule: None,
            errs: false,
            disputed: false,
        };
        (action, result)
    };
    let says = Output {
        source: "s#r".into(),
        action: "read".into(),
        value: Some(json!({"n": 1.0, "t": [null, true, "x", 1.5]})),
    };
    let silent = Output { source: "s#e".into(), action: "read".into(), value: None };
    let error = crate::policy::cerbos::ValidationError {
        path: "/owner".into(),
        message: "expected a text".into(),
        source: ValidationSource::Resource,
    };
    if input.resource.id == "silent" {
        return CheckOutput::default();
    }
    CheckOutput {
        actions: input.actions.iter().cloned().map(decided).collect(),
        effective_derived_roles: if owns { vec!["owner".into()] } else { Vec::new() },
        outputs: if owns { vec![says, silent] } else { Vec::new() },
        validation_errors: if input.resource.id == "bad" { vec![error] } else { Vec::new() },
    }
}

fn ask<Q: Question + FromJson>(question: &Json) -> Result<(Json, Trail), String>
where
    Q::Answer: serde::Serialize,
{
    let sets = BTreeMap::<Box<str>, Arc<KeySet>>::new();
    let terms = Terms {
        most_actions: 3,
        most_resources: 2,
        aux_keys: AuxKeys { sets: &sets, unverified: false },
        clock: CLOCK,
        call_id: "01ID",
    };
    let mut trail = Trail::default();
    let question: Q = protojson::read(question.to_string().as_bytes()).unwrap();
    question.validate().unwrap();
    let answer = question.answer(&terms, &policies, &mut trail).map_err(|fault| fault.message.into_owned())?;
    Ok((serde_json::to_value(answer).unwrap(), trail))
}

fn principal() -> Json {
    json!({"id": "u", "roles": ["user", "b"]})
}

fn resource(id: &str, owner: &str) -> Json {
    json!({"kind": "contact", "id": id, "attr": {"owner": owner}, "policyVersion": "default", "scope": "acme"})
}

#[test]
fn check_resources_is_answered_as_cerbos_answers() {
    let entries = json!([
        {"actions": ["read", "update"], "resource": resource("1", "u")},
        {"actions": ["read"], "resource": {"kind": "contact", "id": "bad"}},
    ]);
    let mut question = json!({"requestId": "q", "principal": principal(), "resources": entries});
    let (answer, trail) = ask::<CheckResourcesRequest>(&question).unwrap();
    let outputs = json!([
        {"src": "s#r", "val": {"n": 1, "t": [null, true, "x", 1.5]}, "action": "read"},
        {"src": "s#e", "action": "read"},
    ]);
    let first = json!({
        "resource": {"id": "1", "kind": "contact", "policyVersion": "default", "scope": "acme"},
        "actions": {"read": "EFFECT_ALLOW", "update": "EFFECT_DENY"},
        "outputs": outputs,
    });
    let second = json!({
        "resource": {"id": "bad", "kind": "contact"},
        "actions": {"read": "EFFECT_DENY"},
        "validationErrors": [{"path": "/owner", "message": "expected a text", "source": "SOURCE_RESOURCE"}],
    });
    assert_eq!(answer, json!({"requestId": "q", "results": [first, second], "cerbosCallId": "01ID"}));
    assert_eq!((&*trail.request_id, &*trail.principal, trail.roles.len()), ("q", "u", 2));
    assert_eq!(trail.resources[0].decided[0].action, "read".into());
    assert!(trail.resources[0].decided[0].is_allowed && !trail.resources[0].decided[1].is_allowed);

    question["includeMeta"] = true.into();
    let (answer, _) = ask::<CheckResourcesRequest>(&question).unwrap();
    let policy = json!({"matchedPolicy": "resource.contact.vdefault", "matchedScope": "acme"});
    let meta = json!({"actions": {"read": policy, "update": policy}, "effectiveDerivedRoles": ["owner"]});
    assert_eq!(answer["results"][0]["meta"], meta);
    assert_eq!(
        answer["results"][1]["meta"],
        json!({"actions": {"read": {"matchedPolicy": "resource.contact.vdefault"}}})
    );
}

#[test]
fn the_older_shapes_are_answered_as_cerbos_answers() {
    let batch = json!({"requestId": "q", "principal": principal(), "resources": [{"actions": ["read"], "resource": resource("1", "u")}]});
    let (answer, _) = ask::<CheckResourceBatchRequest>(&batch).unwrap();
    let expected = json!({"requestId": "q", "results": [{"resourceId": "1", "actions": {"read": "EFFECT_ALLOW"}}]});
    assert_eq!(answer, expected);

    let mut set = json!({"requestId": "q", "principal": principal(), "actions": ["read", "x"],
        "resource": {"kind": "contact", "instances": {"1": {"attr": {"owner": "u"}}, "2": {}}}});
    let (answer, trail) = ask::<CheckResourceSetRequest>(&set).unwrap();
    let instances = json!({
        "1": {"actions": {"read": "EFFECT_ALLOW", "x": "EFFECT_DENY"}},
        "2": {"actions": {"read": "EFFECT_DENY", "x": "EFFECT_DENY"}},
    });
    assert_eq!(answer, json!({"requestId": "q", "resourceInstances": instances}));
    assert_eq!(trail.resources.iter().map(|one| &*one.id).collect::<Vec<_>>(), ["1", "2"]);
    set["includeMeta"] = true.into();
    let (answer, _) = ask::<CheckResourceSetRequest>(&set).unwrap();
    let policy = json!({"matchedPolicy": "resource.contact.vdefault"});
    let expected = json!({"resourceInstances": {
        "1": {"actions": {"read": policy, "x": policy}, "effectiveDerivedRoles": ["owner"]},
        "2": {"actions": {"read": policy, "x": policy}},
    }});
    assert_eq!(answer["meta"], expected);
}

#[test]
fn more_than_the_limits_is_refused() {
    let entry = |actions: usize| {
        let actions: Vec<_> = (0..actions).map(|action| action.to_string()).collect();
        json!({"actions": actions, "resource": resource("1", "u")})
    };
    let asked = |entries: Vec<Json>| json!({"principal": principal(), "resources": entries});
    let told = |question: &Json| ask::<CheckResourcesRequest>(question).map(drop);
    assert_eq!(told(&asked(vec![entry(3), entry(1)])), Ok(()));
    let resources = "number of resources in batch (3) exceeds configured limit (2)";
    assert_eq!(told(&asked(vec![entry(1), entry(1), entry(9)])), Err(resources.to_owned()));
    let actions = "number of actions (4) exceeds configured limit (3)";
    assert_eq!(told(&asked(vec![entry(1), entry(4)])), Err(actions.to_owned()));
    let set = json!({"principal": principal(), "actions": ["a", "b", "c", "d"], "resource": {"kind": "k", "instances": {"1": {}}}});
    assert_eq!(ask::<CheckResourceSetRequest>(&set).map(drop), Err(actions.to_owned()));
}

#[test]
fn a_token_that_cannot_be_verified_refuses_the_question() {
    let question = json!({"principal": principal(), "resources": [{"actions": ["read"], "resource": resource("1", "u")}],
        "auxData": {"jwt": {"token": "a.b.c"}}});
    assert_eq!(ask::<CheckResourcesRequest>(&question).map(drop), Err("invalid auxData".to_owned()));
    let mut without = question;
    without["auxData"] = json!({});
    assert!(ask::<CheckResourcesRequest>(&without).is_ok());
}

#[test]
fn an_action_without_an_answer_is_a_fault() {
    let asked =
        json!({"principal": principal(), "resources": [{"actions": ["read"], "resource": resource("silent", "u")}]});
    assert_eq!(ask::<CheckResourcesRequest>(&asked).map(drop), Err("the policies cannot be asked".to_owned()));
}
