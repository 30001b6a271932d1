"""Who is the same person: identities that an administrator has linked."""

from collections.abc import Mapping
from dataclasses import replace
from functools import lru_cache

from ai_engine.config.schema import Config
from ai_engine.domain.message import InboundMessage, Sender


def identity(sender: Sender) -> str:
    """`<platform>:<tenant>/<user id>`, as `people` in the configuration names it."""
    return f"{sender.platform}:{sender.tenant}/{sender.user_id}"


@lru_cache(maxsize=4)
def _by_identity(people: tuple[tuple[str, tuple[str, ...]], ...]) -> Mapping[str, str]:
    return {each: person for person, identities in people for each in identities}


class People:
    """The links of one configuration."""

    def __init__(self, config: Config) -> None:
        self._links = _by_identity(
            tuple((person, found.identities) for person, found in config.people.items())
        )

    def recognised(self, message: InboundMessage) -> InboundMessage:
        """The message, its sender known as a person where identities are linked. What a platform
        says of `person` never counts."""
        person = self._links.get(identity(message.sender), "") if self._links else ""
        if person == message.sender.person:
            return message
        return replace(message, sender=replace(message.sender, person=person))
