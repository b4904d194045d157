"""Who may, judged by code that is not ours: what doc/access.md says, written anew.

access.py cases SEED COUNT      random changes of documents of all sizes, with rules and principals: one JSON a line
access.py judge                 reads such lines, each with "missing" and "outcome" as the database had them; tells where it differs
access.py hrefs SEED COUNT      random prefixes and hrefs, some of which must be taken
access.py judge_hrefs           reads them, each with "taken"; tells what two readings of a URL put elsewhere
"""
import copy
import json
import random
import re
import sys
import urllib.parse

NODES = ["a.org", "b.org", "c.org", "closed.org", "unknown.org"]
ACTIVE = {"a.org", "b.org", "c.org"}
STAMP = "2020-02-02T02:02:02Z"
CITE, ERRATUM, OTHER = ({"rel": "cite-as", "href": "https://x.org/c"}, {"rel": "related", "title": "Errata issue", "href": "https://x.org/e"},
                        {"rel": "about", "href": "https://x.org/o"})


def location(rng, node, file, foreign=0.05):
    host = "evil.example" if rng.random() < foreign else node
    return {"href": f"https://{host}/{file}/{rng.randrange(10**6)}", "alternate:name": node}


def document(rng):
    files = rng.choice([1, 2, 3, 5, 12, 12, 80, 400])
    assets = {}
    for i in range(files):
        assets[f"f{i}.nc"] = {**location(rng, "a.org", f"f{i}", 0), "roles": ["data"], "type": "application/netcdf", "file:size": i,
                              "file:checksum": "1220" + "%064x" % rng.getrandbits(256), "created": "2001-01-01T00:00:00Z",
                              "alternate": {n: {**location(rng, n, f"f{i}", 0), "updated": "2001-01-01T00:00:00Z"} for n in ("b.org",)}}
    assets["globus"] = location(rng, "b.org", "globus", 0)
    assets["quicklook"] = {"href": "quicklook.png", "roles": ["thumbnail"]}
    return {"type": "Feature", "stac_version": "1.1.0", "id": "i.v1", "collection": "CMIP6", "geometry": None, "links": [OTHER],
            "properties": {"datetime": "2000-01-01T00:00:00Z", "title": "t", "cmip6:institution_id": rng.choice(["MPI-M", "MPI-M", ["MPI-M", "DKRZ"]])}, "assets": assets}


def mutate(rng, d):
    assets = d["assets"]
    key = rng.choice(list(assets))
    asset = assets[key]
    alternates = asset.get("alternate", {})
    node = rng.choice(NODES)
    what = rng.choice(["property", "institution", "cite", "erratum", "link", "first link", "unlink", "alter", "describe", "stamp", "stamp", "add", "add", "remove",
                       "primary", "protocol", "swap", "move", "asset", "asset stamp", "new asset", "drop asset", "retract", "deprecate", "bbox", "drop node"])
    if what == "property":
        d["properties"][rng.choice(["title", "new"])] = str(rng.random())
    elif what == "institution":
        d["properties"]["cmip6:institution_id"] = rng.choice(["DKRZ", ["DKRZ", "MPI-M"], "NCAR"])
    elif what in ("cite", "erratum", "link"):
        d["links"].append({"cite": CITE, "erratum": ERRATUM, "link": OTHER}[what] | {"n": rng.random()})
    elif what == "first link":
        d["links"].insert(0, CITE | {"n": rng.random()})
    elif what == "unlink":
        d["links"] = d["links"][1:]
    elif what in ("alter", "describe", "stamp", "remove", "swap", "move") and alternates:
        node = rng.choice(list(alternates))
        if what == "alter":
            alternates[node]["href"] = location(rng, node, key)["href"]
        elif what == "describe":
            alternates[node]["description"] = str(rng.random())
        elif what == "stamp":
            alternates[node]["created"] = STAMP
        else:
            entry = alternates.pop(node)
            if what == "swap" and "alternate:name" in asset:
                alternates[asset["alternate:name"]] = {"href": asset["href"], "alternate:name": asset["alternate:name"]}
            if what in ("swap", "move"):
                asset["href"], asset["alternate:name"] = entry["href"], entry["alternate:name"]
            if not alternates:
                del asset["alternate"]
    elif what == "add" and node not in alternates and node != asset.get("alternate:name"):
        asset.setdefault("alternate", {})[node] = location(rng, node, key)
        if rng.random() < 0.05:
            asset["alternate"][node]["alternate:name"] = "other.org"
    elif what == "primary" and "alternate:name" in asset:
        asset["href"] = location(rng, asset["alternate:name"], key)["href"]
    elif what == "protocol":
        asset["protocol"] = "https"
    elif what == "asset":
        asset["description"] = str(rng.random())
    elif what == "asset stamp":
        asset["updated"] = STAMP
    elif what == "new asset":
        assets["x%d" % rng.randrange(100)] = location(rng, node, "x")
    elif what == "drop asset" and len(assets) > 2:
        del assets[key]
    elif what == "retract":
        d["properties"]["retracted"] = True
    elif what == "deprecate":
        d["properties"]["latest"] = False
    elif what == "bbox":
        d["bbox"] = [0, 0, 1, rng.random()]
    elif what == "drop node":
        for k in [k for k, a in assets.items() if a.get("alternate:name") == "b.org" and "alternate" not in a]:
            del assets[k]
        for a in assets.values():
            if a.get("alternate", {}).pop("b.org", None) and not a["alternate"]:
                del a["alternate"]


