"""The parameters of one API call: JSON, form, multipart or query, as Telegram takes them."""

from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
from aiohttp import web

from ai_engine.domain.message import Json
from ai_engine.simulators.files import FILE_BYTES_MAX, SharedFile


class ApiError(Exception):
    """A call that Telegram refuses."""

    def __init__(self, status: int, description: str, **parameters: Any) -> None:
        super().__init__(description)
        self.status = status
        self.description = description
        self.parameters = parameters


def bad(description: str, **parameters: Any) -> ApiError:
    """HTTP 400."""
    return ApiError(400, f"Bad Request: {description}", **parameters)


@dataclass(slots=True)
class Params:
    """Values by name. Objects and numbers may come as text, since forms have nothing else."""

    values: Json
    files: dict[str, SharedFile] = field(default_factory=dict[str, SharedFile])

    def text(self, name: str) -> str:
        found = self.values.get(name)
        return "" if found is None else str(found)

    def number(self, name: str, default: int | None = None) -> int:
        """Raises ApiError: absent without a default, or no number."""
        found = self.values.get(name)
        if found is None or found == "":
            if default is None:
                raise bad(f"parameter {name} is required")
            return default
        try:
            return int(found)
        except (ValueError, TypeError) as error:
            raise bad(f"parameter {name} must be a number") from error

    def json(self, name: str) -> Any:
        """An object or list, parsed if it came as text; None when absent. Raises ApiError."""
        found = self.values.get(name)
        if not isinstance(found, str):
            return found
        if not found:
            return None
        try:
            return msgspec.json.decode(found)
        except msgspec.DecodeError as error:
            raise bad(f"can't parse {name} JSON object") from error

    def record(self, name: str) -> Json:
        """An object; {} when absent. Raises ApiError."""
        found = self.json(name)
        if found is None:
            return {}
        if not isinstance(found, dict):
            raise bad(f"can't parse {name} JSON object")
        return cast("Json", found)

    def flag(self, name: str) -> bool:
        return str(self.values.get(name, "")).lower() in ("true", "1")

    def file(self, name: str) -> SharedFile | str:
        """An uploaded file, or what names one (a file id or an URL). Raises ApiError."""
        given = self.text(name)
        attached = given.removeprefix("attach://") if given.startswith("attach://") else name
        found = self.files.get(attached) or given
        if not found:
            raise bad(f"there is no {name} in the request")
        return found


async def read_params(request: web.Request) -> Params:
    """Raises ApiError."""
    values: Json = dict(request.query)
    if request.content_type == "application/json":
        try:
            body = msgspec.json.decode(await request.read() or b"{}")
        except msgspec.DecodeError as error:
            raise bad("can't parse JSON object") from error
        if not isinstance(body, dict):
            raise bad("JSON object expected")
        return Params({**values, **cast("Json", body)})
    files: dict[str, SharedFile] = {}
    for name, value in (await request.post()).items():
        if isinstance(value, str):
            values[name] = value
            continue
        if isinstance(value, web.FileField):
            files[name] = SharedFile(
                kind="file",
                name=value.filename,
                mime=value.content_type or "application/octet-stream",
                content=value.file.read(FILE_BYTES_MAX + 1),
            )
    return Params(values, files)
