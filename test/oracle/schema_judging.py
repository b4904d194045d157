"""Changes of items by every way in, and whether schemas judge them as python-jsonschema does.

    schema_judging.py plan DATA COUNT SEED      a line of JSON for each of COUNT steps
    schema_judging.py check DATA < LOG          what became of them is told where it should be otherwise

A step is a statement that changes one item, or puts another revision of a schema
into force. The log has for each what there was before and after, and what the
statement makes of the document where nothing is judged. Which changes are judged is
said here once more, from doc/schemas.md: by what is left of two documents
without locations, stamps and flags.
"""
import copy
import json
import pathlib
import random
import sys

from schema_mutations import Oracle

LINKS = "https://links.example.org/v1/schema.json"
FAMILIES = {  # the captured item, its run, where its vocabulary stands in it, and contents that are published there one after the other
    "CMIP6": ("cmip6-east-tas-nims-kma.json", "r14i1p1f2", "/cmip6/", ["cmip6_v2.0.0", "cmip6_v1.0.1", "cmip6_v3.0.4"]),
    "CMIP7": ("cmip7-east-canesm5-1.json", "r1i1p2f1", "/cmip7/", ["cmip7_v1.2.6", "cmip7_v3.0.6"]),
}
LINK_RULES = [{"properties": {"links": {"items": {"properties": {"href": {"pattern": pattern}}}}}} for pattern in ("^https?:", "^(http:|https://(?!other))")]
NODES = ["one.example.org", "two.example.org"]
LOCATION = ("href", "alternate:name", "protocol", "file:local_path", "created", "updated", "alternate")


def read(data, name):
    return json.loads((data / name).read_text())


def contents(data):
    """What may be registered: {url: [schema, ...]}; each asks for its own URL, as the first one does."""
    found = {LINKS: LINK_RULES}
    for file, _, part, names in FAMILIES.values():
        item = read(data, f"items/{file}")
        url = next(url for url in item["stac_extensions"] if part in url)
        schemas = []
        for name in names:
            text = (data / f"esgf-schemas/{name}.json").read_text()
            own = json.loads(text)["$id"].rstrip("#")
            schemas.append(json.loads(text.replace(own, url)))
        found[url] = schemas
    return found


# ---------------------------------------------------------------- plan


def quoted(value):
    return "$json$" + json.dumps(value) + "$json$"


def enums(schema):
    children = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else []
    own = [value for value in schema.get("enum", []) if isinstance(value, str)] if isinstance(schema, dict) and isinstance(schema.get("enum"), list) else []
    return own + [value for child in children for value in enums(child)]