def cases(seed, count):
    rng = random.Random(seed)
    for n in range(count):
        old = document(rng)
        new = copy.deepcopy(old)
        method = rng.choices(["PATCH", "POST", "DELETE"], [18, 1, 1])[0]
        for _ in range(rng.choice([0, 1, 1, 1, 2, 3])):
            mutate(rng, new)
        # Nearly enough rights are more telling than random ones.
        rules, principals, entitlements = [], ["group:x/a", "group:x/b"], []
        for role, scope, target, institution in sorted(requirements(method, old, new, rng.random() < 0.5), key=str):
            if rng.random() < 0.85:
                role = rng.choice(role)
                target = "*" if rng.random() < 0.3 else target
                institution = institution if rng.random() < 0.6 else None
                if rng.random() < 0.3:
                    middle = f":institution:{institution}" if institution else ""
                    entitlements.append(f"urn:mace:egi.eu:group:esgf.vo.egi.eu:{scope}:{target}{middle}:role={role}#aai.egi.eu")
                else:
                    rules.append([rng.choice(principals + ["group:x/c"] if rng.random() < 0.2 else principals), role, scope, target, institution])
        # Member by member: a replacement would keep the alternates that it does not speak of.
        patch = [{"op": "add", "path": "/" + k, "value": v} for k, v in new.items() if k not in ("type", "id", "stac_version", "collection", "geometry")]
        request = {"POST": {"item": new}, "PATCH": {"patch": patch}, "DELETE": {}}[method]
        yield {"n": n, "method": method, "request": request, "old": old, "new": new, "rules": rules, "principals": principals + entitlements}


def locations(asset):
    """node -> (is it primary, what counts of it); a stamp does not."""
    if asset is None:
        return {}
    found = {asset.get("alternate:name", "*"): (True, {k: asset.get(k) for k in ("href", "alternate:name", "protocol", "file:local_path")})}
    for node, entry in (asset.get("alternate") or {}).items():
        found[node] = (False, {k: v for k, v in entry.items() if k not in ("created", "updated")})
    return found


def content(asset):
    return {k: v for k, v in asset.items() if k not in ("href", "alternate:name", "protocol", "file:local_path", "created", "updated", "alternate")}


def names(d):
    value = d["properties"]["cmip6:institution_id"] if d else []
    return set(value if isinstance(value, list) else [value])


def primary(found):
    return next((n for n, (is_primary, _) in found.items() if is_primary), None)


def same_place(was, now):
    """Where only one of them is primary, what both forms say counts."""
    if was[0] == now[0]:
        return was[1] == now[1]
    return all(was[1].get(k) == now[1].get(k) for k in ("href", "alternate:name", "protocol", "file:local_path"))


def changed_locations(old, new):
    """(asset, node, does it stay) of all that differ."""
    for key in old["assets"].keys() | new["assets"].keys() if old else new["assets"].keys():
        before, after = locations(old["assets"].get(key) if old else None), locations(new["assets"].get(key))
        for node in before.keys() | after.keys():
            if node not in after:
                yield key, node, False
            elif node not in before:
                yield key, node, True
            else:
                moved = before[node][0] != after[node][0] and (before[node][0] or primary(before) in after)
                if moved or not same_place(before[node], after[node]):
                    yield key, node, True


