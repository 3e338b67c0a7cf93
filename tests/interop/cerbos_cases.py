"""Draws folders of Cerbos policies, and requests about them. The same seed and number give the same case."""

import base64
import json
import random

from cerbos_expressions import BROKEN, Expression, Grammar, quoted

KINDS = ["contact", "leave_request", "album:object", "doc"]
ACTIONS = ["read", "update", "delete", "create", "list", "view", "view:public", "view:private", "view:public:brief", "x", "x:1", "approve", "p1", "q2", "m", "view2", "viEw2", "Read", "remind"]
ACTION_GLOBS = ["*", "view:*", "view:**", "*:public", "x*", "{p,q}*", "{m,n}", "v?ew2", "[pq][12]", "[rd]e*", "[!a]*", "r*", "view:*:brief", "**", "*e", "view*", "view**", "[a-m]*", "*:*", "x:?", "{view,x}:*"]
ROLES = ["user", "admin", "manager", "guest", "auditor", "team:x", "Admin"]
SCOPES = ["", "acme", "acme.hr", "acme.hr.uk", "acme.it", "zeta"]
ODD_SCOPES = ["acme.zz", "nope", "acme.hr.fr", "zeta.a", "acme.hr.uk.london"]
VERSIONS = ["default", "default", "default", "v1"]
PRINCIPALS = ["u1", "u2", "sally", "bob@example.com"]
SCHEMAS = {
    "_schemas/person.json": {"type": "object", "properties": {"n": {"type": "number"}, "s": {"type": "string", "minLength": 1}}, "required": ["n"]},
    "_schemas/thing.json": {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "properties": {
        "s": {"type": "string"}, "n": {"type": "number", "minimum": 0}, "tags": {"type": "array", "items": {"type": "string"}, "maxItems": 4}, "flag": {"$ref": "#/$defs/yes"}},
        "$defs": {"yes": {"type": "boolean"}}},
}


def block(value, indent=0):
    """A document as block YAML: keys as they stand, texts in double quotes as JSON has them."""
    pad = "  " * indent
    if isinstance(value, dict) and value:
        lines = []
        for key, one in value.items():
            nested = isinstance(one, (dict, list)) and one
            lines.append(f"{pad}{key if key.isidentifier() or key == '$schema' else quoted(key)}:" + ("\n" + block(one, indent + 1) if nested else " " + quoted(one)))
        return "\n".join(lines)
    if isinstance(value, list) and value:
        return "\n".join(pad + "- " + block(one, indent + 1).lstrip() for one in value)
    return pad + quoted(value)


def rendered(documents):
    """Texts of files."""
    texts = {}
    for name, document in documents.items():
        if name.endswith(".json"):
            texts[name] = json.dumps(document, ensure_ascii=False, indent=1) + "\n"
        else:
            texts[name] = block(document) + "\n"
    return texts


class Case:
    """Documents by file name, and calls of the check API."""

    def __init__(self, name, documents, requests):
        self.name, self.documents, self.requests = name, documents, requests

    def files(self):
        return rendered(self.documents)

    def show(self):
        parts = [f"--- # {name}\n{text}" for name, text in self.files().items()]
        return "\n".join(parts + [f"--- # request\n{json.dumps(one, ensure_ascii=False)}" for one in self.requests])


