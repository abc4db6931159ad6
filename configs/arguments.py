"""Arguments of subcommands."""

import argparse

from configs import ConfigError


def parse(parser: argparse.ArgumentParser, arguments: list[str], hint: str) -> argparse.Namespace:
    """Parse the arguments of a subcommand.

    Args:
        parser: of the subcommand.
        arguments: those after it.
        hint: what to do about one that is unknown.

    Returns:
        The values.

    Raises:
        ConfigError: an argument is wrong or unknown.
    """
    name = parser.prog.rpartition(" ")[2]
    try:
        options, unknown = parser.parse_known_args(arguments)
    except argparse.ArgumentError as error:
        raise ConfigError(f"{name}: {error}") from error
    if unknown:
        raise ConfigError(f"{name}: unknown argument {unknown[0]}; {hint}")
    return options
