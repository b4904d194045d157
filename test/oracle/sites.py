"""What sites lack and what may go, found by code that is not ours: what doc/sites.md says, over exported documents.

sites.py changes SEED COUNT   random changes of all verbs, and by hand, as SQL; many are refused
sites.py rules SEED COUNT PAUSE  rules that are set, changed, dropped, and end by themselves, and sites switched on and off, as SQL; so many seconds after each act
sites.py work                 reads {"now", "sites", "rules", "items"}; writes what follows: a list of a line for each site and kind
sites.py stream NODE          reads {"created", "rules", "items"}; writes what is in a stream of that site that was made then
"""
import functools
import json
import random
import re
import sys

COLLECTIONS = ["C0", "C1", "C2"]
NODES = [f"n{i}.org" for i in range(5)]
VARIABLES = ["tas", "pr", "uas"]
DATASETS, VERSIONS, FILES = 15, 3, 3


# ------------------------------------------------------------------ changes

def quoted(value):
    text = value if isinstance(value, str) else json.dumps(value)
    return "'" + text.replace("'", "''") + "'"


def href(node, file):
    return f"https://{node}/{file}"


def document(rng, collection, item):
    assets = {}
    for i in range(rng.choice([0, 1, 1, 2, FILES])):
        node = rng.choice(NODES[:3])
        assets[f"f{i}.nc"] = {"href": href(node, f"f{i}.nc"), "alternate:name": node, "roles": rng.choice([["data"], ["data"], ["data"], ["data", "virtual"], ["thumbnail"]])}
        if rng.random() < 0.8:
            assets[f"f{i}.nc"]["file:size"] = i + 1
        if rng.random() < 0.3:
            other = rng.choice([n for n in NODES if n != node])
            assets[f"f{i}.nc"]["alternate"] = {other: {"href": href(other, f"f{i}.nc"), "alternate:name": other}}
    if rng.random() < 0.2:
        assets["globus"] = {"href": href("n0.org", "globus"), "alternate:name": "n0.org", "roles": ["data"], "file:size": 1000}
    return {"type": "Feature", "stac_version": "1.1.0", "id": item, "collection": collection, "geometry": None, "links": [], "assets": assets,
            "properties": {"datetime": "2000-01-01T00:00:00Z", "v": rng.choice(VARIABLES), "n": rng.randrange(10)}}


