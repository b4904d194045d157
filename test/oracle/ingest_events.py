"""Events of the transaction API, and what each of them asks of the verbs, by code that is not ours.

ingest_events.py make SEED COUNT PARTS FOLDER
                                           makes them: FOLDER/events, one JSON a line (partition, offset, key, value in base64, kind),
                                           and FOLDER/PART.PARTITION, what kcat -P takes, of each of PARTS parts
ingest_events.py requests FOLDER           reads "partition offset" in the order in which they came in; writes for each, as COPY takes
                                           it, its place, the place of the event that it repeats, its identity and its request
ingest_events.py results SEEN              reads outcome events, "key TAB JSON"; writes key, event_id, what it says of which event, status

Of all methods, in all forms that clients use; a tenth is to be refused, and some are no events at all.
"""
import base64
import copy
import csv
import json
import random
import sys
import zlib

PARTITIONS = 12
SOURCE = "torture"
# The source may act at the first two; the third is a site, too.
NODES = ["a.example.org", "b.example.org", "c.example.org"]
STAMP = "2026-07-26T12:00:00.000000Z"
# What the models of today's API add to each item, each asset and each link.
UNSET_PROPERTIES = ["title", "description", "created", "updated", "providers", "platform", "instruments", "constellation", "mission", "gsd"]
UNSET_PATCH = ["type", "stac_version", "stac_extensions", "id", "geometry", "bbox", "properties", "links", "assets", "collection"]


def identifier(rng):
    return "%032x" % rng.getrandbits(128)


def location(node, dataset, file, **more):
    return {"href": f"https://{node}/data/{dataset}/{file}", "type": "application/netcdf", "alternate:name": node, **more}


def dump(document):
    """The document as the models write it: what is unset is null."""
    document = copy.deepcopy(document)
    for name in UNSET_PROPERTIES:
        document["properties"].setdefault(name, None)
    for asset in document["assets"].values():
        for name in ("title", "description", "bands"):
            asset.setdefault(name, None)
        for other in asset.get("alternate", {}).values():
            other.setdefault("description", None)
    for link in document["links"]:
        link.setdefault("title", None)
    document.setdefault("extent", None)
    return document


class Dataset:
    """What the maker remembers: its files, and which versions may be there."""

    def __init__(self, rng, number):
        self.base = f"CMIP6.CMIP.MPI-M.MODEL.historical.r{number}i1p1f1.Amon.tas.gn"
        self.node = rng.choice(NODES[:2])
        self.files = [f"tas_{number}_{part}.nc" for part in range(rng.choice([1, 2, 2, 3, 5, 12 if number % 50 else 200]))]
        self.published = []

    def item(self, rng, version):
        assets = {file: location(self.node, self.base, file, roles=["data"], protocol="https",
                                 **{"file:size": 1000 + index + version, "file:checksum": "1220" + "%064x" % zlib.crc32(f"{file}{version}".encode())})
                  for index, file in enumerate(self.files)}
        return {"type": "Feature", "stac_version": "1.1.0", "stac_extensions": [], "id": f"{self.base}.v2020010{version}", "collection": "CMIP6",
                "geometry": None if rng.random() < 0.5 else {"type": "Point", "coordinates": [1.50, -2e1]}, "bbox": [1.5, -20, 1.5, -20],
                "links": [{"rel": "about", "href": "https://example.org/\u00e4\u2028"}] if rng.random() < 0.5 else [], "assets": assets,
                "properties": {"datetime": None, "start_datetime": "1850-01-16T12:00:00Z", "end_datetime": "2014-12-16T12:00:00Z",
                               "cmip6:institution_id": "MPI-M", "latest": True, "retracted": False, "n": rng.randrange(1000) / 4,
                               "mixed": [None, {"a": 1, "b": None}], "text": "x" * rng.choice([10, 2000, 4000])}}


