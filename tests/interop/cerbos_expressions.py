"""Draws expressions that Cerbos 0.51 knows, as trees that a shrinker can cut.

A kind is a letter or two: b boolean, n number of a document (a double), i int, u uint, s text, y bytes, t timestamp, d duration, ls ln li lists of
text, numbers, ints, m map, h hierarchy, id td mt SPIFFE, a anything. A template names what it wants as $kind."""

import json
import re

SLOT = re.compile(r"\$([a-z]+)")

TEMPLATES = {
    "b": """
        $n < $n | $n >= $n | $n == $n | $n != dyn($i) | $i > $n | $i <= $i | dyn($u) == $i | $u < $n | $s == $s | $s != $s | $s < $s | $s >= $s | $t < $t | $t == $t
        $d > $d | $d == $d | $y == $y | $y < $y | $b == $b | $b != $b | $ls == $ls | $ln == $ln | dyn($li) == $ln | $m == $m | dyn($a) == $a | dyn($a) != null | $h == $h
        $b && $b | $b || $b | !$b | !($b) | ($b && $b) | ($b || $b) | $b ? $b : $b | ($b ? $b : $b)
        $s in $ls | $n in $ln | $i in $li | $n in dyn($li) | $s in $m | "country" in $m | dyn($a) in $ls | $a in dyn($ln) | dyn($a) in [1, 2, 3] | !($s in $ls)
        $s.startsWith($s) | $s.endsWith($s) | $s.contains($s) | $s.matches($re) | matches($s, $re)
        $s.inIPAddrRange("10.0.0.0/8") | $s.inIPAddrRange($cidr) | $s.inIPAddrRange($s)
        hasIntersection($ls, $ls) | $ls.hasIntersection($ls) | has_intersection($ln, dyn($li)) | hasIntersection($ln, $ln) | $li.hasIntersection($li)
        isSubset($ls, $ls) | $ls.isSubset($ls) | is_subset(dyn($ln), $li) | isSubset($ln, $ln) | $li.isSubset($li)
        $ls.exists(x, $bxs) | $ls.all(x, $bxs) | $ls.exists_one(x, $bxs) | $ln.exists(x, $bxn) | $ln.all(x, $bxn) | $ln.exists_one(x, $bxn)
        $ls.exists(i, x, i < 2 && $bxs) | $ls.all(i, x, i >= 0 && $bxs) | $ls.existsOne(i, x, $bxs) | $m.exists(k, v, k == "country") | $m.all(k, v, k != $s) | $m.exists(k, k == $s)
        has(R.attr.gone) | has(R.attr.s) | has(P.attr.s) | has(R.attr.geo.country) | has(R.attr.geo.gone) | has(request.resource.attr.nul) | has(P.attr.team) | has(R.attr.s.x)
        has(request.auxData) | has(request.aux_data.jwt) | has(request.auxData.jwt.sub) | "x" in request.auxData.jwt | request.auxData.jwt.sub == P.id | "a" in request.aux_data.jwt.aud | request.auxData.jwt.level > 1
        P.id == R.attr.owner | R.attr.owner == P.id | "user" in P.roles | $s in P.roles | $s in request.principal.roles | size(P.roles) > 1 | P.roles == ["user"] | R.kind == "contact" | R.id == $s
        P.scope == "" | R.scope == "acme" | request.resource.policyVersion == "default" | R.policy_version == "" | P.policyVersion != "v1" | request.principal.scope == R.scope
        type($a) == string | type($a) == double | type($a) == int | type($a) == list | type($a) == map | type($a) == null_type | type($a) == type($a) | type($a) == bool | type($a) == google.protobuf.Timestamp
        bool(dyn($a)) | dyn($a) == dyn($a) | id($b) | id($a) == dyn($a) | bool("true") | bool($s)
        $h.ancestorOf($h) | $h.descendentOf($h) | $h.immediateChildOf($h) | $h.immediateParentOf($h) | $h.overlaps($h) | $h.siblingOf($h) | $h.size() > 2 | $h[0] == $s
        $id.isMemberOf($td) | $id.path() == $s | $mt.matchesID($id) | $mt.matchesID($s) | $id.trustDomain() == $td | $id == $id | $td.name() == $s
        math.isNaN($n) | math.isInf($n) | math.isFinite($n) | cel.bind(v, $n, v < v + 1.0) | cel.bind(v, $s, v == $s || v.size() > 3) | cel.bind(v, $ls, "a" in v && size(v) > 1)
        now() > $t | $t < now() | timeSince($t) > $d | $t.timeSince() > duration("1h") | now() == now() | now() - $t > $d
        R.attr.flag | P.attr.flag == true | R.attr.flag != true | request.resource.attr["flag"] | R.attr.gone == "x" | R.attr.gone.deeper | R.attr.s.x == 1 | R.attr.nul == null | R.attr[$s] == dyn($a)
        $s == $s ? $n > $n : $b | size($s) == $i | $i == 1 | $ls.size() > 1 | $m.size() == 2 | $y.size() > 0 | $ls[0] == $s | $ls[1] != $s | $ln[0] > $n | $li[0] == 1 | $m["country"] == $s | $m.country == $s
        true | false | dyn(1) == 1.0 | 1u == dyn(1) | [1, 2] == dyn([1.0, 2.0]) | dyn({"a": 1}) == {"a": 1.0} | null == null | "a" == "a" | b"a" == b"a" | [] == [] | {} == {}
        request.resource.attr.n == 1 | R.attr.n == 1.0 | R.attr.n in [1, 2, 3] | R.attr.n == 1 || R.attr.gone | R.attr.gone || true | R.attr.gone && false | false || R.attr.s
    """,
    "bxs": """
        x == $s | x.startsWith($s) | x in $ls | size(x) > 1 | x != "a" | x.contains("a") || $b | x == x.lowerAscii() | x > $s | x.matches("^[a-c]+") | $ls.exists(x, x == "a") | $ls.exists(y, x == y) | $b
    """,
    "bxn": """
        x > $n | x == $n | x in $ln | x < 3 | x != 1.0 | dyn(x) == 1 || $b | x * 2.0 > $n | x + x >= x | $ln.exists(y, y > x) | $b
    """,
    "n": """
        R.attr.n | R.attr.m | P.attr.n | R.attr.big | R.attr.neg | P.attr.level | request.resource.attr.n | request.principal.attr["n"] | R.attr["m"] | R.attr.geo.n
        1.0 | 0.0 | 2.5 | -1.5 | 1e3 | 1e21 | 0.1 | -0.0 | 3.0 | 1.0 / 3.0 | 9007199254740993.0
        $n + $n | $n - $n | $n * $n | $n / $n | -($n) | ($n + $n) * $n | $b ? $n : $n | ($b ? $n : $n) | double($i) | double($s) | double($u) | double($n) | dyn($n)
        math.greatest($n, $n) | math.least($n, $n) | math.greatest($ln) | math.least($n, $n, $n) | math.abs($n) | math.ceil($n) | math.floor($n) | math.round($n) | math.trunc($n) | math.sign($n) | math.sqrt($n)
        $ln[0] | $ln[1] | $ln[$i] | cel.bind(v, $n, v * v) | id($n)
    """,
    "i": """
        0 | 1 | 2 | -1 | 5 | 10 | 9223372036854775807 | -9223372036854775808 | 0x1F | size($s) | size($ls) | size($m) | size($ln) | $s.size() | size($y) | $ls.size() | size($li)
        $i + $i | $i - $i | $i * $i | $i / $i | $i % $i | -($i) | $b ? $i : $i | int($n) | int($s) | int($u) | int($t) | int($i)
        $s.indexOf($s) | $s.lastIndexOf($s) | $s.indexOf($s, 1) | $s.lastIndexOf("a", 3)
        $t.getFullYear() | $t.getMonth() | $t.getDate() | $t.getDayOfMonth() | $t.getDayOfWeek() | $t.getDayOfYear() | $t.getHours() | $t.getMinutes() | $t.getSeconds() | $t.getMilliseconds()
        $t.getHours($tz) | $t.getDate($tz) | $t.getDayOfWeek($tz) | $t.getFullYear($tz) | $t.getMinutes($tz) | $t.getDayOfYear($tz) | $t.getMonth($tz)
        $d.getHours() | $d.getMinutes() | $d.getSeconds() | $d.getMilliseconds()
        math.greatest($i, $i) | math.least($i, $i) | math.abs($i) | math.sign($i) | math.bitAnd($i, $i) | math.bitOr($i, $i) | math.bitXor($i, $i) | math.bitNot($i) | math.bitShiftLeft($i, 2) | math.bitShiftRight($i, 1) | math.bitShiftLeft(1, $i)
        $h.size() | $li[0] | $li[$i] | [1, 2, 3][$i] | cel.bind(v, $i, v + 1) | math.greatest($li)
    """,
    "u": "0u | 1u | 7u | 18446744073709551615u | uint($i) | uint($n) | uint($s) | $u + $u | $u - $u | $u * $u | $u / $u | $u % $u | math.bitAnd($u, $u) | math.bitNot($u) | math.bitShiftRight($u, 1) | math.greatest($u, $u)",
    "s": """
        R.attr.s | R.attr.t | P.attr.s | P.attr.name | R.attr.owner | P.id | R.id | R.kind | R.attr.geo.country | request.resource.attr.s | P.attr["s"] | R.attr.email | P.attr.team | R.scope | R.attr.ip | P.attr.ip | R.attr.text
        "a" | "b" | "abc" | "" | "u1" | "GB" | "user" | "é日本" | 'it"s' | "a,b,c" | "10.1.2.3" | "Hello World" | r"\\d" | "🙂x" | "a.b.c" | "  pad " | "\\t\\n"
        $s + $s | $b ? $s : $s | ($b ? $s : $s) | string($n) | string($i) | string($u) | string($b) | string($t) | string($d) | string($y) | string($s) | dyn($s)
        $s.charAt(0) | $s.charAt($i) | $s.lowerAscii() | $s.upperAscii() | $s.trim() | $s.reverse() | $s.replace($s, $s) | $s.replace("a", "x", 1) | $s.replace("a", $s, $i) | $s.substring(1) | $s.substring(0, 2) | $s.substring($i) | $s.substring($i, $i)
        $ls.join() | $ls.join(",") | $ls.join($s) | strings.quote($s) | $ls[0] | $ls[$i] | $s.split(",")[0] | base64.encode($y) | $m.country | $m["country"]
        "%s and %d".format([$s, $i]) | "%s".format([$a]) | "%.2f %e".format([$n, $n]) | "%x %X %o %b".format([$i, $i, $i, $i]) | "%s %s".format([$ls, $m]) | "%d%%".format([$n]) | "%x".format([$s]) | "%s|%s|%s".format([$t, $d, $b]) | "%.3s".format([$s]) | "%f".format([$n]) | "%d".format([$u])
        $h[0] | $h[1] | $h[$i] | $td.name() | $id.path() | $td.id() | cel.bind(v, $s, v + v) | id($s)
    """,
    "y": """b"" | b"abc" | b"\\xff\\x00" | bytes($s) | bytes("é") | base64.decode(base64.encode($y)) | base64.decode("aGVsbG8=") | base64.decode("aGVsbG8") | base64.decode($s) | $y + $y""",
    "t": """
        timestamp("2021-04-22T10:05:20.021Z") | timestamp("2020-02-29T23:59:59Z") | timestamp("1969-12-31T23:59:59.999999999-05:00") | timestamp(R.attr.when) | timestamp(P.attr.since) | timestamp($i) | timestamp(1600000000)
        timestamp($s) | $t + $d | $t - $d | $b ? $t : $t | timestamp(string($t)) | timestamp($t) | timestamp("0001-01-01T00:00:00Z") | timestamp("9999-12-31T23:59:59.999999999Z")
    """,
    "d": """duration("1h30m") | duration("90s") | duration("-1.5h") | duration("0") | duration("1ms") | duration(R.attr.span) | duration($s) | $t - $t | $d + $d | $d - $d | duration("1us500ns") | duration($d) | duration("2562047h") """,
    "ls": """
        R.attr.tags | P.attr.teams | R.attr.some | P.roles | request.principal.roles | request.resource.attr.tags | ["a", "b"] | ["a", "b", "c", "d"] | ["b"] | ["user", "admin"] | [$s, $s] | [$s, $s, $s, $s]
        $ls + $ls | $s.split(",") | $s.split("") | $s.split($s, 2) | $s.split(".", $i) | $b ? $ls : $ls | $ls.filter(x, $bxs) | $ls.map(x, x + "!") | $ls.map(x, $bxs, x.upperAscii()) | intersect($ls, $ls) | $ls.intersect($ls) | except($ls, $ls) | $ls.except($ls)
        $ls.slice(0, 1) | $ls.slice(1, $i) | $ls.reverse() | $ls.distinct() | $ls.sort() | [$ls, $ls].flatten() | $ls.sortBy(x, size(x)) | $ls.sortBy(x, x) | $ls.transformList(i, x, x + string(i)) | $ls.transformList(i, x, i > 0, x) | cel.bind(v, $ls, v + v) | lists.range(3).map(i, $s)
    """,
    "ln": """
        R.attr.nums | P.attr.nums | R.attr.few | [1.0, 2.5] | [$n, $n] | [3.0, 1.0, 2.0, 1.0] | $ln + $ln | $b ? $ln : $ln | $ln.filter(x, $bxn) | $ln.map(x, x * 2.0) | $ln.map(x, x > 1.0, x) | intersect($ln, $ln) | except($ln, $ln) | $ln.intersect($ln)
        $ln.reverse() | $ln.distinct() | $ln.sort() | [$ln, [1.0]].flatten() | $ln.sortBy(x, -x) | $ln.slice(0, 2) | $ln.transformList(i, x, x) | [] | [0.0, -0.0]
    """,
    "li": """
        [1, 2] | [1, 2, 3, 4] | [$i, $i] | [3, 1, 2] | lists.range(3) | lists.range($i % 5) | $li + $li | $li.map(x, x + 1) | $li.filter(x, x > 1) | intersect($li, $li) | except($li, $li) | $li.reverse() | $li.distinct() | $li.sort() | $b ? $li : $li
        [[1], [2, [3]]].flatten(2) | $ls.map(x, size(x)) | $li.sortBy(x, -x) | $li.slice(0, 1) | [$li, $li].flatten()
    """,
    "m": """
        R.attr.geo | P.attr.geo | {"country": "GB", "n": 1.0} | {"country": $s} | {"a": $a, "country": "FR"} | {"n": $n} | $b ? $m : $m | $ls.transformMap(i, x, x).size() == 1 ? {"country": "one"} : {"country": "more"} | {"country": "GB"}.transformMap(k, v, v + k)
        {"a": "b"}.transformMapEntry(k, v, {v: k}) | {} | {"country": $s}.transformMap(k, v, v != "GB", v)
    """,
    "h": """hierarchy("a.b.c") | hierarchy("a.b") | hierarchy($s) | hierarchy(R.attr.path) | hierarchy(P.attr.path) | hierarchy("a:b:c", ":") | hierarchy($s, ".") | hierarchy(["a", "b"]) | hierarchy($ls) | $h.commonAncestors($h) | hierarchy("") | hierarchy("a.b.c.d")""",
    "id": """spiffeID("spiffe://acme.com/a/b") | spiffeID(R.attr.spiffe) | spiffeID(P.attr.spiffe) | spiffeID("spiffe://acme.com") | spiffeID($s) | spiffeID("spiffe://other.org/x")""",
    "td": """spiffeTrustDomain("spiffe://acme.com") | spiffeTrustDomain("acme.com") | spiffeTrustDomain($s) | $id.trustDomain() | spiffeTrustDomain(R.attr.spiffe)""",
    "mt": """spiffeMatchAny() | spiffeMatchExact($id) | spiffeMatchExact("spiffe://acme.com/a/b") | spiffeMatchOneOf([$id, $id]) | spiffeMatchOneOf(["spiffe://acme.com/a/b", "spiffe://other.org/x"]) | spiffeMatchTrustDomain($td) | spiffeMatchTrustDomain("acme.com")""",
    "re": r""""^a.*" | "[0-9]+" | "(?i)ABC" | "^\\S+@\\S+$" | "b$" | "" | "a|b" | "\\bHello\\b" | "\\p{L}+" | "(unclosed" | "x{2,3}" | R.attr.pattern""",
    "cidr": """"10.0.0.0/8" | "192.168.0.0/16" | "2001:db8::/32" | "10.1.2.3/32" | "nonsense" | "::ffff:10.0.0.0/104" | "10.0.0.0/33" """,
    "tz": """"UTC" | "America/New_York" | "Asia/Kolkata" | "+05:30" | "-02:00" | "Nowhere/Land" | "Europe/Berlin" | "" | "05:30" """,
    # Anything that a document can hold, and what only CEL has.
    "a": """
        R.attr.n | R.attr.s | R.attr.tags | R.attr.flag | R.attr.geo | R.attr.nul | P.attr.nums | R.attr.gone | $n | $s | $b | $i | $ls | $ln | null | 1 | "a" | true | 2.5 | R.attr.odd | P.attr.odd | R.attr | P.attr.geo
        $u | $y | $t | $d | $li | $m | {"x": $a, "y": [$a]} | [$a, $a] | [$i, $s, null] | {1: "one"} | {"d": $d, "t": $t} | type($a) | $h | G.environment | [dyn(1), "a"] | {"k": {"deep": $n}} | request.auxData.jwt | $id | [$u, $u] | {true: $s}
    """,
}