def change(rng):
    collection = rng.choice(COLLECTIONS)
    item = f"d{rng.randrange(DATASETS)}.v{1 + rng.randrange(VERSIONS)}"
    node = rng.choice(NODES)
    key = f"{quoted(collection)}, {quoted(item)}"
    files = rng.sample(range(FILES), rng.choice([1, 1, 2, 3]))
    hand = f"UPDATE esgf_stac.item SET %s WHERE collection_id = {quoted(collection)} AND base_id = 'd{rng.randrange(DATASETS)}' AND NOT deleted"
    what = rng.choice(["create"] * 3 + ["replace", "upsert"] + ["patch"] * 4 + ["title", "title", "file", "delete", "restore", "retract", "reinstate", "reinstate", "deprecate"]
                      + ["add"] * 5 + ["remove"] * 3 + ["by hand", "by hand", "transact", "snapshot", "undone"])
    if what == "create":
        return f"SELECT esgf_stac.create_item({quoted(collection)}, {quoted(document(rng, collection, item))});"
    if what == "replace":
        return f"SELECT esgf_stac.replace_item({key}, {quoted(document(rng, collection, item))});"
    if what == "upsert":
        return "SELECT esgf_stac.transact(" + quoted([{"method": "UPSERT", "collection_id": collection, "item": document(rng, collection, item)}]) + ");"
    if what == "patch":
        return f"SELECT esgf_stac.patch_item({key}, {quoted({'properties': rng.choice([{'v': rng.choice(VARIABLES)}, {'n': rng.randrange(10)}])})});"
    if what == "title":
        return f"SELECT esgf_stac.patch_item({key}, {quoted({'properties': {'title': str(rng.random())}})});"
    if what == "file":
        return f"SELECT esgf_stac.patch_item({key}, {quoted({'assets': {f'f{rng.randrange(FILES)}.nc': rng.choice([None, {'roles': ['data']}, {'roles': ['thumbnail']}])}})});"
    if what in ("delete", "restore", "retract", "reinstate"):
        return f"SELECT esgf_stac.{what}_item({key});"
    if what == "deprecate":
        return f"SELECT esgf_stac.patch_item({key}, {quoted({'properties': {'latest': rng.random() < 0.5}})});"
    if what == "add":
        return f"SELECT esgf_stac.add_replica({key}, {quoted(node)}, {quoted({f'f{i}.nc': {'href': href(node, i)} for i in files})});"
    if what == "remove":
        return f"SELECT esgf_stac.remove_replica({key}, {quoted(node)});"
    if what == "by hand":
        return rng.choice([
            hand % "document = jsonb_set(document, '{properties,v}', '\"tas\"')", hand % "document = jsonb_set(document, '{properties,n}', '7')",
            hand % "deleted = true", hand % f"document = jsonb_set(document, '{{assets,f0.nc,alternate,{node}}}', {quoted({'href': href(node, 'f0.nc'), 'alternate:name': node})})"]) + ";"
    if what == "transact":
        return "SELECT esgf_stac.transact(" + quoted([
            {"method": "PATCH", "collection_id": c, "item_id": f"d{rng.randrange(DATASETS)}.v{1 + rng.randrange(VERSIONS)}", "patch": {"properties": {"v": rng.choice(VARIABLES)}}}
            for c in COLLECTIONS]) + ", false);"
    if what == "snapshot":
        return "BEGIN ISOLATION LEVEL " + rng.choice(["REPEATABLE READ", "SERIALIZABLE"]) + "; " + " ".join(change(rng) for _ in range(2)) + " COMMIT; ROLLBACK;"
    return "BEGIN; " + change(rng) + " ROLLBACK;"


# ------------------------------------------------------------------ rules

ATOMS = ['$.properties.v == "{v}"', '$.properties.n > {n}', '$.properties.n <= {n}', '$.properties.latest == true', '$.id starts with "d1"',
         'exists($.assets.* ? (@."file:size" > 2))', 'exists($.assets.*.alternate."{node}")', '$.properties.updated > "2001"', '$.nothing == {n}']


def rules(rng, count):
    for _ in range(count):
        node, name = rng.choice(NODES[1:]), f"r{rng.randrange(max(3, count // 12))}"
        what = rng.random()
        if what < 0.15:
            yield f"SELECT esgf_stac.drop_replication_rule('{node}', '{name}');"
        elif what < 0.2:
            yield f"UPDATE esgf_stac.site SET active = NOT active WHERE node = '{node}';"
        elif what < 0.5:
            yield "SELECT esgf_stac.refresh_rules(" + rng.choice(["7", "50", "10000"]) + ");"
        else:
            # A site whose rules read a few properties alone has nothing judged anew by other changes.
            atoms = [rng.choice(ATOMS[:3] if node == NODES[1] else ATOMS).format(v=rng.choice(VARIABLES), n=rng.randrange(10), node=rng.choice(NODES)) for _ in range(rng.choice([0, 1, 1, 2, 3]))]
            collections = rng.choice([None, ["C0"], ["C1", "C2"], ["C2", "none"]])
            yield "SELECT esgf_stac.set_replication_rule({}, {}, {}, {}, {}, {}, {}, {});".format(
                quoted(node), quoted(name), "NULL" if collections is None else quoted("{" + ",".join(collections) + "}"),
                quoted(functools.reduce(lambda a, b: rng.choice(["{}", "({})"]).format(a) + rng.choice([" && ", " || "]) + b, atoms)) if atoms else "NULL", rng.choice([0, 0, 1, 5, -3]),
                rng.choice(["'purge'", "'purge'", "'keep'"]), rng.choice(["'keep'", "'purge'", "'purge'", "'fetch'"]),
                rng.choice(["NULL", "NULL", "NULL", f"clock_timestamp() + interval '{rng.randrange(1, 4000)} ms'"]))