class Plan:
    def __init__(self, data, seed):
        self.random = random.Random(seed)
        self.contents = contents(data)
        self.words = {url: sorted(set(word for schema in schemas for word in enums(schema))) for url, schemas in self.contents.items()}
        self.items = {}
        self.documents = {}
        for collection, (file, *_) in FAMILIES.items():
            document = read(data, f"items/{file}")
            document["collection"] = collection
            document["stac_extensions"].append(LINKS)
            self.documents[collection] = document

    def new_document(self, collection, number):
        """The captured item as if it were of another run."""
        run = FAMILIES[collection][1]
        return json.loads(json.dumps(self.documents[collection]).replace(run, f"r{number + 20}i{run.split('i')[1]}"))

    def touch(self, document):
        """Change a document somewhere."""
        properties = document["properties"]
        key = self.random.choice([*(key for key in properties if ":" in key), "title", "note"])
        word = self.random.choice(self.random.choice([words for words in self.words.values() if words]))
        properties[key] = self.random.choice([word, [word], "x", 7, properties.get(key)])
        return key

    def location(self, node):
        return {"href": f"https://{node}/{self.random.randrange(1000)}", "alternate:name": node}

    def way(self, collection, id, document, patch):
        """A document, or the patch that leads to it, by one of the ways in."""
        ways = {
            "patch_item": f"SELECT esgf_stac.patch_item('{collection}', '{id}', {quoted(patch)})",
            "JSON patch": f"SELECT esgf_stac.patch_item('{collection}', '{id}', esgf_stac.jsonb_diff(d, esgf_stac.jsonb_merge_patch(d, {quoted(patch)}))) FROM (SELECT document AS d FROM esgf_stac.item WHERE id = '{id}') i",
            "replace_item": f"SELECT esgf_stac.replace_item('{collection}', '{id}', {quoted(document)})",
            "create_item": f"SELECT esgf_stac.create_item('{collection}', {quoted(document)})",
            "PATCH": f"SELECT esgf_stac.transact(jsonb_build_array(jsonb_build_object('method', 'PATCH', 'collection_id', '{collection}', 'item_id', '{id}', 'patch', {quoted(patch)}::jsonb)))",
            "UPSERT": f"SELECT esgf_stac.transact(jsonb_build_array(jsonb_build_object('method', 'UPSERT', 'collection_id', '{collection}', 'item', {quoted(document)}::jsonb)))",
            "UPDATE": f"UPDATE esgf_stac.item SET document = esgf_stac.jsonb_merge_patch(document, {quoted(patch)}), deleted = false WHERE id = '{id}'",
            "MERGE": f"MERGE INTO esgf_stac.item t USING (SELECT '{collection}' AS c, '{id}' AS i, {quoted(document)}::jsonb AS d) s ON t.id = s.i WHEN MATCHED THEN UPDATE SET document = d, deleted = false"
                     " WHEN NOT MATCHED THEN INSERT (collection_id, id, document) VALUES (c, i, d)",
        }
        return self.random.choice(list(ways.items()))

    def step(self, number):
        if self.random.random() < 0.03:
            url = self.random.choice(list(self.contents))
            choice = 0 if self.random.random() < 0.6 else self.random.randrange(len(self.contents[url]))
            return {"what": "schema", "url": url, "content": choice, "sql": f"SELECT esgf_stac.add_schema('{url}', {quoted(self.contents[url][choice])})"}
        collection = self.random.choice(list(FAMILIES))
        document = self.new_document(collection, self.random.randrange(8))
        id = document["id"]
        asset = self.random.choice(list(document["assets"]))
        node = self.random.choice(NODES)
        kind = self.random.choice(["document", "document", "asset", "location", "replica", "away", "link", "verb", "verb", "flag"])
        patch = {}
        if kind == "document":
            key = self.touch(document)
            patch = {"properties": {key: document["properties"][key]}}
        elif kind == "asset":
            patch = {"assets": {asset: {"description": str(number)}}}
            document["assets"][asset]["description"] = str(number)
        elif kind == "location":
            patch = {"assets": {asset: {"href": f"https://elsewhere.example.org/{number}", **({"note": "n"} if self.random.random() < 0.2 else {})}}}
            document["assets"][asset].update(patch["assets"][asset])
        elif kind == "link":
            href = self.random.choice(["https://good.example.org/", "https://other.example.org/", "ill"]) + str(number)
            link = self.random.choice([{"rel": "cite-as"}, {"rel": "related", "title": "Errata issue"}, {"rel": "about"}]) | {"href": href}
            return {"what": "a link", "item": id, "sql": f"SELECT esgf_stac.patch_item('{collection}', '{id}', {quoted([{'op': 'add', 'path': '/links/-', 'value': link}])})"}
        elif kind == "replica":
            entries = {key: self.location(node) for key in document["assets"]}
            return {"what": "add_replica", "item": id, "sql": f"SELECT esgf_stac.add_replica('{collection}', '{id}', '{node}', {quoted(entries)})"}
        elif kind == "away":
            return {"what": "remove_replica", "item": id, "sql": f"SELECT esgf_stac.remove_replica('{collection}', '{id}', '{node}')"}
        elif kind == "flag":
            patch = {"properties": {"latest": self.random.random() < 0.5}}
            if self.random.random() < 0.3:
                patch["properties"]["note"] = number
            return {"what": "flags", "item": id, "sql": f"SELECT esgf_stac.patch_item('{collection}', '{id}', {quoted(patch)})"}
        else:
            verb = self.random.choice(["delete_item", "restore_item", "retract_item", "reinstate_item"])
            return {"what": verb, "item": id, "sql": f"SELECT esgf_stac.{verb}('{collection}', '{id}')"}
        name, sql = self.way(collection, id, document, patch)
        return {"what": f"{kind} by {name}", "item": id, "sql": sql}


def plan(data, count, seed):
    made = Plan(data, seed)
    for url in made.contents:
        print(json.dumps({"what": "schema", "url": url, "content": 0, "sql": f"SELECT esgf_stac.add_schema('{url}', {quoted(made.contents[url][0])})"}))
    for collection in FAMILIES:
        for number in range(6):
            document = made.new_document(collection, number)
            print(json.dumps({"what": "publish", "item": document["id"], "sql": f"SELECT esgf_stac.create_item('{collection}', {quoted(document)})"}))
    for number in range(count):
        print(json.dumps(made.step(number)))


# ---------------------------------------------------------------- check


def without_database_words(document):
    document = copy.deepcopy(document)
    for key in ("created", "updated", "latest", "retracted"):
        document["properties"].pop(key, None)
    return document


