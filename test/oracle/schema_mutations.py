"""Documents near those that schemas are for, and what python-jsonschema says of them.

    schema_mutations.py DATA COUNT SEED

DATA has the folders esgf-schemas, schemas and items; a line of JSON is printed for each of COUNT
documents: {"name", "schema", "document", "valid", "problems"}. Problems are
[pointer, keyword], as doc/schemas.md says them: of a failed oneOf or anyOf those
of the branch that leads alone. Schemas that refer to other documents are named on
stderr and left out.

    schema_mutations.py --registered DATA COUNT SEED

The same of those alone, with lines before that say what is registered where:
{"url", "schema"}. Problems are null where a oneOf or anyOf failed.
"""
import copy
import json
import pathlib
import random
import sys

import jsonschema
import referencing
import referencing.jsonschema

TYPES = {"null": type(None), "boolean": bool, "string": str, "array": list, "object": dict}


def has_type(value, name):
    if name in ("integer", "number"):
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return number and (name == "number" or value == int(value))
    return isinstance(value, TYPES[name])


def same(a, b):
    """JSON's equality: true is not 1, and 1.0 is."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    return a == b


class Oracle:
    """What one schema says."""

    def __init__(self, schema):
        self.schema = schema
        self.validator = jsonschema.Draft7Validator(schema)

    def follow(self, schema):
        while isinstance(schema, dict) and "$ref" in schema:
            target = self.schema
            for token in schema["$ref"].lstrip("#").split("/")[1:]:
                token = token.replace("~1", "/").replace("~0", "~")
                target = target[int(token)] if isinstance(target, list) else target[token]
            schema = target
        return schema

    def parts(self, schema):
        """The schema, and all that its references and allOf lead to."""
        schema = self.follow(schema)
        yield schema
        if isinstance(schema, dict):
            for part in schema.get("allOf", []):
                yield from self.parts(part)

    def excludes(self, schema, value):
        for part in self.parts(schema):
            if part is False:
                return True
            names = part.get("type", []) if isinstance(part, dict) else []
            names = [names] if isinstance(names, str) else names
            if names and not any(has_type(value, name) for name in names):
                return True
        return False

    def listed(self, schema, value):
        """How many members have a value that the schema lists for them."""
        count = 0
        for part in self.parts(schema):
            for key, member in (part.get("properties", {}) if isinstance(part, dict) else {}).items():
                member = self.follow(member)
                if not isinstance(member, dict) or key not in value or not {"const", "enum"} & set(member):
                    continue
                count += ("const" not in member or same(member["const"], value[key])) and (
                    "enum" not in member or any(same(one, value[key]) for one in member["enum"]))
        return count

    def leader(self, branches, value):
        counts = {i: self.listed(branch, value) if isinstance(value, dict) else 0
                  for i, branch in enumerate(branches) if not self.excludes(branch, value)}
        best = [i for i in counts if counts[i] == max(counts.values())]
        return best[0] if len(best) == 1 else None

    def rows(self, error):
        path = list(error.absolute_path)
        keyword, value, instance = error.validator, error.validator_value, error.instance
        if "propertyNames" in error.absolute_schema_path:
            yield path + [instance], "propertyNames"
        elif keyword is None:
            steps = [step for step in error.absolute_schema_path if isinstance(step, str)]
            yield path, steps[-1] if steps[-1] in ("not", "items", "then", "else") else steps[-2]
        elif keyword == "required":
            yield from ((path + [name], keyword) for name in value if name not in instance)
        elif keyword == "dependencies":
            for key, names in value.items():
                if key in instance and isinstance(names, list):
                    yield from ((path + [name], keyword) for name in names if name not in instance)
        elif keyword == "additionalProperties":
            named = error.schema.get("properties", {})
            patterns = error.schema.get("patternProperties", {})
            yield from ((path + [name], keyword) for name in instance if name not in named
                        and not any(jsonschema._utils.re.search(pattern, name) for pattern in patterns))
        elif keyword in ("oneOf", "anyOf"):
            leader = self.leader(value, instance) if error.context else None
            if leader is None:
                yield path, keyword
            for inner in error.context if leader is not None else ():
                if inner.schema_path[0] == leader:
                    yield from self.rows(inner)
        else:
            yield path, keyword

    def problems(self, document):
        found = {("".join("/" + str(t).replace("~", "~0").replace("/", "~1") for t in path), keyword)
                 for error in self.validator.iter_errors(document) for path, keyword in self.rows(error)}
        return sorted(map(list, found))


class RegisteredOracle(Oracle):
    """What a schema says that refers to others."""

    def __init__(self, url, schema, registry):
        self.schema = {**schema, "$id": schema.get("$id", url)}
        self.validator = jsonschema.Draft7Validator(self.schema, registry=registry)

    def rows(self, error):
        if error.validator in ("oneOf", "anyOf"):
            raise LookupError("a choice")
        return super().rows(error)

    def problems(self, document):
        try:
            return super().problems(document)
        except LookupError:
            return None


def places(value):
    """All (container, key) of a document."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield value, key
        yield from places(child)


