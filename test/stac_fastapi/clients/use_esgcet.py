"""esgcet's client of the federation's API, against the application at URL, with TOKEN: what it takes for done.

Its operations are those of esgpublish, esgstacaddrep and esgunpublish."""

import sys
from importlib.util import find_spec
from types import ModuleType

# The package itself imports all that reads NetCDF; its client needs none of that.
folders, package = find_spec("esgcet").submodule_search_locations, ModuleType("esgcet")
package.__path__, package.__version__ = folders, "5.5.3"
sys.modules["esgcet"] = package

from esgcet.stac.stac_client import EGITransactionClient  # noqa: E402

url, token = sys.argv[1:]
ID, ORIGIN, REPLICA = "CMIP6.esgcet.v1", "a.org", "b.org"


def bearer(request):
    request.headers["Authorization"] = f"Bearer {token}"
    return request


client = EGITransactionClient({"stac_api": url, "silent": True})
client.auth = bearer
links = {
    "self": f"/collections/CMIP6/items/{ID}",
    "parent": "/collections/CMIP6",
    "collection": "/collections/CMIP6",
    "root": "/collections",
}
file = {"type": "application/netcdf", "roles": ["data"], "protocol": "https", "file:size": 1}
item = {
    "type": "Feature",
    "stac_version": "1.1.0",
    "stac_extensions": [],
    "id": ID,
    "collection": "CMIP6",
    "geometry": None,
    "properties": {"datetime": "1850-01-16T12:00:00Z", "latest": True, "retracted": False},
    "links": [{"rel": rel, "type": "application/json", "href": url + path} for rel, path in links.items()],
    "assets": {"f.nc": file | {"href": f"https://{ORIGIN}/f.nc", "alternate:name": ORIGIN}},
}
replica = {"op": "add", "path": f"/assets/f.nc/alternate/{REPLICA}"}
replica["value"] = {"href": f"https://{REPLICA}/f.nc", "alternate:name": REPLICA, "roles": ["data"]}
retraction = [
    {"op": "replace", "path": "/properties/latest", "value": False},
    {"op": "replace", "path": "/properties/retracted", "value": True},
    {"op": "replace", "path": "/assets", "value": {}},
]
answers = {
    "publish": client.publish(item),
    "publish again": client.publish(item),
    "replicate": client.json_patch("CMIP6", ID, [replica]),
    "retract": client.json_patch("CMIP6", ID, retraction),
    "retract what is not there": client.json_patch("CMIP6", "none", retraction),
}
print(", ".join(f"{name}: {'done' if done else 'failed'}" for name, done in answers.items()))