# ------------------------------------------------------------------ work

def strip(text):
    text = text.strip()
    while text.startswith("(") and text.endswith(")"):
        depth = 0
        for i, c in enumerate(text):
            depth += (c == "(") - (c == ")")
            if depth == 0 and i < len(text) - 1:
                return text
        text = text[1:-1].strip()
    return text


def number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def atom_holds(atom, document):
    """One atom, as the server prints it: true, false or, None, unknown."""
    properties = document["properties"]
    found = re.fullmatch(r'\$\."properties"\."(\w+)" (==|>|<=) (.+)', atom)
    if found:
        name, operator, literal = found.groups()
        value, wanted = properties.get(name), json.loads(literal)
        if name not in properties:
            return False
        if number(wanted) != number(value) or isinstance(wanted, bool) != isinstance(value, bool):
            return None
        return {"==": value == wanted, ">": value > wanted, "<=": value <= wanted}[operator]
    if atom == '$."id" starts with "d1"':
        return document["id"].startswith("d1")
    if atom == 'exists ($."assets".*?(@."file:size" > 2))':
        return any(number(a.get("file:size")) and a["file:size"] > 2 for a in document["assets"].values())
    found = re.fullmatch(r'exists \(\$\."assets"\.\*\."alternate"\."([^"]+)"\)', atom)
    if found:
        return any(found.group(1) in a.get("alternate", {}) for a in document["assets"].values())
    if re.fullmatch(r'\$\."nothing" == \d+', atom):
        return False
    raise ValueError(atom)


def split(text, word):
    """The parts of a text between words that stand in no parentheses."""
    parts, depth = [""], 0
    for piece in re.split(f"({re.escape(word)})", text):
        if piece == word and depth == 0:
            parts.append("")
        else:
            parts[-1] += piece
            depth += piece.count("(") - piece.count(")")
    return parts


def holds(text, document):
    text = strip(text)
    for word, weightiest, other in ((" || ", True, False), (" && ", False, True)):
        parts = split(text, word)
        if len(parts) > 1:
            values = [holds(part, document) for part in parts]
            return weightiest if weightiest in values else None if None in values else other
    return atom_holds(text, document)


def locations(asset):
    return {asset.get("alternate:name", "*")} | set(asset.get("alternate", {}))


def is_data_file(key, asset):
    roles = asset.get("roles", [])
    return "data" in roles and "virtual" not in roles and key not in ("globus", "reference_file")


def work_of(item, node, world):
    """What an item is to a site: kind, bytes, priority, rules, sources, reason; whole; rules that match."""
    document = item["document"]
    matching = [r for r in world["in_force"] if r["node"] == node and (r["collections"] is None or item["collection_id"] in r["collections"])
                and (r["filter"] is None or holds(r["filter"], document) is True)]
    files = {k: a for k, a in document["assets"].items() if is_data_file(k, a)}
    here = {k for k, a in files.items() if node in locations(a)}
    located = any(node in locations(a) for a in document["assets"].values())
    others = {n for a in document["assets"].values() for n in locations(a)} - {node}
    complete = sorted(n for n in others if files and all(n in locations(a) for a in files.values()))
    partial = sorted(n for n in others if any(n in locations(a) for a in files.values()))
    active = lambda nodes: [n for n in nodes if world["sites"].get(n)]
    sources = active(complete) or active(partial)
    heirs = complete if files else others
    primary = any(a.get("alternate:name", "*") == node for a in document["assets"].values())
    can_go = located and (not primary or bool(heirs))
    size = lambda keys: sum(files[k].get("file:size", 0) for k in keys)
    superseded = not item["retracted"] and not item["latest"]
    kind = reason = None
    if matching:
        if item["retracted"] and can_go and all(r["on_retracted"] == "purge" for r in matching):
            kind, reason = "purge", "retracted"
        elif superseded and can_go and all(r["on_superseded"] == "purge" for r in matching):
            kind, reason = "purge", "superseded"
        elif not item["retracted"] and world["sites"].get(node) and len(here) < len(files) and \
                (item["latest"] or any(r["on_superseded"] == "fetch" for r in matching)):
            kind = "complete" if here else "fetch"
    elif located and any(r["node"] == node for r in world["in_force"]):
        kind, reason = "surplus", "no-rule"
    missing = size(set(files) - here)
    return {"kind": kind, "reason": reason, "sources": sources, "rules": sorted(r["name"] for r in matching),
            "priority": max((r["priority"] for r in matching), default=None),
            "bytes": missing if kind in ("fetch", "complete") else size(here), "whole": bool(files) and len(here) == len(files),
            "size": size(files), "missing": missing}