# What every kind falls back to when the tree is deep enough, or a shrinker wants the least.
LEAVES = {
    "b": ["true", "false", "R.attr.flag", "P.attr.flag"], "bxs": ["true", 'x == "a"'], "bxn": ["true", "x > 1.0"], "n": ["1.0", "R.attr.n", "P.attr.n", "R.attr.m"],
    "i": ["1", "0", "2"], "u": ["1u", "7u"], "s": ['"a"', "R.attr.s", "P.id", "R.attr.t", "P.attr.s"], "y": ['b"abc"', "bytes(R.attr.s)"],
    "t": ['timestamp("2021-04-22T10:05:20.021Z")', "timestamp(R.attr.when)"], "d": ['duration("90s")', "duration(R.attr.span)"],
    "ls": ['["a", "b"]', "R.attr.tags", "P.attr.teams", "R.attr.some"], "ln": ["[1.0, 2.5]", "R.attr.nums", "P.attr.nums"], "li": ["[1, 2]", "[1, 2, 3, 4]"],
    "m": ['{"country": "GB"}', "R.attr.geo"], "h": ['hierarchy("a.b.c")', "hierarchy(R.attr.path)", "hierarchy(P.attr.path)"], "id": ['spiffeID("spiffe://acme.com/a/b")', "spiffeID(R.attr.spiffe)"],
    "td": ['spiffeTrustDomain("acme.com")'], "mt": ["spiffeMatchAny()"], "re": ['"^a.*"'], "cidr": ['"10.0.0.0/8"'], "tz": ['"UTC"'], "a": ["null", "R.attr.odd", "R.attr.s", "R.attr.n"],
}


