"""WeCom's XML as a flat dictionary. No DTD, no entities of its own, bounded in size and depth."""

from typing import Final, NoReturn
from xml.parsers import expat

from ai_engine.domain.errors import Malformed, TooLarge

BYTES_MAX: Final = 262_144
"""WeCom's callbacks have a few kB: a text message has 2,048 bytes at most."""
_DEPTH_MAX: Final = 8
_ELEMENTS_MAX: Final = 500


class _Reader:
    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._path: list[str] = []
        self._text: list[str] = []
        self._elements = 0

    def start(self, name: str, _: dict[str, str]) -> None:
        self._path.append(name)
        self._elements += 1
        if len(self._path) > _DEPTH_MAX or self._elements > _ELEMENTS_MAX:
            raise Malformed("$: the XML is too deep or has too many elements")
        if len(self._path) == 1 and name != "xml":
            raise Malformed("$: the root element must be xml")
        if len(self._path) == 2:
            if name in self.found:
                raise Malformed(f"$.{name[:64]}: is there twice")
            self.found[name] = ""
            self._text = []

    def end(self, name: str) -> None:
        if len(self._path) == 2:
            self.found[name] = "".join(self._text)
        self._path.pop()

    def text(self, piece: str) -> None:
        if len(self._path) == 2:
            self._text.append(piece)

    def refuse(self, *_: object) -> NoReturn:
        raise Malformed("$: an XML document type or entity is not allowed")


def fields(data: bytes) -> dict[str, str]:
    """Text by name of each element below the root `xml`; deeper elements are passed over.

    Raises:
        Malformed: no such XML, or one with a DTD, an entity, or an element twice.
        TooLarge: more than `BYTES_MAX` bytes.
    """
    if len(data) > BYTES_MAX:
        raise TooLarge(f"the XML has more than {BYTES_MAX} bytes")
    reader = _Reader()
    parser = expat.ParserCreate(encoding="utf-8")
    parser.buffer_text = True
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = reader.refuse
    parser.EntityDeclHandler = reader.refuse
    parser.ExternalEntityRefHandler = reader.refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise Malformed(f"$: not XML ({expat.ErrorString(error.code)})") from error
    return reader.found