VALUES = [None, True, False, 0, 1, -1, 1.5, 2.0, "", "x", "CMIP6", [], {}, ["x"], {"a": 1}, "\u00e9", 10**30]


def mutate(document, random_, enums):
    """Change one place: a string by a letter, a value of an enum, a type, a member."""
    everything = list(places(document))
    strings = [(c, k) for c, k in everything if isinstance(c[k], str)]
    kind = random_.choice(["letter", "letter", "enum", "enum", "type", "remove", "add", "member"])
    if kind in ("letter", "enum") and strings:
        container, key = random_.choice(strings)
        text = container[key]
        if kind == "enum":
            container[key] = random_.choice(enums) if enums else "x"
            return
        at = random_.randrange(len(text) + 1)
        container[key] = text[:at] + random_.choice(["", "0", "Z", "-", ".", "\u00e9", " "]) + text[at + random_.randrange(2):]
        return
    if not everything:
        return
    container, key = random_.choice(everything)
    if kind == "remove":
        del container[key]
    elif kind == "add" and isinstance(container, list):
        container.insert(key, copy.deepcopy(random_.choice(VALUES)))
    elif kind in ("add", "member") and isinstance(container, dict):
        names = ["cmip6:x", "cmip7:x", "file:x", "extra", "", "a/b~c", "cmip6:variable_id"]
        container[random_.choice(names)] = copy.deepcopy(random_.choice(VALUES))
    else:
        container[key] = copy.deepcopy(random_.choice(VALUES))


def enum_strings(schema):
    found = []
    for container, key in places(schema):
        if key == "enum" and isinstance(container[key], list):
            found += [value for value in container[key] if isinstance(value, str)]
    return sorted(set(found))


def remote_references(schema):
    return [c[k] for c, k in places(schema) if k == "$ref" and isinstance(c[k], str) and not c[k].startswith("#")]


def read_schemas(data):
    """(name, schema) of all files; of one that holds several, each."""
    for file in sorted([*(data / "esgf-schemas").glob("*.json"), *(data / "schemas").rglob("*.json")]):
        content = json.loads(file.read_text())
        if "schema" not in file.name and "CITATION" in content:
            for role in content:
                for i, schema in enumerate(content[role] if isinstance(content[role], list) else []):
                    yield f"{file.name}:{role}/{i}", schema
        else:
            yield file.name, content


SPEC = "https://schemas.stacspec.org/v1.1.0-beta.1/"
# Of GeoJSON's own schemas as much as a test needs.
GEOJSON = {
    "https://geojson.org/schema/Geometry.json": {
        "type": "object", "required": ["type", "coordinates"], "properties": {"type": {"enum": ["Point", "Polygon"]}, "coordinates": {"type": "array"}}},
    "https://geojson.org/schema/Feature.json": {
        "type": "object", "required": ["type", "properties", "geometry"], "properties": {"type": {"const": "Feature"}, "bbox": {"type": "array", "minItems": 4}}},
}
COLLECTION = {
    "type": "Collection", "stac_version": "1.1.0", "id": "c", "description": "d", "license": "MIT", "links": [{"rel": "self", "href": "https://x.org/c"}],
    "extent": {"spatial": {"bbox": [[-180, -90, 180, 90]]}, "temporal": {"interval": [["1850-01-01T00:00:00Z", None]]}},
    "summaries": {"a": {"minimum": 1, "maximum": 2}, "b": ["x"], "c": {"type": "object"}}, "providers": [{"name": "n", "roles": ["host"]}]}
CATALOG = {"type": "Catalog", "stac_version": "1.1.0", "id": "c", "description": "d", "links": [{"rel": "self", "href": "https://x.org/c"}]}


