"""The JSON Schema of config.yaml for editors, with `defaults` and `${NAME}` in it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from monitor.config.settings import DatabaseDefaults, Settings
from monitor.lib.text import Secret
from monitor.lib.times import write_duration

_REFERENCE = r"\$\{.+\}"


class _Generator(GenerateJsonSchema):
    def encode_default(self, dft: Any) -> Any:
        """Durations as a person writes them into the file; the secrets that have a default are empty."""
        if isinstance(dft, Secret):
            return dft.reveal()
        if isinstance(dft, tuple):
            return [self.encode_default(one) for one in dft]
        return write_duration(dft) if isinstance(dft, timedelta) else super().encode_default(dft)


def file_schema() -> dict[str, Any]:
    """JSON Schema 2020-12. What it accepts may still be refused: two databases of one name, a URL that is none."""
    described = Settings.model_json_schema(mode="validation", schema_generator=_Generator)
    described["properties"]["defaults"] = DatabaseDefaults.model_json_schema(schema_generator=_Generator)
    described.pop("required", None)  # the environment may give what the file leaves out
    described["title"] = "upstash-monitor config.yaml"
    allowed: dict[str, Any] = _with_variables(described)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **allowed}


def _with_variables(node: Any) -> Any:
    """Allow a text with a variable where a number, a switch, a duration or one of a few words is wanted."""
    if isinstance(node, list):
        return [_with_variables(item) for item in node]
    if not isinstance(node, dict):
        return node
    if isinstance(node.get("enum"), list) or node.get("type") in ("integer", "boolean"):
        about = {key: node[key] for key in ("title", "description", "default") if key in node}
        rest = {key: value for key, value in node.items() if key not in about}
        return {**about, "anyOf": [rest, {"type": "string", "pattern": _REFERENCE}]}
    if node.get("type") == "string" and "pattern" in node:
        return {**node, "pattern": f"{node['pattern']}|{_REFERENCE}"}
    return {key: _with_variables(value) for key, value in node.items()}