def event(rng, payload, **metadata):
    return {"metadata": {"auth": {"auth_policy_id": None, "requester_data": {"client_id": "portal", "iss": "https://aai.example.org", "sub": f"person-{rng.randrange(9)}"}},
                         "event_id": identifier(rng), "request_id": rng.choice(["", "again", identifier(rng)]),
                         "publisher": {"package": "esgcet", "version": "5.5.3"}, "time": "2026-07-17T09:18:58.880582", "schema_version": "1.0.0", **metadata},
            "data": {"type": "STAC", "payload": payload}}


def replica(dataset, node, when=STAMP):
    return {file: location(node, dataset.base, file, created=STAMP, updated=when) for file in dataset.files}


def operations(rng, dataset):
    """A JSON patch of one of today's clients."""
    other = NODES[1] if dataset.node == NODES[0] else NODES[0]
    file = rng.choice(dataset.files)
    title = {"op": rng.choice(["add", "replace"]), "path": "/properties/text", "value": f"text {rng.randrange(100)}"}
    return rng.choice([
        lambda: [title],
        lambda: [{"op": "add", "path": "/properties/extra", "value": rng.choice([None, 1.0, [], {"a": None}, "\u00fc"])}],
        lambda: [{"op": "add", "path": f"/assets/{file}/alternate/{other}", "value": entry} for file, entry in replica(dataset, other, f"20{rng.randrange(10, 99)}-01-01T00:00:00Z").items()],
        lambda: [{"op": "add", "path": f"/assets/{file}/alternate/{other}", "value": entry} for file, entry in replica(dataset, other).items()],
        lambda: [{"op": "remove", "path": f"/assets/{file}/alternate/{other}"} for file in dataset.files],
        lambda: [{"op": "add", "path": f"/assets/{file}/alternate/{other}", "value": entry} for file, entry in replica(dataset, other).items()],
        lambda: [{"op": "remove", "path": f"/assets/{file}/alternate/{other}"} for file in dataset.files],
        # The remove that a client library doubles, next to it and at the end.
        lambda: [{"op": "remove", "path": "/properties/text"}, {"op": "add", "path": "/properties/text", "value": None}],
        lambda: [{"op": "remove", "path": "/properties/n"}, title, {"op": "add", "path": "/properties/n", "value": None}],
        lambda: [{"op": "move", "path": "/properties/moved", "from_": "/properties/n"}],
        lambda: [{"op": "copy", "path": "/properties/copied", "from_": "/properties/text"}, {"op": "move", "path": "/properties/moved", "from": "/properties/copied"}],
        lambda: [{"op": "add", "path": "/links/-", "value": {"rel": "cite-as", "href": "https://example.org/cite", "type": "application/json"}}],
        lambda: [{"op": "add", "path": "/links/-", "value": {"rel": "related", "title": "Errata issue", "href": f"https://errata.example.org/{rng.randrange(3)}"}}],
        lambda: [{"op": "replace", "path": "/properties/latest", "value": False}, {"op": "replace", "path": "/properties/retracted", "value": True},
                 {"op": "replace", "path": "/assets", "value": {}}],
        lambda: [{"op": "replace", "path": "/properties/retracted", "value": False}],
        lambda: [{"op": "replace", "path": "/properties/latest", "value": False}],
        lambda: [{"op": "test", "path": "/properties/cmip6:institution_id", "value": "MPI-M"}, title],
    ])()


def merge(rng):
    """A merge patch as the models write it: what it does not speak of is null."""
    patch = dict.fromkeys(UNSET_PATCH)
    patch["properties"] = rng.choice([{"text": f"text {rng.randrange(100)}"}, {"n": None, "m": rng.randrange(9)}, {"deep": {"a": None, "b": 1}}])
    if rng.random() < 0.2:
        patch["bbox"] = [-10, -20, 10, 20]
    return patch