def requirements(method, old, new, each=True):
    """{(roles of which one will do, scope, target, institution)}."""
    institutions = (names(old if method != "POST" else None) | names(new)) if method != "DELETE" else names(old)
    project, nodes = [], []
    if method == "DELETE":
        project.append(("DELETE",))
    elif method == "POST":
        project.append(("CREATE",))
        nodes = [(("CREATE",), node) for _, node, _ in changed_locations(None, new)]
    else:
        changed = list(changed_locations(old, new))
        if changed:
            project.append(("REPLICATE", "UPDATE"))
        nodes = [(("REPLICATE", "UPDATE"), node) for _, node, _ in changed]
        if new["properties"].get("retracted"):
            project.append(("REVOKE", "RETRACT"))
        elif new["properties"].get("latest") is False:
            project.append(("UPDATE",))
        flags = ("latest", "retracted", "created", "updated")
        kept = new["links"][:len(old["links"])] == old["links"]
        appended = new["links"][len(old["links"]):] if kept else []
        for link in appended:
            project.append(("CITATION", "UPDATE") if link["rel"] == "cite-as" else ("ERRATA", "UPDATE") if link.get("title") == "Errata issue" else ("UPDATE",))
        still_there = {node for a in new["assets"].values() for node in locations(a)}
        other = not kept or any(old.get(k) != new.get(k) for k in (old.keys() | new.keys()) - {"assets", "links", "properties"})
        other |= {k: v for k, v in old["properties"].items() if k not in flags} != {k: v for k, v in new["properties"].items() if k not in flags}
        for key in old["assets"].keys() | new["assets"].keys():
            was, now = old["assets"].get(key), new["assets"].get(key)
            if was and now:
                other |= content(was) != content(now)
            elif now:
                other = True
            else:
                data = "data" in was.get("roles", []) and key != "globus"
                other |= data or len(locations(was)) > 1 or primary(locations(was)) in still_there
        if other:
            project.append(("UPDATE",))
    return ({(roles, "project", "CMIP6", i) for roles in project for i in institutions} |
            {(roles, "node", node, i) for roles, node in nodes for i in institutions})


def held(case, roles, scope, target, institution):
    for principal, role, its_scope, its_target, its_institution in case["rules"]:
        if principal in case["principals"] and role in roles and its_scope == scope and its_target in (target, "*") and its_institution in (institution, None):
            return True
    for principal in case["principals"]:
        m = re.fullmatch(r"urn:mace:egi\.eu:group:esgf\.vo\.egi\.eu:(project|node):([^:]+)(?::institution:([^:]+))?:role=([A-Z]+)#aai\.egi\.eu", principal)
        if m and m[1] == scope and m[2] in (target, "*") and m[3] in (institution, None) and m[4] in roles:
            return True
    return False


def missing(case):
    """[role, scope, target, reason] of all that is refused."""
    old, new, method = case["old"], case["new"], case["method"]
    found = {(roles[0], scope, target, "no-right") for roles, scope, target, institution in requirements(method, old, new)
             if not held(case, roles, scope, target, institution)}
    first = "CREATE" if method == "POST" else "REPLICATE"
    for key, node, stays in changed_locations(None if method == "POST" else old, new) if method != "DELETE" else ():
        if not stays:
            continue
        is_primary, place = locations(new["assets"][key])[node]
        if not is_primary and place.get("alternate:name") != node:
            found.add((first, "node", node, "key-mismatch"))
        if node == "*":
            continue
        if node not in NODES[:4]:
            found.add((first, "node", node, "unknown-node"))
        elif node not in ACTIVE:
            found.add((first, "node", node, "inactive-site"))
        elif not place["href"].startswith(f"https://{node}/"):
            found.add((first, "node", node, "foreign-href"))
    return sorted(list(part) for part in found)


def judge(lines):
    counts = {}
    for line in lines:
        case = json.loads(line)
        expected = missing(case)
        verdict = "PT403" if expected else "done"
        actual = sorted({tuple(part) for part in case["missing"]})
        # What is judged after the rights says that they were held.
        outcome = "done" if case["outcome"] == "PT409" else case["outcome"]
        counts[case["outcome"]] = counts.get(case["outcome"], 0) + 1
        if [list(part) for part in actual] != expected or outcome != verdict:
            print(f"case {case['n']} ({case['method']}): {case['outcome']} {actual}, expected {verdict} {expected}; rules {case['rules']}; principals {case['principals']}")
    print(" ".join(f"{outcome} {n}" for outcome, n in sorted(counts.items())), file=sys.stderr)


# ---------------------------------------------------------------- hrefs

PREFIXES = ["https://p.org", "https://p.org/", "https://p.org:8443", "https://p.org/data", "https://p.org/data/", "HTTPS://P.org/Data/x=", "http://[2001:db8::1]:80/d/",
            "https://globus.org/file-manager?origin_id=1a2b", "https://p.org/x?a=1&b=2", "gsiftp://p.org:2811//d/"]
