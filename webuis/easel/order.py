"""What a client asks for: the JSON of `txt2img` and `img2img`, checked, and what is told of it afterwards."""

import base64
import binascii
import io
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from PIL import Image, PngImagePlugin

from webuis.easel.painter import Subject

SAMPLER = "Easel"
MAX_SIDE = 2048
MAX_STEPS = 1000
MAX_IMAGES = 64
_MAX_PIXELS = 64 * 1024 * 1024
"""Of an image to paint over: more is a bomb."""


class BadOrder(Exception):
    """What the client sent cannot be painted; the message says why."""


@dataclass(frozen=True, slots=True)
class Order:
    """Some images of one prompt. `task` is the name of the job, as `state.job` shows it."""

    task: str
    prompt: str
    negative_prompt: str
    seed: int
    width: int
    height: int
    steps: int
    images: int
    save: bool
    send: bool
    start: Image.Image | None = None
    strength: float = 1.0

    def subject(self, number: int, checkpoint: str) -> Subject:
        """The image of that number: each has the next seed."""
        return Subject(
            self.prompt,
            self.negative_prompt,
            self.seed + number,
            self.width,
            self.height,
            self.steps,
            checkpoint,
            self.start,
            self.strength,
        )


def read(task: str, body: object) -> Order:
    """The order in a request's JSON. Raises `BadOrder`."""
    if not isinstance(body, dict):
        raise BadOrder("the body must be a JSON object")
    seed = _integer(body, "seed", -1, -1, 2**32 - 1)
    start, strength = None, 1.0
    if task == "img2img":
        start, strength = _image(body), _number(body, "denoising_strength", 0.75, 0, 1)
    return Order(
        task=task,
        prompt=_text(body, "prompt"),
        negative_prompt=_text(body, "negative_prompt"),
        seed=secrets.randbelow(2**32) if seed == -1 else seed,
        width=_integer(body, "width", 512, 64, MAX_SIDE),
        height=_integer(body, "height", 512, 64, MAX_SIDE),
        steps=_integer(body, "steps", 20, 1, MAX_STEPS),
        images=_integer(body, "n_iter", 1, 1, MAX_IMAGES) * _integer(body, "batch_size", 1, 1, 8),
        save=body.get("save_images") is not False,  # the original's default is not to
        send=body.get("send_images") is not False,
        start=start,
        strength=strength,
    )


def infotext(subject: Subject) -> str:
    """How AUTOMATIC1111 writes the making of an image into its PNG, under the key `parameters`."""
    size = f"{subject.width}x{subject.height}"
    facts = f"Steps: {subject.steps}, Sampler: {SAMPLER}, Seed: {subject.seed}, Size: {size}, Model: {subject.checkpoint}"
    if subject.start is not None:
        facts += f", Denoising strength: {subject.strength:g}"
    negative = [f"Negative prompt: {subject.negative_prompt}"] if subject.negative_prompt else []
    return "\n".join([subject.prompt, *negative, facts])


def png(picture: Image.Image, text: str) -> bytes:
    """The picture as a PNG that carries `text` as its parameters."""
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("parameters", text)
    file = io.BytesIO()
    picture.save(file, "PNG", pnginfo=chunks)
    return file.getvalue()


def info(order: Order, subjects: list[Subject], *, interrupted: bool) -> str:
    """The `info` of a reply: JSON within the JSON, as the dialect has it. `interrupted` is our own."""
    return json.dumps(
        {
            "prompt": order.prompt,
            "all_prompts": [subject.prompt for subject in subjects],
            "negative_prompt": order.negative_prompt,
            "seed": order.seed,
            "all_seeds": [subject.seed for subject in subjects],
            "width": order.width,
            "height": order.height,
            "steps": order.steps,
            "sampler_name": SAMPLER,
            "denoising_strength": order.strength if order.start is not None else None,
            "sd_model_name": subjects[0].checkpoint if subjects else "",
            "interrupted": interrupted,
            "infotexts": [infotext(subject) for subject in subjects],
        }
    )


def _text(body: Mapping[str, object], name: str) -> str:
    value = body.get(name, "")
    if not isinstance(value, str):
        raise BadOrder(f"{name} must be text")
    return value


def _number(body: Mapping[str, object], name: str, default: float, least: float, most: float) -> float:
    value = body.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise BadOrder(f"{name} must be a number from {least:g} to {most:g}")
    return value


def _integer(body: Mapping[str, object], name: str, default: int, least: int, most: int) -> int:
    value = _number(body, name, default, least, most)
    if not isinstance(value, int):
        raise BadOrder(f"{name} must be a whole number from {least} to {most}")
    return value


def _image(body: Mapping[str, object]) -> Image.Image:
    """The first of `init_images`: base64, with or without the head of a data URL."""
    images = body.get("init_images")
    if not isinstance(images, list) or not images or not isinstance(images[0], str):
        raise BadOrder("init_images must hold an image in base64")
    try:
        image = Image.open(io.BytesIO(base64.b64decode(images[0].rpartition(",")[2], validate=True)))
        if image.width * image.height > _MAX_PIXELS:
            raise BadOrder(f"an image of more than {_MAX_PIXELS} pixels is too large")
        image.load()
    except (binascii.Error, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadOrder("init_images holds no image that can be read") from error
    return image