def split(text):
    """The alternatives of one kind. `||` stays within one."""
    return [one.strip() for line in text.strip().splitlines() for one in re.split(r"(?<!\|) \| ", line.strip()) if one.strip()]


ALTERNATIVES = {kind: split(text) for kind, text in TEMPLATES.items()}

# Expressions that do not compile, each for its own reason.
BROKEN = [
    "1 + 1.0 == 2.0", "R.attr.n + 1.0 == 2", "request.principal.idx == 1", "R.nothing", "nobody(1)", "1 ==", "V.undefined == 1", "C.undefined == 1", '"a" + 1 == "a1"', "size(1) > 0", "P.id.startsWith(1)",
    'V["x"] == 1', "foo.bar", "!1", "-true == 1", '"a" < 1', "[1].exists(x, 1)", "[1, 2].map(1, 1)", "has(R)", 'duration(true) == duration("1s")', "1 ? true : false", 'true ? 1 : "a"', "1u + 1 == 2u",
    '"a".inIPAddrRange(1)', "hierarchy(1) == hierarchy(2)", "now(1) == now()", "unknown", "P.attr.n.foo(", "{1, 2}", '"a" in 1', "cel.bind(1, 2, 3)", 'sets.contains([1], [1])', "optional.of(1).hasValue()", "P.attr.?n == 1",
    "math.nothing(1)", '"abc".nothing()', "request.auxData.jwts", '"\\q" == ""', "P.roles.exists(r, r == 1)", "type(1, 2)", "spiffeMatchAny(1)", "R.attr.s.matches(1)", "lists.range(1.5) == []", "[1].sortBy(x, [x]) == [1]", "in", "package", "x.y.z == 1",
    '["a"].existsOne(x, x == "a")', 'size(hierarchy("a.b")) == 2', "1 == 1.0", "1u == 1", "[1] == [1.0]", '{"a": 1} == {"a": 1.0}', "b'\\u00e9' == b\"\"", "null in [1, 2]", "bool(1)", 'spiffeTrustDomain(spiffeID("spiffe://a.b/c")).name() == "a.b"', "hasIntersection([1.0], [1])", "1u != null", 'duration("1s") == {"x": 1}',
    "bool({true: 1})", "[1.0].exists(x, x == 1)", "type(1) == 1", "string([1]) == \"\"", '"%s".format("a") == ""', "math.bitOr(1, 1.0) == 1", "[1, 2].join() == \"\"", "lists.range(\"a\") == []", "timestamp(1.5) == now()", "R.attr == 1", "P.roles == 1", "G == 1", "request == 1", "P == R",
]


