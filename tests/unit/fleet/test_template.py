"""Placeholders."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.local.template import Place, fill

PLACE = Place("easel-1", "uid", "/data/run/gameservers/easel-1", 9357, {"webui": 7860, "user-init": 7861}, "GPU-a")


def test_every_placeholder_is_filled() -> None:
    text = "{name} {uid} {work} {logs} {tmp} {socket} {sdk_port} {port} {user_init_port} {gpu}"
    folder = PLACE.folder
    places = f"{folder}/work {folder}/logs {folder}/tmp {folder}/launcher.sock"
    assert fill(text, PLACE.values()) == f"easel-1 uid {places} 9357 7860 7861 GPU-a"


@settings(deadline=None)
@given(st.text(alphabet="{}abport_ \"'$"))
def test_other_braces_stay_and_nothing_is_filled_twice(text: str) -> None:
    if "{port}" not in text:
        assert fill(text, {"port": "{port}{port}"}) == text
    assert fill("{a}", {"a": "{b}", "b": text}) == "{b}"


def test_a_gpu_is_shown_to_cuda_and_without_one_nothing_is_hidden() -> None:
    assert PLACE.environment()["CUDA_VISIBLE_DEVICES"] == "GPU-a"
    without = Place(PLACE.name, PLACE.uid, PLACE.folder, 1, PLACE.ports)
    assert "CUDA_VISIBLE_DEVICES" not in without.environment()