BENIGN = ["", "/", "/f.nc", "/a/b..c/.d/f.nc", "?x=1", "#top", "/f.nc?x=/../y", "&path=%2Fa%2F", "/100%25/f", "/a&b/c=d", "/ü/f.nc"]
PIECES = ["&", "@", "\\", "/", "?", "#", ":", ".", "..", "/../", "/./", "%2e", "%2E%2e/", "/%2e%2e/", "%2f", "%5c", "%252e%252e/", ";", "=", "\t", "\n", "\r", " ", "\x7f", "。", "\u200b", "[", "]", "evil.example",
          "&.evil.example", "@evil.example", ":8443", ":443", "&origin_id=ffff", "&origin%5Fid=ffff", ";origin_id=ffff", "&a=3", "user:pw@", "%00", "%0a", "//", "x"]


def hrefs(seed, count):
    rng = random.Random(seed)
    for prefix in PREFIXES:
        for end in BENIGN:
            if "?" in prefix and "/../" in end:  # may climb out of what the query names
                continue
            if prefix[-1] in "/=" or end == "" or end[0] in "/?#" or end[0] == "&" and "?" in prefix:
                if not (prefix[-1] in "/" and end[:1] == "/"):
                    yield {"prefix": prefix, "href": prefix + end, "must": True}
    for _ in range(count):
        prefix = rng.choice(PREFIXES)
        href = prefix + rng.choice(BENIGN)
        for _ in range(rng.choice([1, 1, 2, 3])):
            place = rng.choice([len(prefix), rng.randrange(len(href) + 1), rng.randrange(len(href) + 1)])
            href = href[:place] + rng.choice(PIECES) + href[place:] if rng.random() < 0.85 else href[:place] + href[place + 1:]
        yield {"prefix": prefix, "href": href, "must": False}


def as_browser(url):
    """Scheme, host, port, normalised path and query as the URL standard of browsers reads them, for http as for any scheme."""
    url = re.sub(r"[\t\n\r]", "", url.strip("".join(map(chr, range(33)))))
    m = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):[/\\]*([^/\\?#]*)([^?#]*)(\?[^#]*)?", url)
    if not m:
        return None
    host = m[2].rsplit("@", 1)
    name, port = re.fullmatch(r"(.*?)(?::(\d*))?", urllib.parse.unquote(host[-1]).replace("。", ".").lower()).groups() if "]" not in host[-1] else re.fullmatch(r"(.*\])(.*)", host[-1].lower()).groups()
    path = []
    for segment in re.split(r"[/\\]", urllib.parse.unquote(urllib.parse.unquote(m[3])))[1:]:
        if segment == "..":
            path = path[:-1]
        elif segment != ".":
            path.append(segment)
    return m[1].lower(), name, (port or "").lstrip(":"), "/" + "/".join(path), m[4] or "", len(host) > 1


def as_python(url):
    parts = urllib.parse.urlsplit(url)
    return parts.scheme, parts.hostname, str(parts.port or ""), parts.path, "?" + parts.query if parts.query else "", "@" in parts.netloc


def values(query, name):
    return [urllib.parse.unquote(v) for k, _, v in (p.partition("=") for p in re.split("[?&;]", query)) if urllib.parse.unquote(k) == name]


def elsewhere(prefix, href):
    """Why an href is not under a prefix, as one of its readers sees it; None if it is for both."""
    for read in (as_browser, as_python):
        try:
            ours, theirs = read(prefix), read(href)
        except ValueError as error:
            return f"{read.__name__}: {error}"
        if theirs is None or ours[:3] != theirs[:3] or theirs[5]:
            return f"{read.__name__}: {theirs}"
        if not theirs[3].startswith(urllib.parse.unquote(ours[3]).rstrip("/")):
            return f"{read.__name__}: path {theirs[3]}"
        for name in {p.partition("=")[0] for p in re.split("[?&;]", ours[4]) if p}:
            found = values(theirs[4], name)
            if len(found) != 1 or not re.match(re.escape(values(ours[4], name)[0]) + "([/?]|$)", found[0]):
                return f"{read.__name__}: {name} {found}"
    return None


def judge_hrefs(lines):
    taken = 0
    for line in lines:
        case = json.loads(line)
        taken += case["taken"]
        if case["must"] and not case["taken"]:
            print(f"refused: {case['href']!r} under {case['prefix']}")
        why = elsewhere(case["prefix"], case["href"]) if case["taken"] else None
        if why:
            print(f"taken: {case['href']!r} under {case['prefix']}, which is elsewhere to {why}")
    print(taken, file=sys.stderr)


if __name__ == "__main__":
    if sys.argv[1] in ("cases", "hrefs"):
        for case in globals()[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3])):
            print(json.dumps(case))
    else:
        globals()[sys.argv[1]](sys.stdin)
