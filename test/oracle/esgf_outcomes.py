"""What the federation's own models read in outcome events.

    esgf_outcomes.py < LINES      CSV: success or error, method, item id, status, type

Ends with an error at the first line that they refuse, or whose event they would
tell as another kind.
"""
import csv
import json
import sys

from esgf_core_utils.models.kafka.events import KafkaErrorEvent, KafkaSuccessEvent


def main():
    output = csv.writer(sys.stdout, lineterminator="\n")
    for number, line in enumerate(sys.stdin, 1):
        try:
            data = json.loads(line)
            model = KafkaErrorEvent if "error" in data else KafkaSuccessEvent
            event = model.model_validate(data, strict=False)
            assert event.metadata.time.tzinfo is not None, "no offset"
            assert event.metadata.publisher.package == "esgf_stac", "another publisher"
            payload = event.data.payload
            told = ("error", event.error.status, event.error.type) if "error" in data else ("success", "", "")
            output.writerow([told[0], payload.method, payload.item_id, *told[1:]])
        except Exception as problem:
            sys.exit(f"line {number}: {problem!r:.500}".replace("\n", " "))


if __name__ == "__main__":
    main()
