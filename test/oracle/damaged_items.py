"""Damaged STAC items, and what stac-pydantic says of them.

    damaged_items.py generate COUNT [FOLDER]   CSV: n, damage, document
    damaged_items.py judge                     CSV n, document -> CSV n, refused, reason

The first tenth of the items is left whole (damage is empty). Every fourth is
made from a captured item of FOLDER, if it is given. Item n depends on nothing
but n, so a failure can be looked at alone.
"""
import copy
import csv
import glob
import json
import os
import random
import sys
import warnings

SCALARS = [None, True, False, 0, -1, 1.5, 10**400, "", "x", "1", "null", [], {}, [None], {"": None}, ["x"], [[]]]

TIMES = [
    "2020-01-01T00:00:00Z", "2020-01-01t00:00:00z", "2020-01-01 00:00:00Z", "2020-01-01T00:00:60Z",
    "2016-12-31T23:59:60Z", "2020-01-01T00:00Z", "2020-01-01T00:00:00.123456789012Z", "2020-01-01T00:00:00.Z",
    "2020-01-01T00:00:00,5Z", "2020-01-01T00:00:00+0100", "2020-01-01T00:00:00+01", "2020-01-01T00:00:00-00:00",
    "2020-01-01T00:00:00+23:59", "2020-01-01T00:00:00+24:00", "2020-01-01T00:00:00-01:60", "0000-01-01T00:00:00Z",
    "0001-01-01T00:00:00Z", "0001-01-01T00:59:00+01:00", "0001-01-01T01:00:00+01:00", "9999-12-31T23:00:00-01:00",
    "9999-12-31T22:59:59-01:00", "9999-12-31T23:59:59.9999999Z", "2020-02-30T00:00:00Z", "2019-02-29T00:00:00Z",
    "2020-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2000-02-29T00:00:00Z", "2020-04-31T00:00:00Z", "2020-01-01",
    "2020-01-01T00:00:00", "1577836800", "20200101T000000Z", "2020-13-01T00:00:00Z", "2020-00-01T00:00:00Z",
    "2020-01-00T00:00:00Z", "2020-01-32T00:00:00Z", "2020-01-01T24:00:00Z", "2020-01-01T23:60:00Z",
    "10000-01-01T00:00:00Z", "-0001-01-01T00:00:00Z", " 2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z ",
    "2020-01-01T00:00:00 Z", "2020-01-01T00:00:00ZZ", "2020-01-01T00:00:00+ 1:00", "2020-1-1T0:0:0Z", "２020-01-01T00:00:00Z",
    "2020-01-01T00:00:00−01:00", "2020/01/01T00:00:00Z", "2020-01-01T00.00.00Z", "now", "", 1577836800, 1e9, True,
]

URLS = [
    "https://stac-extensions.github.io/file/v2.1.0/schema.json", "http://host.docker.internal/cmip6/v2.0.1/schema.json",
    "HTTPS://Example.ORG", "http://a", "http://a?q", "http://a#f", "http://a:80/", "http://1.2.3.4/", "http://a.b.",
    "http://a_b-c/", "foo", "eo", "/schema.json", "//host/x", "https://", "https:///x", "http://exa mple/", "http://1.2.3.999/",
    "http://1.2.3/", "http://1.2.3.4.5/", "http://01.2.3.4/", "http://08/", "http://0x1/", "http://a.1/", "http://a.0x1/", "http://a.0xg/",
    "http://a.1./", "http://1a/", "http://xn--a/", "http://xn--bcher-kva.example/", "http://bücher.example/", "http://a..b/",
    "http://.a/", "http://-a-/", "http://a:65535/", "http://a:65536/", "http://a:99999999999/", "http://a:/", "http://a:80x/",
    "http://a:x", "http:foo", "http:/foo", "urn:ogc:def", "urn:", "mailto:x", "file:///x", "file://h/x", "ftp://x/", "ws://h",
    "1x:z", "x y:z", "http://[::1]/", "http://[::1/", "http://u:p@h/", "http://@h/", "http://u@/", "http://a%20b/", "http://a%41/",
    "http://a/ b", "http://a/\x01", "http://a\\b", "http://a|b/", "http://a<b/", "http://a^b/", " http://a/", "foo://x y/", "foo://",
    "http://a/%zz", "http://" + "a" * 300 + "/", "", None, 1, [], {},
]

