import json
from pathlib import Path


class ConfigEntry:
    def __init__(self, **fields):
        self.fields = fields
        self.entry_id = "1"

    def add_to(self, hub):
        hub.entries.append(self)


def load_json(name):
    return json.loads(Path(__file__).with_name(name).read_text())
