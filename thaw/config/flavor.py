"""Addresses of environments, written ``family/name@variant?option=value``."""

from __future__ import annotations

import re
from typing import Final, Self

from thaw.config.errors import InputError, check_no_repeats
from thaw.config.strict import Scalar, dump_scalar, parse_scalar

FAMILIES: Final = ("catch", "atari", "minigrid", "procgen", "gym", "envpool", "androidenv")


class Flavor(str):
    """One variant of an environment, written ``family/name@variant?option=value&...``.

    ``catch`` is both family and name; without ``@`` the variant is ``default``. Options after
    ``?`` belong to this flavor only and win over the suite's ``environment`` section. The text is
    kept in canonical form, so equal flavors are equal strings.
    """

    family: str
    name: str
    variant: str
    options: tuple[tuple[str, Scalar], ...]

    def __new__(cls, address: str) -> Self:
        """Parse an address.

        Raises:
            InputError: The address is not of the form above.
        """
        match = re.fullmatch(
            r"(?P<family>[\w.-]+)(?:/(?P<name>[^@?\s]+))?(?:@(?P<variant>[^@?\s]+))?"
            r"(?:\?(?P<options>\S+))?",
            address,
        )
        if match is None:
            raise InputError(
                f"flavor '{address}' is not of the form family/name@variant, as in "
                "'catch@large_ball' or 'catch?ball_radius=20'"
            )
        options = []
        for pair in (match["options"] or "").split("&"):
            key, equals, value = pair.partition("=")
            if equals:
                options.append((key, parse_scalar(value)))
            elif pair:
                raise InputError(f"option '{pair}' of flavor '{address}' is not KEY=VALUE")
        check_no_repeats(f"options of flavor '{address}'", [key for key, _ in options])
        family, name = match["family"], match["name"] or match["family"]
        variant = match["variant"] or "default"
        text = family if name == family else f"{family}/{name}"
        if variant != "default":
            text += f"@{variant}"
        if options:
            options.sort()
            text += "?" + "&".join(f"{key}={dump_scalar(value)}" for key, value in options)
        flavor = super().__new__(cls, text)
        flavor.family, flavor.name, flavor.variant = family, name, variant
        flavor.options = tuple(options)
        return flavor