VERSIONS = [
    "1.0.0", "1.1.0", "1.0.1", "1.1.0-beta.1", "1.0.0-rc.1", "1.0.0-", "1.0.0-01", "1.0.0-a..b", "1.0.0-a.", "1.0.0-0a", "1.0.0-a-b",
    "1.0.0+x", "1.0", "1", "1.0.0.0", "01.0.0", "1.00.0", "1.0.00", "0.9.0", "1.2.0", "2.0.0", "v1.0.0", "1.0.x", " 1.0.0", "1.0.0 ",
    "1.0.0\n", "१.0.0", "", None, 1.0,
]

IDS = ["a/b", "a?b", "a#b", "a\tb", "a\x7fb", "a\u0085b", "a b", "é", "", "x" * 255, "x" * 256, None, 1, [], "..", "collection"]

BBOXES = [
    [0, 0, 0, 0], [5, 0, -5, 0], [0, 5, 0, -5], [0, 0, 5, 0, 0, -5], [0, 0, 0, 0, 0, 0], [0, 0, 0], [0, 0, 0, 0, 0], [0] * 7, [],
    ["0", 0, 0, 0], [True, 0, 0, 0], [None, 0, 0, 0], [10**400, 0, 0, 0], [[0], 0, 0, 0], {}, "0,0,0,0", None, 0, [0, 0, 0, {}],
]

# What can stand in the place of a position, a line, or any coordinates.
COORDINATES = [
    [], [0], [0, 0], [0, 0, 0], [0, 0, 0, 0], ["0", 0], [True, 0], [None, 0], [10**400, 0], [0, "x"], {}, None, 0, "0 0",
    {"longitude": 0, "latitude": 0}, [[]], [[0, 0]], [[0, 0], [1, 1]], [[0, 0], [1, 0], [1, 1], [0, 0]],
    [[0, 0], [1, 0], [1, 1], [0, 1]], [[0, 0], [1, 0], [1, 1], [0.0, 0.0, 0]], [[0, 0], [1, 0], [0, 0]], [[[]]],
    [[[0, 0], [1, 0], [1, 1], [0, 0]]], [[[0, 0], [1, 0], [1, 1], [0, 1]]], [[[[0, 0], [1, 0], [1, 1], [0, 0]]]],
    [[[[0, 0], [1, 0], [1, 1], [5, 0]]]], [[0, 0, 0], [1, 1]], [[[0, 0], [1, 1]], [[0, 0]]],
]

def nested(levels):
    made = {"type": "Point", "coordinates": [0, 0]}
    for _ in range(levels):
        made = {"type": "GeometryCollection", "geometries": [made]}
    return made


def mixed():
    """A collection with and without altitudes."""
    points = [{"type": "Point", "coordinates": numbers} for numbers in ([0, 0], [0, 0, 0])]
    return {"type": "GeometryCollection", "geometries": points}


SIZES = [0, -1, 1e-300, "1", 10**400, True]

GEOMETRIES = [
    nested(31), nested(32), nested(33), nested(250), nested(260), mixed(), {"type": "point", "coordinates": [0, 0]},
    {"type": "Point"}, {"type": "GeometryCollection"}, {"type": "GeometryCollection", "coordinates": [0, 0]}, {"coordinates": [0, 0]},
]

GEOMETRY_TYPES = ["Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon"]


def position(rng, altitude):
    numbers = [rng.choice([0, 357.5, -180.0, 1e-7, rng.uniform(-180, 180)]), rng.choice([-90, 90, rng.uniform(-90, 90)])]
    return numbers + [rng.choice([0, -11000.5, 8848])] if altitude else numbers