def work(world):
    world["sites"] = {s["node"]: s["active"] for s in world["sites"]}
    world["in_force"] = [r for r in world["rules"] if r["valid_from"] <= world["now"] and (r["valid_to"] is None or world["now"] < r["valid_to"])]
    lines = []
    wanted = set()
    items = [i for i in world["items"] if not i["deleted"]]
    for node in NODES:
        rows, usage = [], {}
        for item in items:
            found = work_of(item, node, world)
            for name in found["rules"]:
                total = usage.setdefault((item["collection_id"], name), [0, 0, 0, 0])
                if found["whole"]:
                    total[0] += 1
                    total[1] += found["size"]
                if found["kind"] in ("fetch", "complete"):
                    total[2] += 1
                    total[3] += found["missing"]
            if found["rules"]:
                wanted.add((item["collection_id"], item["id"]))
            if found["kind"]:
                rows.append((-(found["priority"] or 0), item["collection_id"], item["id"], found, item["version"]))
        for _, collection, item, found, version in sorted(rows, key=lambda r: r[:3]):
            lines.append(" ".join(map(str, ("surplus" if found["kind"] == "surplus" else "work", node, found["kind"], collection, item, version, found["bytes"], found["priority"],
                                            ",".join(found["rules"]), ",".join(found["sources"]), found["reason"]))))
        lines += [" ".join(map(str, ("usage", node, c, n, *usage[c, n]))) for c, n in sorted(usage)]
    for item in sorted(items, key=lambda i: (i["collection_id"], i["id"])):
        if item["latest"] and (item["collection_id"], item["id"]) not in wanted:
            assets = item["document"]["assets"]
            lines.append(" ".join(map(str, ("unreplicated", item["collection_id"], item["id"], sum(a.get("file:size", 0) for k, a in assets.items() if is_data_file(k, a)),
                                            ",".join(sorted({n for a in assets.values() for n in locations(a)}))))))
    return lines


def stream(world, node):
    since = [r for r in world["rules"] if r["node"] == node and (r["valid_to"] is None or r["valid_to"] > world["created"])]
    return sorted(f"{i['collection_id']} {i['id']} {i['version']}" for i in world["items"] if not i["deleted"]
                  and (any(node in locations(a) for a in i["document"]["assets"].values())
                       or any((r["collections"] is None or i["collection_id"] in r["collections"]) and (r["filter"] is None or holds(r["filter"], i["document"]) is True) for r in since)))


if __name__ == "__main__":
    if sys.argv[1] == "work":
        print("\n".join(work(json.load(sys.stdin))))
    elif sys.argv[1] == "stream":
        print("\n".join(stream(json.load(sys.stdin), sys.argv[2])))
    else:
        generator = random.Random(int(sys.argv[2]))
        count = int(sys.argv[3])
        print("\n".join(f"{act} SELECT pg_sleep({sys.argv[4]});" for act in rules(generator, count)) if sys.argv[1] == "rules" else "\n".join(change(generator) for _ in range(count)))