def refused(rng, dataset, version):
    """What the verbs refuse: a payload for each reason."""
    item_id = f"{dataset.base}.v2020010{version}"
    item, absent = dataset.item(rng, version), item_id + "9"
    foreign, wrong = copy.deepcopy(item), copy.deepcopy(item)
    foreign["id"] = wrong["id"] = f"{dataset.base}.v2021{rng.randrange(1000, 9999)}"
    for file, asset in foreign["assets"].items():
        asset.update(location(NODES[2], dataset.base, file))
    wrong["properties"]["start_datetime"] = 5.4
    patch = {"method": "PATCH", "collection_id": "CMIP6", "item_id": item_id}
    return rng.choice([
        {"method": "PATCH", "collection_id": "CMIP6", "item_id": absent, "patch": [{"op": "replace", "path": "/properties/text", "value": "x"}]},
        {"method": "PUT", "collection_id": "CMIP6", "item_id": absent, "item": {**item, "id": absent}},
        {"method": "DELETE", "collection_id": "CMIP6", "item_id": absent},
        {"method": "POST", "collection_id": "NOWHERE", "item": {**item, "collection": "NOWHERE"}},
        {"method": "POST", "collection_id": "CMIP6", "item": foreign},
        {"method": "POST", "collection_id": "CMIP6", "item": wrong},
        {"method": "POST", "collection_id": "CMIP6", "item": {**item, "links": 7}},
        {"method": "POST", "collection_id": "CMIP6", "item": "no object"},
        {"method": "PUT", "collection_id": "CMIP6", "item_id": absent, "item": item},
        {**patch, "patch": [{"op": "add", "path": f"/assets/{dataset.files[0]}/alternate/{NODES[2]}", "value": location(NODES[2], dataset.base, dataset.files[0])}]},
        {**patch, "patch": [{"op": "add", "path": f"/assets/{dataset.files[0]}/alternate/{NODES[0]}", "value": location(NODES[1], dataset.base, dataset.files[0])}]},
        {**patch, "patch": [{"op": "add", "path": f"/assets/{dataset.files[0]}", "value": {"alternate": {NODES[1]: location(NODES[1], dataset.base, dataset.files[0])}}}]},
        {**patch, "patch": [{"op": "add", "path": "/links", "value": {"rel": "cite-as", "href": "https://example.org"}}]},
        {**patch, "patch": [{"op": "remove", "path": "/properties/nothing/there"}]},
        {**patch, "patch": [{"op": "test", "path": "/properties/text", "value": "something else"}]},
        {**patch, "patch": [{"op": "frobnicate", "path": "/properties/text"}]},
        {**patch, "patch": {"id": item_id, "patch": [{"op": "remove", "path": "/links/0"}]}},
        {**patch, "patch": dict.fromkeys(UNSET_PATCH)},
        {**patch, "patch": 5},
        {**patch, "patch": []} if rng.random() < 0.3 else {**patch, "patch": [1]},
    ])


def damaged(rng, whole):
    """An event that lacks what each must have."""
    whole = copy.deepcopy(whole)
    metadata, data = whole["metadata"], whole["data"]
    requester, payload = metadata["auth"]["requester_data"], data["payload"]
    name = rng.choice(["sub", "iss", "client_id"])
    rng.choice([
        lambda: requester.pop(name),
        lambda: requester.update({name: rng.choice([None, "", 7, ["x"]])}),
        lambda: metadata.update(event_id=rng.choice([None, "", 7, {}])),
        lambda: metadata.pop("event_id"),
        lambda: metadata.update(auth=rng.choice([None, [], "x"])),
        lambda: metadata["auth"].pop("requester_data"),
        lambda: whole.pop(rng.choice(["metadata", "data"])),
        lambda: data.update(payload=rng.choice([None, [], "x"])),
        lambda: data.pop("payload"),
        lambda: payload.pop("method"),
        lambda: payload.update(method=rng.choice([None, "", "GET", "patch", "RETRACT", "CHECK", "UPSERT", "ADD_REPLICA", 7])),
        lambda: payload.pop("collection_id"),
        lambda: payload.update(collection_id=rng.choice([None, 7])),
        lambda: payload.pop("item", payload.pop("patch", payload.pop("method", None))),
    ])()
    return whole