def registered_schemas(data):
    """{URL: schema} of STAC's schemas, and of the extensions."""
    found = dict(GEOJSON)
    for file in sorted((data / "schemas" / "stac-spec").glob("*.json")):
        folder = file.stem if file.stem in ("catalog", "collection") else "item"
        found[f"{SPEC}{folder}-spec/json-schema/{file.name}"] = json.loads(file.read_text())
    for name in ("alternate-assets.schema.json", "file.schema.json"):
        schema = json.loads((data / "schemas" / name).read_text())
        found[schema["$id"].rstrip("#")] = schema
    # alternate-assets draws on another version.
    found["https://schemas.stacspec.org/v1.0.0/item-spec/json-schema/basics.json"] = found[f"{SPEC}item-spec/json-schema/basics.json"]
    return found


def declared_version(schema):
    """The value of "stac_version" that a schema wants."""
    return next((c[k]["const"] for c, k in places(schema) if k == "stac_version" and isinstance(c[k], dict) and "const" in c[k]), "1.1.0")


def registered(data, count, seed):
    random_ = random.Random(seed)
    schemas = registered_schemas(data)
    registry = referencing.Registry().with_resources(
        [(url, referencing.jsonschema.DRAFT7.create_resource(schema)) for url, schema in schemas.items()])
    registry = registry.with_resource("http://json-schema.org/draft-07/schema", referencing.jsonschema.DRAFT7.create_resource(jsonschema.Draft7Validator.META_SCHEMA))
    items = [json.loads(file.read_text()) for file in sorted((data / "items").glob("*.json"))]
    items = [item for item in items if len(json.dumps(item)) < 20000]
    for url, schema in schemas.items():
        print(json.dumps({"url": url, "schema": schema}))
    known = [(url, RegisteredOracle(url, schema, registry)) for url, schema in schemas.items() if remote_references(schema)]
    for number in range(count):
        url, oracle = known[number % len(known)]
        name = url.split("/")[-1]
        document = copy.deepcopy({"collection.json": COLLECTION, "catalog.json": CATALOG}.get(name) or random_.choice(items))
        document["stac_version"] = declared_version(oracle.schema)
        if name == "schema.json":
            document["stac_extensions"] = [url]
        elif name not in ("collection.json", "catalog.json", "item.json"):
            document = document["properties"]
            document["bands"] = random_.choice([[], [{"name": "b"}], [{"name": "b", "bands": 1}], [{"name": ""}], [{"gsd": 0}]])
        for _ in range(random_.choice([0, 1, 1, 1, 2, 3])):
            mutate(document, random_, ["Collection", "1.1.0", "self", "host"])
        print(json.dumps({"url": url, "document": document, "valid": oracle.validator.is_valid(document), "problems": oracle.problems(document)}))


def main():
    data, count, seed = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    random_ = random.Random(seed)
    documents = [json.loads(file.read_text()) for file in sorted((data / "items").glob("*.json"))]
    documents = [document for document in documents if len(json.dumps(document)) < 20000]
    known = []
    for name, schema in read_schemas(data):
        try:
            if remote_references(schema):
                raise ValueError("refers to other documents")
            oracle = Oracle(schema)
            list(oracle.validator.iter_errors({}))
            for container, key in places(schema):
                if key == "$ref":
                    oracle.follow(container)
            known.append((name, oracle, enum_strings(schema)))
        except (ValueError, KeyError) as error:
            print(f"left out: {name}: {error}", file=sys.stderr)
    for number in range(count):
        name, oracle, enums = known[number % len(known)]
        document = copy.deepcopy(random_.choice(documents))
        if "stac_extensions" in document and "$id" in oracle.schema:
            # As if it declared this schema, or none would ever be valid.
            document["stac_extensions"] = [oracle.schema["$id"].rstrip("#")] + [
                url for url in document["stac_extensions"] if "stac-extensions" in url]
        if "properties" in document and random_.random() < 0.3 and ":" not in name:
            document = random_.choice([document, document["properties"], document.get("links") or document])
        if ":" in name and random_.random() < 0.9:
            document = [{"op": "add", "path": "/links/-", "value": {"rel": "cite-as", "href": "h", "type": "application/json"}}]
        for _ in range(random_.choice([0, 1, 1, 1, 2, 3])):
            mutate(document, random_, enums)
        print(json.dumps({"name": name, "schema": oracle.schema if number < len(known) else None, "document": document,
                          "valid": oracle.validator.is_valid(document), "problems": oracle.problems(document)}))


if __name__ == "__main__":
    if sys.argv[1] == "--registered":
        registered(pathlib.Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        main()