class Cases:
    def __init__(self, seed, number, without=()):
        self.name = f"seed {seed}, case {number}"
        self.random = random.Random(f"{seed}/{number}")
        self.without = without

    def chance(self, share):
        return self.random.random() < share

    def some(self, of, least=1, most=3):
        return self.random.sample(of, min(len(of), self.random.randint(least, most)))

    # Values, of which some are missing and some of a wrong type.

    def odd(self):
        return self.random.choice([None, True, False, 0, 1, -1, 1.5, 1e21, 1e-7, 9007199254740993, "", "a", "true", "1", [], ["a"], [1, "a", None], {}, {"a": 1}, {"country": "FR"}, [[1], [2]], "2021-04-22T10:05:20Z", -0.0])

    def attributes(self):
        pick = self.random.choice
        made = {
            "n": pick([0, 1, 2, 3, 2.5, -1, 10, 100]), "m": pick([1, 2, 0.1, -3, 7.75]), "big": pick([1e21, 9007199254740993, 1e300, 9223372036854775807, 123456789012]), "neg": pick([-1, -2.5, -0.0]),
            "s": pick(["a", "b", "abc", "", "GB", "éa", "Hello World", "a,b,c"]), "t": pick(["b", "abc", "x", "1", "true", "2.5"]), "name": pick(["Ann", "bob", ""]), "owner": pick(PRINCIPALS),
            "email": pick(["a@b.c", "nobody", "Ann@Example.com"]), "flag": self.chance(0.5), "tags": self.some(["a", "b", "c", "d", "user", "b"], 0, 4), "teams": self.some(["a", "b", "c", "x", "y"], 0, 4),
            "some": self.some(["a", "b", "GB", "u1"], 0, 3), "nums": self.some([1, 2, 3, 2.5, 1.0, -1], 0, 5), "few": self.some([1, 2, 3], 0, 2), "geo": {"country": pick(["GB", "FR", "a"]), "n": pick([1, 2, 3])},
            "nul": None, "when": pick(["2021-04-22T10:05:20.021Z", "2024-02-29T12:00:00+05:30", "1999-12-31T23:59:59-08:00", "yesterday"]), "since": pick(["2020-01-01T00:00:00Z", "2022-10-30T01:30:00+02:00"]),
            "span": pick(["90s", "1h30m", "-5ms", "1d", "0"]), "ip": pick(["10.1.2.3", "192.168.1.1", "2001:db8::1", "::ffff:10.0.0.1", "10.0.0.256", ""]), "path": pick(["a.b.c", "a.b", "a.b.c.d", "x.y", "", "a..b"]),
            "spiffe": pick(["spiffe://acme.com/a/b", "spiffe://other.org/x", "http://no", "spiffe://acme.com"]), "team": pick(["x", "y"]), "level": pick([1, 2, 3]), "text": pick(["10", "-1", "0x10", "1e3", "3u", " 1", "NaN"]),
            "pattern": pick(["^a", "[0-9", "b+"]), "odd": self.odd(),
        }
        for name in list(made):
            if self.chance(0.06):
                del made[name]
            elif self.chance(0.04):
                made[name] = self.odd()
        return made

    def token(self):
        claims = {"sub": self.random.choice(PRINCIPALS), "aud": self.some(["a", "b", "cerbos"], 1, 2), "level": self.random.choice([1, 2, 3]), "x": self.odd()}
        part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")
        return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(claims)}.{part('signature')}"

    # Pieces of policies.

    def condition(self, grammar, depth=2):
        if depth == 0 or self.chance(0.6):
            return {"expr": grammar.draw("b", self.random.choice([1, 2, 2, 3, 4]))}
        which = self.random.choice(["all", "any", "none"])
        return {which: {"of": [self.condition(grammar, depth - 1) for _ in range(self.random.randint(1, 3))]}}

    def output(self, grammar):
        when = {}
        if self.chance(0.8):
            when["ruleActivated"] = grammar.output()
        if not when or self.chance(0.5):
            when["conditionNotMet"] = grammar.output()
        return {"when": when}

    def actions(self):
        return self.random.sample(ACTIONS, self.random.randint(1, 3)) if self.chance(0.6) else list(dict.fromkeys(self.random.choice(ACTION_GLOBS + ACTIONS) for _ in range(self.random.randint(1, 2))))

    def effect(self, deny=0.3):
        return "EFFECT_DENY" if self.chance(deny) else "EFFECT_ALLOW"

    def variables(self, grammar):
        """Local constants and variables of a policy; those that it imports too. The grammar knows them from then on."""
        made, names = {}, {}
        constants, variables = {"import": [], "local": {}}, {"import": [], "local": {}}
        if self.exported and self.chance(0.4):
            constants["import"] = ["limits"]
            names |= {"n": ["C.most"], "s": ["C.country", "constants.country"], "ls": ["C.names"]}
        if self.chance(0.4):
            constants["local"] = {"yes": True, "few": 2.5, "word": "abc", "bag": {"country": "GB", "n": 1}, "numbers": [1, 2, 3]}
            names = {"b": ["C.yes"], "n": names.get("n", []) + ["C.few"], "s": names.get("s", []) + ["C.word"], "m": ["C.bag"], "ln": ["C.numbers"]} | {"ls": names.get("ls", [])}
        if self.exported and self.chance(0.4):
            variables["import"] = ["common"]
            for kind, name in (("b", "V.owns"), ("s", "V.who"), ("a", "V.broken")):
                names[kind] = names.get(kind, []) + [name, name.replace("V.", "variables.")]
        inner = Grammar(self.random, dict(names), self.without)
        if self.chance(0.5):
            for name, kind in self.random.sample([("isIt", "b"), ("total", "n"), ("label", "s"), ("items", "ls"), ("count", "i"), ("any_thing", "a"), ("moment", "t")], self.random.randint(1, 4)):
                variables["local"][name] = inner.draw(kind, 2)
                inner.names[kind] = inner.names.get(kind, []) + [f"V.{name}"]
        for key, one in (("constants", constants), ("variables", variables)):
            one = {name: value for name, value in one.items() if value}
            if one:
                made[key] = one
        grammar.names = {kind: grammar.names.get(kind, []) + inner.names.get(kind, []) for kind in {*grammar.names, *inner.names}}
        return made

    def grammar(self, runtime=()):
        grammar = Grammar(self.random, {"n": ["G.limit"], "s": ["G.environment", "globals.environment"]}, self.without)
        if runtime:
            # Where several scopes are looked at, which of their roles are seen depends on the order of a Go map.
            grammar.names["b"] = [f'"{name}" in runtime.effectiveDerivedRoles' for name in runtime] + ["size(runtime.effectiveDerivedRoles) > 1"]
        return grammar

    # Whole policies.

    def exports(self):
        inner = Grammar(self.random, {}, self.without)
        return {
            "variables.yaml": {"apiVersion": "api.cerbos.dev/v1", "exportVariables": {"name": "common", "definitions": {
                "owns": Expression("b", "R.attr.owner == P.id"), "who": Expression("s", "P.attr.name"), "broken": Expression("a", "R.attr.gone.deeper"), "unused": inner.draw("b", 2)}}},
            "constants.yaml": {"apiVersion": "api.cerbos.dev/v1", "exportConstants": {"name": "limits", "definitions": {"most": 3, "country": "GB", "names": ["a", "GB"], "nested": {"a": [1]}}}},
        }

    def derived(self):
        files, self.derived_sets = {}, {}
        for name in self.some(["common_roles", "hr_roles"], 0 if self.chance(0.2) else 1, 2):
            definitions = []
            for role in self.random.sample([f"{name[:2]}_owner", f"{name[:2]}_peer", f"{name[:2]}_boss"], self.random.randint(1, 3)):
                grammar = self.grammar()
                made = {"name": role, "parentRoles": ["*"] if self.chance(0.2) else self.some(ROLES, 1, 4)}
                if self.chance(0.8):
                    made["condition"] = {"match": self.condition(grammar)}
                definitions.append(made)
            self.derived_sets[name] = [one["name"] for one in definitions]
            body = {"name": name, "definitions": definitions}
            if self.chance(0.3):
                grammar = self.grammar()
                body |= self.variables(grammar)
                definitions.append({"name": f"{name[:2]}_extra", "parentRoles": self.some(ROLES), "condition": {"match": self.condition(grammar)}})
                self.derived_sets[name].append(f"{name[:2]}_extra")
            files[f"derived_{name}.yaml"] = {"apiVersion": "api.cerbos.dev/v1", "derivedRoles": body}
        return files

    def resource_policy(self, kind, version, scope):
        imports = [name for name in self.derived_sets if self.chance(0.7)]
        roles = [role for name in imports for role in self.derived_sets[name]]
        grammar = self.grammar(roles if self.flat else ())
        body = {"resource": kind, "version": version}
        if scope:
            body["scope"] = scope
        if self.permissions.get(scope):
            body["scopePermissions"] = self.permissions[scope]
        if imports:
            body["importDerivedRoles"] = imports
        if self.schemas and self.chance(0.75):
            body["schemas"] = {}
            if self.chance(0.6):
                body["schemas"]["principalSchema"] = {"ref": "cerbos:///person.json"}
            if self.chance(0.6) or not body["schemas"]:
                body["schemas"]["resourceSchema"] = {"ref": "cerbos:///thing.json"} | ({"ignoreWhen": {"actions": self.actions()}} if self.chance(0.4) else {})
        body |= self.variables(grammar)
        rules = []
        for at in range(self.random.choice([0, 1, 2, 3, 4, 5, 6])):
            rule = {"actions": self.actions(), "effect": self.effect()}
            if self.chance(0.2):
                rule["name"] = f"rule-{self.random.choice(['a', 'b', 'c'])}{at}"
            if roles and self.chance(0.45):
                rule["derivedRoles"] = self.some(roles, 1, 2)
            if "derivedRoles" not in rule or self.chance(0.2):
                rule["roles"] = ["*"] if self.chance(0.2) else self.some(ROLES + ["team:*"], 1, 3)
            if self.chance(0.6):
                rule["condition"] = {"match": self.condition(grammar)}
            if self.chance(0.25):
                rule["output"] = self.output(grammar)
            rules.append(rule)
        if rules:
            body["rules"] = rules
        return self.envelope({"resourcePolicy": body})

    def envelope(self, body):
        more = {}
        if self.chance(0.1):
            more["description"] = "Drawn: by chance"
        if self.chance(0.1):
            more["metadata"] = {"annotations": {"team": "a"}}
        if self.chance(0.04):
            more["disabled"] = self.chance(0.2)
        return {"apiVersion": "api.cerbos.dev/v1"} | more | body

    def principal_policy(self, principal, version, scope):
        grammar = self.grammar()
        body = {"principal": principal, "version": version}
        if scope:
            body["scope"] = scope
        if self.permissions.get(scope):
            body["scopePermissions"] = self.permissions[scope]
        body |= self.variables(grammar)
        rules = []
        for resource in self.some(KINDS + ["*", "*", "album:*", "{doc,contact}", "d?c", "*o*"], 1, 3):
            actions = []
            for at in range(self.random.randint(1, 3)):
                action = {"action": "*" if self.chance(0.15) else self.random.choice(ACTIONS + ACTION_GLOBS), "effect": self.effect()}
                if self.chance(0.6):
                    action["condition"] = {"match": self.condition(grammar)}
                if self.chance(0.3):
                    action["name"] = f"named-{at}"
                if self.chance(0.3):
                    action["output"] = self.output(grammar)
                actions.append(action)
            rules.append({"resource": resource, "actions": actions})
        return self.envelope({"principalPolicy": body | {"rules": rules}})

    def role_policy(self, role, version, scope):
        grammar = self.grammar()
        body = {"role": role, "version": version}
        if scope:
            body["scope"] = scope
        if self.chance(0.4):
            body["parentRoles"] = self.some([one for one in ROLES if one != role], 1, 2)
        rules = []
        for resource in self.some(KINDS + ["*", "album:*"], 1, 3):
            rule = {"resource": resource, "allowActions": self.actions() if self.chance(0.7) else ["*"]}
            if self.chance(0.5):
                rule["condition"] = {"match": self.condition(grammar)}
            rules.append(rule)
        return self.envelope({"rolePolicy": body | {"rules": rules}})

    def draw(self):
        return self.expressions() if self.chance(0.4) else self.folder()

    def folder(self):
        self.exported, self.schemas = self.chance(0.5), self.chance(0.5)
        self.flat = self.chance(0.35)
        scopes = [""] if self.flat else [scope for scope in SCOPES if scope == "" or self.chance(0.6)]
        # The permissions of a scope belong to the scope: with two policies that differ, the order of loading decides.
        self.permissions = {scope: self.random.choice(["SCOPE_PERMISSIONS_REQUIRE_PARENTAL_CONSENT_FOR_ALLOWS", "SCOPE_PERMISSIONS_OVERRIDE_PARENT"]) for scope in scopes if scope and self.chance(0.6)}
        files = (self.exports() if self.exported else {}) | self.derived() | (dict(SCHEMAS) if self.schemas else {})
        # A role policy has none, which Cerbos's check for conflicts takes for a value of its own, but for the policy that it loads first. A known deviation.
        roles = {(role, scope): self.random.choice(VERSIONS) for role in self.some(ROLES, 0, 2) for scope in scopes if self.chance(0.4)}
        for _, scope in roles:
            self.permissions.pop(scope, None)
        for kind in self.some(KINDS, 1, 3):
            for version in dict.fromkeys(self.some(VERSIONS, 1, 2)):
                for scope in scopes:
                    # Every parent is there.
                    if scope == "" or (self.chance(0.75) and (parent := scope.rpartition(".")[0]) is not None and (not parent or f"{kind}/{version}/{parent}" in files)):
                        files[f"{kind}/{version}/{scope}"] = self.resource_policy(kind, version, scope)
        for principal in self.some(PRINCIPALS, 0 if self.chance(0.3) else 1, 2):
            for scope in scopes:
                version = self.random.choice(VERSIONS)
                parents = [f"principal/{principal}/{version}/{'.'.join(scope.split('.')[:upto])}" for upto in range(scope.count(".") + 1)] if scope else []
                if self.chance(0.5) and all(parent in files for parent in parents):
                    files[f"principal/{principal}/{version}/{scope}"] = self.principal_policy(principal, version, scope)
        for (role, scope), version in roles.items():
            files[f"role/{role}/{version}/{scope}"] = self.role_policy(role, version, scope)
        ended = {}
        for name, body in files.items():
            if not name.endswith((".yaml", ".json")):
                name = name.replace("/", "_").replace(":", "-").replace("@", "-").rstrip("_") + self.random.choice([".yaml", ".yaml", ".yml", ".json"])
            ended[name] = body
        return Case(self.name, ended, self.requests(files, scopes))

    def expressions(self):
        """One policy, in which each action is one expression: as condition, and put out."""
        self.exported, self.flat = True, True
        body = {"resource": "contact", "version": "default"}
        grammar = self.grammar()
        body |= self.variables(grammar)
        rules = []
        for at in range(50):
            rule = {"actions": [f"e{at}"], "effect": "EFFECT_ALLOW", "roles": ["*"], "condition": {"match": {"expr": grammar.draw("b", self.random.choice([1, 1, 2, 2, 3, 4]))}}}
            rule["output"] = {"when": {"ruleActivated": grammar.output(), "conditionNotMet": grammar.output()}}
            rules.append(rule)
        body["rules"] = rules
        files = self.exports() | {"expressions.yaml": {"apiVersion": "api.cerbos.dev/v1", "resourcePolicy": body}}
        made = []
        for _ in range(2):
            resources = [{"resource": {"kind": "contact", "id": f"c{at}", "attr": self.attributes()}, "actions": [f"e{one}" for one in range(50)]} for at in range(4)]
            made.append({"requestId": "r", "includeMeta": True, "principal": self.principal(), "resources": resources} | self.aux())
        return Case(self.name, files, made)

    def aux(self):
        return {"auxData": {"jwt": {"token": self.token()}}} if self.chance(0.5) else {}

    def principal(self):
        return {"id": self.random.choice(PRINCIPALS), "roles": self.some(ROLES, 1, 3), "attr": self.attributes()}

    def requests(self, files, scopes):
        """Mostly about what there are policies for."""
        covered = [name.split("/") for name in files if name.count("/") == 2 and name.split("/")[0] in KINDS]
        known = [name.split("/")[1] for name in files if name.startswith("principal/")]
        made = []
        for _ in range(5):
            principal = self.principal()
            if known and self.chance(0.6):
                principal["id"] = self.random.choice(known)
            if self.chance(0.3):
                principal["policyVersion"] = self.random.choice(VERSIONS)
            if self.chance(0.5):
                principal["scope"] = self.random.choice(scopes + scopes + ODD_SCOPES)
            resources = []
            for at in range(6):
                kind, version, scope = self.random.choice(covered) if self.chance(0.85) else (self.random.choice([*KINDS, "unknown"]), self.random.choice(VERSIONS), self.random.choice(scopes + ODD_SCOPES))
                if self.chance(0.15):
                    scope = self.random.choice(scopes * 2 + ODD_SCOPES)
                resource = {"kind": kind, "id": f"c{at}", "attr": self.attributes()}
                if version != "default" or self.chance(0.3):
                    resource["policyVersion"] = version
                if scope:
                    resource["scope"] = scope
                resources.append({"resource": resource, "actions": self.random.sample(ACTIONS, 12)})
            made.append({"requestId": "r", "includeMeta": True, "principal": principal, "resources": resources} | self.aux())
        return made

    # Folders that are not to be loaded.

    def broken(self):
        """A folder, and one thing done to it that should make it unloadable; what that is."""
        case = self.folder()
        names = [name for name, document in case.documents.items() if "resourcePolicy" in document]
        name = self.random.choice(names)
        document = case.documents[name] = json.loads(json.dumps(case.documents[name]))
        body = document["resourcePolicy"]
        body.setdefault("rules", []).append({"actions": ["read"], "roles": ["user"], "effect": "EFFECT_ALLOW"})
        rule = body["rules"][-1]
        local = {"local": {"again": "1 == 1"}}
        choices = {
            "expression": lambda: rule.update(condition={"match": {"expr": self.random.choice(BROKEN)}}),
            "output": lambda: rule.update(output={"when": {"ruleActivated": self.random.choice(BROKEN)}}),
            "unknown field": lambda: self.random.choice([document, body, rule]).update(bogus=1),
            "no roles": lambda: rule.pop("roles"),
            "no actions": lambda: rule.update(actions=[]),
            "repeated actions": lambda: rule.update(actions=["a", "a"]),
            "repeated roles": lambda: rule.update(roles=["a", "a"]),
            "no effect": lambda: rule.pop("effect"),
            "wrong effect": lambda: rule.update(effect=self.random.choice(["ALLOW", "EFFECT_UNSPECIFIED", "EFFECT_NO_MATCH", "allow", 7])),
            "no such derived roles": lambda: body.update(importDerivedRoles=["nowhere"]),
            "unknown derived role": lambda: rule.update(derivedRoles=["nobody"]),
            "undefined import": lambda: body.update(variables={"import": ["nowhere"]}),
            "undefined constants": lambda: body.update(constants={"import": ["nowhere"]}),
            "cycle": lambda: (body.update(variables={"local": {"x": "V.y", "y": "V.x"}}), rule.update(condition={"match": {"expr": "V.x"}})),
            "cycle that nobody uses": lambda: body.update(variables={"local": {"x": "V.y", "y": "V.x"}}),
            "variable of itself": lambda: body.update(variables={"local": {"x": "V.x"}}),
            "unused broken variable": lambda: body.update(variables={"local": {"x": self.random.choice(BROKEN)}}),
            "invalid name": lambda: body.update(variables={"local": {self.random.choice(["a-b", "1a", "in", "true", "a b", ""]): "1"}}),
            "invalid constant": lambda: body.update(constants={"local": {self.random.choice(["a-b", "1a", "in", "null", "package"]): 1}}),
            "variable twice": lambda: (document.update(variables={"again": "1"}), body.update(variables=local)),
            "wrong version": lambda: body.update(version=self.random.choice(["", "1.0", "a b", 1])),
            # Known deviations: `.`, which Cerbos loads where the scopes above are there, and patterns that do not hold together, which match nothing there.
            "wrong scope": lambda: body.update(scope=self.random.choice([".acme", "acme.", "a..b", "acme hr", "-x"])),
            "gap in scopes": lambda: body.update(scope="far.away"),
            "wrong resource": lambda: body.update(resource=self.random.choice(["", "a*", "a?b", "a{b}", "a b", "x[1]"])),
            "wrong api": lambda: document.update(apiVersion=self.random.choice(["api.cerbos.dev/v2", "", "cogward/v1"])),
            "two policies": lambda: document.update(derivedRoles={"name": "twice", "definitions": [{"name": "a", "parentRoles": ["*"]}]}),
            "twice": lambda: case.documents.update({"again.yaml": document}),
            "rule names": lambda: (rule.update(name="same"), body["rules"].append(dict(rule))),
            "invalid rule name": lambda: rule.update(name=self.random.choice(["a b", "1x", "x/y", "-a", "ok.name@1"])),
            "no schema": lambda: body.update(schemas={"resourceSchema": {"ref": self.random.choice(["cerbos:///nothing.json", "nothing", "", "file:///etc/passwd"])}}),
            "script": lambda: rule.update(condition={"script": "true"}),
            "empty condition": lambda: rule.update(condition={"match": self.random.choice([{}, {"all": {"of": []}}, {"all": {}}, {"expr": ""}, {"any": {"of": [{}]}}, {"all": {"of": [{"expr": "true"}]}, "any": {"of": [{"expr": "true"}]}}])}),
            "empty output": lambda: rule.update(output=self.random.choice([{}, {"when": {}}, {"expr": ""}, {"when": {"ruleActivated": ""}}])),
            "wrong type": lambda: rule.update(self.random.choice([{"actions": "read"}, {"roles": {"a": 1}}, {"effect": 1}, {"condition": "true"}, {"name": 1}, {"actions": [1]}, {"roles": [True]}, {"condition": {"match": {"expr": True}}}, {"condition": None}, {"roles": None}])),
            "two definitions": lambda: case.documents.update({"d.yaml": {"apiVersion": "api.cerbos.dev/v1", "derivedRoles": {"name": "dup", "definitions": [{"name": "a", "parentRoles": ["*"]}, {"name": "a", "parentRoles": ["*"]}]}}}),
            "no parents": lambda: case.documents.update({"d.yaml": {"apiVersion": "api.cerbos.dev/v1", "derivedRoles": {"name": "dup", "definitions": [{"name": "a", "parentRoles": self.random.choice([[], [""], ["a", "a"]])}]}}}),
            "empty principal rule": lambda: case.documents.update({"p.yaml": {"apiVersion": "api.cerbos.dev/v1", "principalPolicy": {"principal": "zed", "version": "default", "rules": self.random.choice([[{"resource": "x", "actions": []}], [{"resource": "", "actions": [{"action": "a", "effect": "EFFECT_ALLOW"}]}], [{"resource": "x", "actions": [{"action": "a"}]}], [{"resource": "x", "actions": [{"action": "a", "effect": "EFFECT_ALLOW"}]}] * 2, []])}}}),
            "role policy": lambda: case.documents.update({"r.yaml": {"apiVersion": "api.cerbos.dev/v1", "rolePolicy": self.random.choice([{"role": "zed", "constants": {"local": {}}, "rules": []}, {"role": "", "rules": []}, {"role": "zed"}, {"role": "zed", "rules": [{"resource": "x"}]}, {"role": "zed", "rules": [{"resource": "x", "allowActions": ["a", "a"]}]}, {"role": "zed", "parentRoles": ["a", "a"], "rules": [{"resource": "x", "allowActions": ["a"]}]}, {"role": "zed", "scope": "far.away.x", "rules": [{"resource": "x", "allowActions": ["a"]}]}])}}),
            "glob": lambda: rule.update(actions=[self.random.choice(["[z-a]", "", "***", "{}"])]),
        }
        what = self.random.choice(list(choices))
        choices[what]()
        return what, case