UNREADABLE = [None, b"no JSON", b"{", b'{"metadata": {"event_id": "\\u0000"}}', b'{"a": "\\ud800"}', b'{"a": "\xff"}', b"\xef\xbb\xbf{}", b"[" * 100000, b'{"a": NaN}',
              b'{"a": 1e1000000}', b"{'a': 1}", b'{"a": 1} {"a": 2}', b"\x01", b'{"a":1}'[:-1] + b",}"]
SCALARS = [b"null", b"7", b'"text"', b"[]", b"{}", b"[{}]", b"true", b'{"metadata": null, "data": 1e400}']


def encoded(rng, value):
    return json.dumps(value, ensure_ascii=rng.random() < 0.5, separators=(",", ":")).encode()


def asked(rng, dataset):
    """What a client asks of a dataset: a payload."""
    version = rng.choice(dataset.published or [1])
    item_id = f"{dataset.base}.v2020010{version}"
    patch = {"method": "PATCH", "collection_id": "CMIP6", "item_id": item_id}
    draw = rng.random()
    if not dataset.published or draw < 0.15:
        version = max(dataset.published, default=0) % 4 + 1
        dataset.published.append(version)
        payload = {"method": "POST", "collection_id": "CMIP6", "item": dump(dataset.item(rng, version))}
        return {**payload, "item_id": payload["item"]["id"]} if rng.random() < 0.5 else payload
    if draw < 0.2:
        return {**patch, "method": "PUT", "item": dump(dataset.item(rng, version))}
    if draw < 0.65:
        return {**patch, "patch": operations(rng, dataset), "unknown": {"to": "us"}}
    if draw < 0.7:
        return {**patch, "patch": {"operations": operations(rng, dataset)}}
    if draw < 0.88:
        return {**patch, "patch": merge(rng)}
    if draw < 0.92:
        if rng.random() < 0.8:
            dataset.published.remove(version)
        return {"method": "DELETE", "collection_id": "CMIP6", "item_id": item_id}
    return refused(rng, dataset, version)


def repeated(rng, value):
    """An event once more; or its event_id with something else."""
    if rng.random() < 0.8:
        return value
    other = json.loads(value)
    other["data"]["payload"] = {"method": "DELETE", "collection_id": "CMIP6", "item_id": "something.else"}
    return encoded(rng, other)


def make(rng, count):
    """(partition, key, value or None, kind) of each event in turn."""
    datasets, events = [], []
    while len(events) < count:
        if not datasets or rng.random() < 0.12:
            datasets.append(Dataset(rng, len(datasets)))
        dataset, earlier = rng.choice(datasets[-60:]), rng.choice(events[-200:] or [None])
        draw = rng.random()
        # What an event that is spoilt below asks is not done.
        payload = asked(rng, dataset if draw >= 0.11 else copy.deepcopy(dataset))
        item = payload.get("item")
        key, kind, value = payload.get("item_id") or (item["id"] if isinstance(item, dict) else dataset.base), "event", encoded(rng, event(rng, payload))
        if draw < 0.04:
            kind, value = "damaged", rng.choice(SCALARS) if rng.random() < 0.2 else encoded(rng, damaged(rng, json.loads(value)))
        elif draw < 0.06:
            kind, value = "unreadable", rng.choice(UNREADABLE)
        elif draw < 0.11 and earlier and earlier[3] == "event":
            key, value = earlier[1], repeated(rng, earlier[2])
        # A key has its partition; but once there were more of them, or fewer.
        partition = zlib.crc32(str(key).encode()) % PARTITIONS if rng.random() < 0.97 else rng.randrange(PARTITIONS)
        events.append((partition, key if rng.random() < 0.98 else None, value, kind))
    return events


# ---------------------------------------------------------------- what they ask


def without_nulls(value):
    """Unset optional fields are not there; a null in an array is an element."""
    if isinstance(value, dict):
        return {name: without_nulls(member) for name, member in value.items() if member is not None}
    if isinstance(value, list):
        return [None if member is None else without_nulls(member) for member in value]
    return value