def line(rng, altitude, least=2):
    return [position(rng, altitude) for _ in range(rng.randint(least, least + 3))]


def ring(rng, altitude):
    positions = line(rng, altitude, 3)
    return positions + [list(positions[0])]


def several(rng, make, altitude):
    return [make(rng, altitude) for _ in range(rng.randint(0, 3))]


def polygon(rng, altitude):
    return several(rng, ring, altitude)


def geometry(rng, depth=0, altitude=None):
    altitude = rng.random() < 0.3 if altitude is None else altitude
    kind = rng.choice(GEOMETRY_TYPES + ["GeometryCollection"] * (depth < 3))
    if kind == "GeometryCollection":
        # An empty geometry has no altitude, and a collection is not to mix.
        return {"type": kind, "geometries": [geometry(rng, depth + 1, False) for _ in range(rng.randint(0, 3))]}
    coordinates = {
        "Point": lambda: position(rng, altitude),
        "MultiPoint": lambda: several(rng, position, altitude),
        "LineString": lambda: line(rng, altitude),
        "MultiLineString": lambda: several(rng, line, altitude),
        "Polygon": lambda: polygon(rng, altitude),
        "MultiPolygon": lambda: several(rng, polygon, altitude),
    }[kind]()
    made = {"type": kind, "coordinates": coordinates}
    if rng.random() < 0.2:
        made["bbox"] = rng.choice([None, [-1, -1, 1, 1], [170, 0, 0, -170, 0, 0]])
    return made


def asset(rng):
    made = {"href": "https://esgf-data.dkrz.de/thredds/tas.nc"}
    if rng.random() < 0.7:
        made |= {"type": "application/netcdf", "roles": ["data"], "alternate:name": "esgf-data.dkrz.de", "file:size": 4096}
    if rng.random() < 0.5:
        made |= {"title": None, "description": "HTTPServer Link"}
    if rng.random() < 0.4:
        made["alternate"] = {
            node: {"href": "https://%s/tas.nc" % node, "alternate:name": node} for node in ("ceda.ac.uk", "esgf.nci.org.au")
        }
    return made


def well_formed(rng):
    """An item that uses what STAC has."""
    item_id = "CMIP6.CMIP.MOHC.UKESM1-0-LL.historical.r%di1p1f2.Amon.tas.gn.v20200805" % rng.randint(1, 99)
    properties = {"datetime": None, "start_datetime": "1850-01-16T12:00:00Z", "end_datetime": "2014-12-16T12:00:00+01:00"}
    if rng.random() < 0.3:
        properties = {"datetime": "1850-01-16T12:00:00.5Z"}
    properties |= {"title": "tas", "latest": True, "retracted": False, "cmip6:variable_id": "tas", "created": "2026-01-01T00:00:00Z"}
    if rng.random() < 0.4:
        properties |= {
            "updated": None, "license": "CC-BY-4.0", "platform": "model", "instruments": ["a"], "gsd": 0.5, "mission": "CMIP6",
            "constellation": None, "description": "x",
            "providers": [{"name": "MOHC", "roles": ["producer"], "url": "https://x.org", "description": None}, {"name": "x"}],
        }
    item = {
        "type": "Feature", "stac_version": rng.choice(["1.0.0", "1.1.0"]), "id": item_id, "collection": "CMIP6",
        "stac_extensions": [URLS[0]], "geometry": None, "properties": properties,
        "links": [{"rel": "self", "href": "https://x.org/" + item_id, "type": "application/geo+json", "title": None, "x": [1]}],
        "assets": {"tas_%d.nc" % i: asset(rng) for i in range(rng.randint(0, 4))},
    }
    if rng.random() < 0.8:
        item["geometry"] = geometry(rng)
        item["bbox"] = rng.choice([[0, -90, 357.5, 90], [-180.0, -90.0, 0, 180, 90.0, 1e4]])
    return item


