"""pystac-client against the application at URL, with TOKEN: it reads, and makes, changes and deletes an item."""

import sys

import pystac
from pystac_client import Client
from pystac_client.exceptions import APIError

url, token = sys.argv[1:]
ITEM = {
    "type": "Feature",
    "stac_version": "1.1.0",
    "id": "client.v1",
    "geometry": None,
    "properties": {"datetime": "1850-01-16T12:00:00Z"},
    "links": [],
    "assets": {"f.nc": {"href": "https://a.org/f.nc", "roles": ["data"], "alternate:name": "a.org"}},
}


def refusal(call, *arguments):
    try:
        call(*arguments)
    except APIError as error:
        return error.status_code


client = Client.open(url, headers={"Authorization": f"Bearer {token}"})
[collection] = client.get_collections()
assert collection.id == client.get_collection(collection.id).id == "CMIP6"
collection.validate()

item = collection.create_item(ITEM)
assert item.properties["latest"] and refusal(collection.create_item, ITEM) == 409
assert (item.get_parent().id, item.get_collection().id) == ("CMIP6", "CMIP6")
item.properties["title"] = "replaced"
assert collection.update_item(item).properties["title"] == "replaced"
assert collection.patch_item(item.id, {"properties": {"title": "patched"}}).properties["title"] == "patched"
assert refusal(collection.patch_item, "none", {}) == 404

[page, last] = client._stac_io.get_pages(collection.get_single_link("items").href + "?limit=2")
found = pystac.ItemCollection.from_dict(page).items + pystac.ItemCollection.from_dict(last).items
assert [each.id for each in found] == ["CMIP6.a.v1", "CMIP6.b.v1", item.id]
read = pystac.Item.from_file(item.get_self_href(), stac_io=client._stac_io)
read.validate()
assert read.properties["title"] == "patched" and read.get_self_href().startswith(url)

collection.delete_item(item.id)
assert refusal(collection.delete_item, item.id) == 404
print("done")