class Expression(str):
    """Text that knows its kind and what it was made of."""

    def __new__(cls, kind, template, children=()):
        children = list(children)
        made = super().__new__(cls, SLOT.sub(lambda _, it=iter(children): next(it), template))
        made.kind, made.template, made.children = kind, template, children
        return made

    def within(self):
        for child in self.children:
            yield child
            yield from child.within()

    def smaller(self):
        """Every expression that is this one with something less in it, the least first."""
        tried = {str(self)}
        for leaf in [Expression(self.kind, leaf) for leaf in LEAVES.get(self.kind, [])[:3]] + sorted((one for one in self.within() if one.kind == self.kind), key=len):
            if len(leaf) < len(self) and leaf not in tried:
                tried.add(str(leaf))
                yield leaf
        for at, child in enumerate(self.children):
            for less in child.smaller():
                yield Expression(self.kind, self.template, self.children[:at] + [less] + self.children[at + 1:])


class Grammar:
    """Draws expressions. `names` adds leaves of a kind: variables and constants that are in reach."""

    def __init__(self, random, names=None, without=()):
        self.random, self.names = random, names or {}
        self.without = [re.compile(one) for one in without]

    def draw(self, kind, depth=3):
        extra = self.names.get(kind, [])
        if extra and self.random.random() < 0.2:
            return Expression(kind, self.random.choice(extra))
        if depth <= 0:
            return Expression(kind, self.random.choice(LEAVES[kind]))
        while True:
            template = self.random.choice(ALTERNATIVES[kind])
            if not any(one.search(template) for one in self.without):
                break
        # An operand that is not a name or a call is put in brackets, as every one of these would otherwise bind differently from its tree.
        children = []
        for match in SLOT.finditer(template):
            child = self.draw(match[1], depth - 1 - self.random.randrange(2))
            children.append(child if self.stands_alone(template, match, child) else Expression(child.kind, "(" + f"${child.kind}" + ")", [child]))
        return Expression(kind, template, children)

    @staticmethod
    def stands_alone(template, match, child):
        between = template[match.start() - 1:match.start()] in ("(", "[", ",") and template[match.end():match.end() + 1] in (")", "]", ",")
        return between or not re.search(r"[ \-!]", re.sub(r'"(\\.|[^"\\])*"', "", child)) or (child.startswith("(") and child.endswith(")") and child.template.startswith("("))

    def output(self, depth=2):
        """What a rule puts out: anything."""
        return self.draw(self.random.choice(["a", "a", "s", "n", "i", "b", "ls", "ln", "t", "d", "u", "y", "m"]), depth)


def quoted(text):
    return json.dumps(text, ensure_ascii=False)