def without_stamps(value, depth=0):
    """A document without the stamps of assets and alternates, too."""
    document = without_database_words(value)
    for asset in document["assets"].values():
        for place in [asset, *asset.get("alternate", {}).values()]:
            place.pop("created", None)
            place.pop("updated", None)
    return document


def holders(asset):
    return {asset.get("alternate:name", "*"), *asset.get("alternate", {})}


def says_otherwise(old, new):
    """Does anything differ that is neither location nor flag nor stamp nor an appended link of certain kinds?"""
    a, b = without_database_words(old), without_database_words(new)
    links_a, links_b = a.pop("links"), b.pop("links")
    assets_a, assets_b = a.pop("assets"), b.pop("assets")
    if a != b or links_b[:len(links_a)] != links_a:
        return True
    if any(link["rel"] not in ("cite-as", "citeas") and not (link["rel"] == "related" and link.get("title") == "Errata issue") for link in links_b[len(links_a):]):
        return True
    there = set().union(*(holders(asset) for asset in assets_b.values())) if assets_b else set()
    for key in {*assets_a, *assets_b}:
        if key not in assets_b and "data" not in assets_a[key].get("roles", []) and len(holders(assets_a[key])) == 1 and not holders(assets_a[key]) & there:
            continue
        if key not in assets_a or key not in assets_b:
            return True
        if {k: v for k, v in assets_a[key].items() if k not in LOCATION} != {k: v for k, v in assets_b[key].items() if k not in LOCATION}:
            return True
    return False


def judged(old, new):
    """all, links or nothing"""
    if old is None:
        return "all"
    if old["deleted"]:
        same = without_stamps(old["document"]) == without_stamps(new["document"]) and old["retracted"] == new["retracted"]
        return "nothing" if same else "all"
    if says_otherwise(old["document"], new["document"]):
        return "all"
    return "links" if len(new["document"]["links"]) > len(old["document"]["links"]) else "nothing"


class Judge:
    def __init__(self, data):
        self.contents = contents(data)
        self.oracles = {}
        self.in_force = {}

    def problems(self, url, document):
        """The pointers of what is wrong."""
        content = self.in_force[url]["content"]
        if (url, content) not in self.oracles:
            self.oracles[url, content] = Oracle(self.contents[url][content])
        return [pointer.split("/")[1:] for pointer, _ in self.oracles[url, content].problems(document)]

    def expected(self, step):
        """What is to be the outcome, and then affixed."""
        old, new = step["old"], step["unjudged"]
        part = judged(old, new)
        declared = [url for url in new["document"]["stac_extensions"] if url in self.in_force]
        problems = [pointer for url in declared for pointer in (self.problems(url, new["document"]) if part != "nothing" else ())]
        if part == "links":
            first = len(old["document"]["links"])
            problems = [pointer for pointer in problems if len(pointer) > 1 and pointer[0] == "links" and int(pointer[1]) >= first]
        if problems:
            return part, "stac-validation", old and old["affixed"]
        if part != "all":
            return part, None, old["affixed"]
        return part, None, [[url, self.in_force[url]["revision"], True] for url in declared]


def check(data):
    judge = Judge(data)
    counts = {}
    for line in sys.stdin:
        step = json.loads(line)
        if step["what"] == "schema":
            judge.in_force[step["url"]] = {"content": step["content"], "revision": int(step["answer"])}
            continue
        if step["unjudged"] is None:  # refused for another reason, or nothing changed
            expected = "other", step["reason"], step["old"] and step["old"]["affixed"]
        else:
            expected = judge.expected(step)
        got = step["slug"], step["new"] and step["new"]["affixed"]
        key = expected[0], expected[1] if expected[0] != "other" else "refused or unchanged"
        counts[key] = counts.get(key, 0) + 1
        if got != expected[1:]:
            print(f"step {step['number']}, {step['what']} of {step['item']}: {expected[0]} is judged, expected {expected[1:]}, got {got}")
        if step["slug"] and (step["old"] != step["new"] or step["events"]):
            print(f"step {step['number']}, {step['what']} of {step['item']}: something is left")
    for wanted in [("all", None), ("all", "stac-validation"), ("links", None), ("links", "stac-validation"), ("nothing", None)]:
        if counts.get(wanted, 0) < 3:
            print(f"too few of {wanted}: {counts}")
    print(counts, file=sys.stderr)


if __name__ == "__main__":
    if sys.argv[1] == "plan":
        plan(pathlib.Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        check(pathlib.Path(sys.argv[2]))
