"""What the federation's own models read in lines of the relay's --format esgf.

    esgf_events.py < LINES      CSV: the version of esgf-core-utils, method, item id

Ends with an error at the first line that they refuse, or read as something else
than it says.
"""
import csv
import json
import sys
from importlib.metadata import version

try:
    from esgf_core_utils.models.kafka.events import CreatePayload, KafkaEvent, PatchPayload
except ImportError:  # before 1.0.7
    from esgf_core_utils.models.kafka import CreatePayload, KafkaEvent, PatchPayload


def item_id(payload, sent):
    """The item, and that the East consumer would send on what was sent."""
    if sent["method"] == "POST":
        assert isinstance(payload, CreatePayload), "a POST is no CreatePayload"
        posted = json.loads(payload.item.model_dump_json(exclude_unset=True, exclude_defaults=True))
        assert posted["assets"].keys() == sent["item"]["assets"].keys(), "assets are lost"
        return payload.item.id
    assert isinstance(payload, PatchPayload), "a PATCH is no PatchPayload"
    assert [operation.model_dump() for operation in payload.patch] == sent["patch"], "operations are lost"
    return payload.item_id


def main():
    output = csv.writer(sys.stdout, lineterminator="\n")
    for number, line in enumerate(sys.stdin, 1):
        try:
            data = json.loads(line)
            event = KafkaEvent.model_validate(data)
            assert event.metadata.time.tzinfo is not None, "no offset"
            sent = data["data"]["payload"]
            output.writerow([version("esgf-core-utils"), sent["method"], item_id(event.data.payload, sent)])
        except Exception as problem:
            sys.exit(f"line {number}: {problem!r:.500}".replace("\n", " "))


if __name__ == "__main__":
    main()
