"""A picture is decided by its subject, to the byte."""

import hashlib
import io
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from webuis.easel.order import infotext, png
from webuis.easel.painter import Subject, paint

VALLEY = Subject("a quiet valley", "", seed=7, width=128, height=96, steps=5, checkpoint="easel")


def finished(subject: Subject) -> bytes:
    *_, picture = paint(subject)
    return png(picture, infotext(subject))


def test_the_same_subject_gives_the_same_file() -> None:
    assert finished(VALLEY) == finished(VALLEY)


def test_the_same_subject_gives_the_same_file_in_another_process() -> None:
    code = (
        "import hashlib, sys; sys.path.insert(0, '.')\n"
        "from tests.unit.webuis.test_painter import VALLEY, finished\n"
        "print(hashlib.sha256(finished(VALLEY)).hexdigest())"
    )
    told = subprocess.check_output([sys.executable, "-c", code], text=True, env={"PYTHONHASHSEED": "1"})
    assert told.strip() == hashlib.sha256(finished(VALLEY)).hexdigest()


@pytest.mark.parametrize(
    "other",
    [
        replace(VALLEY, prompt="a stormy sea"),
        replace(VALLEY, negative_prompt="clouds"),
        replace(VALLEY, seed=8),
        replace(VALLEY, steps=6),
        replace(VALLEY, checkpoint="mine/dawn.safetensors"),
        replace(VALLEY, start=Image.new("RGB", (20, 20), "red"), strength=0.5),
    ],
    ids=["prompt", "negative prompt", "seed", "steps", "checkpoint", "start"],
)
def test_each_part_of_the_subject_changes_the_picture(other: Subject) -> None:
    pictures = [list(paint(subject))[-1].tobytes() for subject in (VALLEY, other)]
    assert pictures[0] != pictures[1]


def test_there_is_a_frame_for_each_step_and_noise_leaves_them() -> None:
    frames = list(paint(VALLEY))
    assert len(frames) == VALLEY.steps
    assert len({frame.tobytes() for frame in frames}) == VALLEY.steps


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_the_strength_says_how_much_of_the_start_is_left(strength: float) -> None:
    red = Image.new("RGB", (128, 96), "red")
    *_, picture = paint(replace(VALLEY, start=red, strength=strength))
    *_, free = paint(VALLEY)
    assert picture.tobytes() == (red if strength == 0 else free).tobytes()


@settings(max_examples=25, deadline=None)
@given(
    prompt=st.text(max_size=40),
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(64, 200), st.integers(64, 200)),
    steps=st.integers(1, 40),
)
def test_any_subject_can_be_painted_and_its_file_says_what_it_is(
    prompt: str, seed: int, size: tuple[int, int], steps: int
) -> None:
    subject = Subject(prompt, "", seed, *size, steps, "easel")
    image = Image.open(io.BytesIO(finished(subject)))
    assert image.size == size
    assert f"Steps: {steps}, Sampler: Easel, Seed: {seed}, Size: {size[0]}x{size[1]}" in str(image.info["parameters"])
