"""Every description holds what its readers rely on."""

import json
import string
import subprocess
import sys
from pathlib import PurePosixPath

import pytest

from user_init.layout import places
from webuis.base import Call, FolderKind, WebUI
from webuis.registry import NAMES, get

EVERY = pytest.mark.parametrize("webui", [get(name) for name in NAMES], ids=NAMES)


def calls(webui: WebUI) -> list[Call]:
    optional = (webui.model_loaded, webui.settings, webui.interrupt)
    refreshes = [call for folder in webui.folders for call in folder.refresh]
    return [webui.serving, webui.busy, *(call for call in optional if call is not None), *refreshes]


@EVERY
def test_it_is_found_under_its_own_name(webui: WebUI) -> None:
    assert get(webui.name) is webui


def test_an_unknown_name_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        get("os")


@EVERY
def test_its_folders_stay_inside_the_home_and_the_working_folder(webui: WebUI) -> None:
    for folder in webui.folders:
        for path in (PurePosixPath(folder.home), PurePosixPath(folder.seen)):
            assert path.parts
            assert not path.is_absolute()
            assert not {"..", "."} & set(path.parts)
        assert PurePosixPath(folder.home).parts[0] == str(folder.kind)


@EVERY
def test_no_two_folders_are_seen_in_one_place(webui: WebUI) -> None:
    assert len(places(webui)) == len(webui.folders)


@EVERY
def test_every_kind_of_folder_has_a_place(webui: WebUI) -> None:
    assert {folder.kind for folder in webui.folders} == set(FolderKind)


@EVERY
def test_its_settings_file_lies_in_a_folder_that_it_has(webui: WebUI) -> None:
    homes = [PurePosixPath(folder.home) for folder in webui.folders if folder.kind is FolderKind.SETTINGS]
    file = PurePosixPath(webui.settings_file)
    assert any(home in (file, *file.parents) for home in homes)


@EVERY
def test_its_calls_are_requests_that_can_be_sent(webui: WebUI) -> None:
    for call in calls(webui):
        assert call.method in {"GET", "POST"}
        assert call.path.startswith("/")
        json.dumps(call.payload)
        assert call.method == "POST" or call.payload is None


@EVERY
def test_its_own_calls_are_never_taken_for_pages(webui: WebUI) -> None:
    assert not any(webui.is_page(call.path.partition("?")[0]) for call in calls(webui))


@EVERY
def test_its_command_uses_only_what_is_filled_in(webui: WebUI) -> None:
    for text in (*webui.command, *webui.env.values()):
        assert {field for _, field, _, _ in string.Formatter().parse(text) if field is not None} <= {
            "python",
            "port",
            "work",
            "shared",
        }
    assert any("{port}" in argument for argument in webui.command)


@EVERY
def test_its_probes_are_not_what_a_person_does(webui: WebUI) -> None:
    assert webui.person_request(webui.busy.method, webui.busy.path.partition("?")[0]) == ""
    assert webui.person_request(webui.serving.method, webui.serving.path) == ""


@EVERY
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/queue/join"),
        ("POST", "/queue/join"),
        ("POST", "/run/predict"),
        ("POST", "/internal/progress"),
        ("GET", "/sdapi/v1/progress"),
        ("GET", "/sdapi/v1/txt2img"),
        ("GET", "/ws"),
        ("POST", "/sdapi/v1/refresh-checkpoints"),
        ("POST", "/x/sdapi/v1/txt2img"),
        ("POST", "/sdapi/v1/txt2img/x"),
    ],
)
def test_what_a_page_sends_by_itself_is_no_sign_of_a_person(webui: WebUI, method: str, path: str) -> None:
    assert webui.person_request(method, path) == ""


@EVERY
@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/sdapi/v1/txt2img", "generation"),
        ("/sdapi/v1/img2img", "generation"),
        ("/sdapi/v1/extra-single-image", "generation"),
        ("/sdapi/v1/extra-batch-images", "generation"),
        ("/upload", "upload"),
        ("/sdapi/v1/options", "edit"),
    ],
)
def test_what_only_a_person_sends_is_told_by_its_kind(webui: WebUI, path: str, kind: str) -> None:
    assert webui.person_request("POST", path) == kind


@EVERY
@pytest.mark.parametrize("path", ["/file=outputs/a.png", "/assets/index.js", "//", "/_atelier/desk", ""])
def test_only_its_pages_open_the_desk(webui: WebUI, path: str) -> None:
    assert webui.is_page("/")
    assert not webui.is_page(path)


def test_the_descriptions_load_none_of_what_easel_is_made_of() -> None:
    code = (
        "import sys, webuis.registry as registry\n"
        "for name in registry.NAMES: registry.get(name)\n"
        "print([heavy for heavy in ('aiohttp', 'PIL') if heavy in sys.modules])"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"


def test_a1111_has_its_model_when_it_has_made_an_image() -> None:
    read = get("a1111").read_model_loaded
    assert read is not None
    assert read({"images": [], "parameters": {}, "info": '{"seed": 1}'})
    others: list[object] = [None, [], {}, {"info": ""}, {"info": None}, {"error": "RuntimeError"}]
    assert not any(read(other) for other in others)
