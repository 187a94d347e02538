"""The WebUIs by name. Descriptions are imported when asked for."""

from importlib import import_module

from webuis.base import WebUI

NAMES = ("a1111", "easel")


def get(name: str) -> WebUI:
    """The description of that name: `webuis/<name>.py` or `webuis/<name>/__init__.py`. Raises `KeyError`."""
    if name not in NAMES:
        raise KeyError(name)
    description = import_module(f"webuis.{name}").WEBUI
    assert isinstance(description, WebUI)
    return description