def without_unset(item):
    if not isinstance(item, dict):
        return item
    kept = without_nulls(item)
    if "geometry" in item:
        kept["geometry"] = item["geometry"]
    if isinstance(item.get("properties"), dict) and "datetime" in item["properties"]:
        kept["properties"]["datetime"] = item["properties"]["datetime"]
    return kept


def plain_operations(patch):
    """The operations as RFC 6902 writes them."""
    return [{("from" if name == "from_" else name): member for name, member in operation.items()} if isinstance(operation, dict) else operation for operation in patch]


def plain_patch(patch):
    """The patch without what says nothing; None if that is all of it."""
    if isinstance(patch, list):
        return plain_operations(patch)
    if not isinstance(patch, dict):
        return patch
    if patch.keys() == {"operations"} and isinstance(patch["operations"], list):
        return plain_operations(patch["operations"])
    said = {name: member for name, member in patch.items() if member is not None or name not in UNSET_PATCH}
    return said if any(member is not None for member in patch.values()) else None


def request_of(payload):
    """The request to transact(), or none if the event is refused for its form."""
    request = {name: payload[name] for name in ("method", "collection_id", "item_id") if name in payload}
    if "item" in payload:
        request["item"] = without_unset(payload["item"])
    if "patch" in payload:
        request["patch"] = plain_patch(payload["patch"])
        if request["patch"] is None:
            return None
    return request


def requests(folder, order, output):
    events = {}
    for line in open(f"{folder}/events", encoding="utf-8"):
        made = json.loads(line)
        events[made["partition"], made["offset"]] = made
    first = {}
    for number, line in enumerate(order):
        made = events[tuple(map(int, line.split()))]
        repeats = identity = request = None
        if made["kind"] == "event":
            whole = json.loads(base64.b64decode(made["value"]))
            metadata = whole["metadata"]
            repeats = first.setdefault(metadata["event_id"], number)
            repeats = None if repeats == number else repeats
            identity = {**metadata["auth"]["requester_data"], "request_id": metadata["request_id"], "publisher": metadata["publisher"],
                        "auth_policy_id": metadata["auth"]["auth_policy_id"], "principals": [f"source:{SOURCE}"]}
            identity = {name: member for name, member in identity.items() if member is not None}
            request = request_of(whole["data"]["payload"])
        output.writerow([number, made["partition"], made["offset"], repeats, json.dumps(identity) if request else None, json.dumps(request) if request else None])


# ---------------------------------------------------------------- what came back


def results(lines, output):
    from esgf_core_utils.models.kafka.events import KafkaErrorEvent, KafkaSuccessEvent

    for line in lines:
        key, text = line.rstrip("\n").split("\t", 1)
        sent = json.loads(text)
        result = (KafkaErrorEvent if "error" in sent else KafkaSuccessEvent).model_validate_json(text)
        assert result.metadata.time.tzinfo is not None, "no offset"
        original, payload = result.original_event, result.data.payload
        output.writerow([key, result.metadata.event_id, original.partition, original.offset, original.event_id, result.error.status if "error" in sent else None,
                         sent["data"]["payload"].get("original_method", payload.method), payload.collection_id, payload.item_id])


def main():
    output = csv.writer(sys.stdout, lineterminator="\n")
    if sys.argv[1] == "make":
        count, parts, folder = int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
        offsets = [0] * PARTITIONS
        with open(f"{folder}/events", "w", encoding="utf-8") as file:
            for number, (partition, key, value, kind) in enumerate(make(random.Random(int(sys.argv[2])), count)):
                file.write(json.dumps({"partition": partition, "offset": offsets[partition], "key": key, "kind": kind,
                                       "value": None if value is None else base64.b64encode(value).decode()}) + "\n")
                offsets[partition] += 1
                with open(f"{folder}/{number * parts // count}.{partition}", "ab") as part:
                    part.write((key or "").encode() + b"\t" + (value or b"") + b"\n")
    elif sys.argv[1] == "requests":
        requests(sys.argv[2], sys.stdin, output)
    else:
        results(sys.stdin, output)


if __name__ == "__main__":
    main()