def captured(folder):
    """Items as a catalogue would hand them on: what the database fills in is there."""
    items = []
    for path in sorted(glob.glob(os.path.join(folder, "*.json"))):
        with open(path, encoding="utf-8") as file:
            items.append({"collection": "CMIP6", "links": []} | json.load(file))
    return items


def places(value, path=()):
    """Every place in a document below its root, as paths."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield path + (key,)
        yield from places(child, path + (key,))


def parent_of(item, path):
    for key in path[:-1]:
        item = item[key]
    return item


def pool_for(path):
    """What may stand at a path besides any value at all."""
    name = path[-1]
    if path[0] == "properties" and name in ("datetime", "start_datetime", "end_datetime", "created", "updated"):
        return TIMES
    if path[0] == "stac_extensions" and len(path) == 2:
        return URLS
    if name == "stac_version":
        return VERSIONS
    if name in ("id", "collection") and len(path) == 1:
        return IDS
    if name == "bbox":
        return BBOXES
    if "coordinates" in path:
        return COORDINATES
    if name == "gsd":
        return SIZES
    if name == "geometry":
        return GEOMETRIES
    return SCALARS


def choose_place(rng, item):
    """A kind of value first, or a member of the item, then a place of it: else assets would take all the damage."""
    groups = {}
    for path in places(item):
        groups.setdefault(path[0], []).append(path)
        if pool_for(path) is not SCALARS:
            groups.setdefault(id(pool_for(path)), []).append(path)
    return rng.choice(rng.choice(list(groups.values())))


def damage(rng, item):
    """Change one place; say what was done."""
    path = choose_place(rng, item)
    parent = parent_of(item, path)
    how = rng.random()
    if how < 0.12:
        del parent[path[-1]]
        return "remove /%s" % "/".join(map(str, path))
    if how < 0.16 and isinstance(parent, dict) and isinstance(path[-1], str):
        parent[path[-1].capitalize() + "_"] = parent.pop(path[-1])
        return "rename /%s" % "/".join(map(str, path))
    if how < 0.2 and isinstance(parent, list):
        parent.append(copy.deepcopy(parent[path[-1]]))
        return "repeat /%s" % "/".join(map(str, path))
    value = rng.choice(rng.choice([SCALARS, pool_for(path), pool_for(path)]))
    parent[path[-1]] = copy.deepcopy(value)
    return "set /%s to %s" % ("/".join(map(str, path)), json.dumps(value)[:60])


def generate(count, folder=None):
    sys.setrecursionlimit(10000)  # for deepcopy
    writer = csv.writer(sys.stdout, lineterminator="\n")
    bases = captured(folder) if folder else []
    for n in range(count):
        rng = random.Random("esgf_stac %d" % n)
        item = copy.deepcopy(rng.choice(bases)) if bases and n % 4 == 3 else well_formed(rng)
        damages = []
        if n >= count // 10:
            for _ in range(rng.choice([1, 1, 1, 1, 2])):
                damages.append(damage(rng, item))
        writer.writerow([n, "; ".join(damages), json.dumps(item, ensure_ascii=False)])


def judge():
    from stac_pydantic import Item

    warnings.simplefilter("ignore")
    csv.field_size_limit(2**30)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    for n, document in csv.reader(sys.stdin):
        reason = ""
        try:
            Item.model_validate(json.loads(document))
        except Exception as error:  # whatever it is, the consumer stops
            reason = "%s: %s" % (type(error).__name__, " ".join(str(error).split())[:200])
        writer.writerow([n, bool(reason), reason])


if __name__ == "__main__":
    sys.stdin.reconfigure(encoding="utf-8")
    sys.stdout.reconfigure(encoding="utf-8")
    if sys.argv[1] == "generate":
        generate(int(sys.argv[2]), *sys.argv[3:4])
    else:
        judge()
