"""Landscapes from a prompt and a seed: the same subject gives the same picture, step by step.

The prompt and the checkpoint choose the light, the seed and the size the land. Pillow and arithmetic, nothing learned.
"""

import colorsys
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random

from PIL import Image, ImageDraw, ImageFilter, ImageOps

Colour = tuple[int, int, int]
Layer = Callable[[Image.Image], None]

_SMOOTH = 2
"""Shapes are drawn so many times larger and reduced: Pillow's polygons have hard edges."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What is painted. `start` is an image to paint over, as PNG or JPEG decoded; `strength` is how much of it goes, 0 to 1."""

    prompt: str
    negative_prompt: str
    seed: int
    width: int
    height: int
    steps: int
    checkpoint: str
    start: Image.Image | None = None
    strength: float = 1.0


def paint(subject: Subject) -> Iterator[Image.Image]:
    """The picture after each of the subject's steps, unfinished ones in noise; the last one is the work."""
    size = subject.width, subject.height
    start = None if subject.start is None else ImageOps.fit(subject.start.convert("RGB"), size)
    # Random, because it gives the same numbers for the same text everywhere.
    dice = Random(f"{subject.seed} {size} {subject.steps} {subject.prompt} {subject.negative_prompt}")  # noqa: S311 - no secret
    light = _Light(Random(f"{subject.prompt} {subject.negative_prompt} {subject.checkpoint}"))  # noqa: S311 - no secret
    layers = list(_layers(dice, light, size))
    noise = _noise(dice, size)
    canvas = Image.new("RGB", size)
    done = 0
    for step in range(1, subject.steps + 1):
        due = math.ceil(len(layers) * step / subject.steps)
        for layer in layers[done:due]:
            layer(canvas)
        done = due
        picture = canvas if start is None else Image.blend(start, canvas, subject.strength)
        left = 1 - step / subject.steps
        yield Image.blend(picture, noise, 0.7 * left**1.4) if left else picture.copy()


class _Light:
    """The colours of one hour of the day."""

    def __init__(self, dice: Random) -> None:
        above, below = dice.uniform(0.5, 0.98), dice.uniform(0.9, 1.16)
        self.night = dice.random() < 0.35
        self.zenith = _hsl(above, 0.55, 0.13 if self.night else 0.42)
        self.sky = _hsl(above + (below - above) * 0.3, 0.5, 0.3 if self.night else 0.66)
        self.horizon = _hsl(below, 0.7, 0.55 if self.night else 0.82)
        self.disc = _hsl(below + 0.03, 0.85, 0.93)
        self.ribbon = _hsl(above + 0.5, 0.7, 0.7)
        self.near = _hsl(above + 0.05, 0.5, 0.08)


def _layers(dice: Random, light: _Light, size: tuple[int, int]) -> Iterator[Layer]:
    """Sky first, then from far to near."""
    width, height = size
    skyline = height * dice.uniform(0.42, 0.6)
    yield _sky(light, math.ceil(skyline * 1.15))
    if light.night:
        yield _stars(dice, light.disc, width, skyline)
    centre = width * dice.uniform(0.18, 0.82), skyline * dice.uniform(0.3, 0.85)
    radius = min(size) * dice.uniform(0.035, 0.11)
    yield _glow(light.horizon, centre, radius * 7, 0.75)
    yield _glow(light.disc, centre, radius * 2.6, 0.6)
    yield _disc(light.disc, centre, radius)
    for _ in range(3):
        base = skyline * dice.uniform(0.15, 0.95)
        edge = _ridge(dice, size, base, height * 0.05, roughness=0.3)
        yield _ribbon(light.ribbon, edge, height * dice.uniform(0.02, 0.08))
    hills = 7
    for index in range(hills):
        nearness = index / (hills - 1)
        base = skyline + (height * 1.02 - skyline) * nearness**1.35
        edge = _ridge(dice, size, base, height * (0.03 + 0.075 * nearness), roughness=0.62 - 0.3 * nearness)
        crest = _mix(light.horizon, light.near, 0.18 + 0.8 * nearness**0.8)
        yield _hill(edge, crest, _mix(crest, light.horizon, 0.5 * (1 - nearness)))


def _ridge(dice: Random, size: tuple[int, int], base: float, height: float, roughness: float) -> list[tuple[float, float]]:
    """A wavy line from left to right: a sum of sines, each twice as fast as the one before and `roughness` as high."""
    width = size[0]
    waves = [(height * roughness**octave, 2**octave * dice.uniform(0.7, 1.3), dice.uniform(0, math.tau)) for octave in range(6)]
    count = max(48, width // 4)
    return [
        (
            width * point / count,
            base + sum(high * math.sin(math.tau * often * point / count + phase) for high, often, phase in waves),
        )
        for point in range(count + 1)
    ]


def _hill(edge: list[tuple[float, float]], crest: Colour, foot: Colour) -> Layer:
    def draw(canvas: Image.Image) -> None:
        ground = [(canvas.width, canvas.height + 1), (0, canvas.height + 1)]
        top = max(0, int(min(y for _, y in edge)))
        slope = Image.new("RGB", canvas.size, crest)
        if top < canvas.height:
            slope.paste(_gradient((canvas.width, canvas.height - top), crest, crest, foot), (0, top))
        canvas.paste(slope, mask=_mask(canvas.size, [*edge, *ground]))

    return draw


def _sky(light: _Light, bottom: int) -> Layer:
    def draw(canvas: Image.Image) -> None:
        canvas.paste(light.horizon, (0, 0, *canvas.size))
        canvas.paste(_gradient((canvas.width, bottom), light.zenith, light.sky, light.horizon))

    return draw


def _ribbon(colour: Colour, edge: list[tuple[float, float]], thickness: float) -> Layer:
    def draw(canvas: Image.Image) -> None:
        lower = [(x, y + thickness * math.sin(math.pi * x / canvas.width)) for x, y in reversed(edge)]
        veil = _mask(canvas.size, [*edge, *lower]).filter(ImageFilter.GaussianBlur(thickness / 3))
        canvas.paste(colour, mask=veil.point([value * 2 // 9 for value in range(256)]))

    return draw


def _disc(colour: Colour, centre: tuple[float, float], radius: float) -> Layer:
    def draw(canvas: Image.Image) -> None:
        around = [math.tau * point / 120 for point in range(120)]
        rim = [(centre[0] + radius * math.cos(angle), centre[1] + radius * math.sin(angle)) for angle in around]
        canvas.paste(colour, mask=_mask(canvas.size, rim))

    return draw


def _glow(colour: Colour, centre: tuple[float, float], radius: float, strength: float) -> Layer:
    def draw(canvas: Image.Image) -> None:
        side = max(1, int(2 * radius))
        fall = [int(255 * strength * max(0.0, 1 - value / 180) ** 2) for value in range(256)]
        halo = Image.radial_gradient("L").point(fall).resize((side, side))
        canvas.paste(colour, (int(centre[0] - radius), int(centre[1] - radius)), halo)

    return draw


def _stars(dice: Random, colour: Colour, width: int, skyline: float) -> Layer:
    points = [(dice.random() * width, dice.random() ** 1.5 * skyline, 0.2 + 0.8 * dice.random()) for _ in range(140)]

    def draw(canvas: Image.Image) -> None:
        for x, y, bright in points:
            spot = min(int(x), canvas.width - 1), min(int(y), canvas.height - 1)
            under = canvas.getpixel(spot)
            assert isinstance(under, tuple)
            canvas.putpixel(spot, _mix((under[0], under[1], under[2]), colour, bright))

    return draw


def _mask(size: tuple[int, int], outline: list[tuple[float, float]]) -> Image.Image:
    large = Image.new("L", (size[0] * _SMOOTH, size[1] * _SMOOTH))
    ImageDraw.Draw(large).polygon([(x * _SMOOTH, y * _SMOOTH) for x, y in outline], fill=255)
    return large.reduce(_SMOOTH)


def _gradient(size: tuple[int, int], top: Colour, middle: Colour, bottom: Colour) -> Image.Image:
    return ImageOps.colorize(Image.linear_gradient("L").resize((1, size[1])), top, bottom, middle).resize(size)


def _noise(dice: Random, size: tuple[int, int]) -> Image.Image:
    coarse = max(1, size[0] // 4), max(1, size[1] // 4)
    return Image.frombytes("RGB", coarse, dice.randbytes(coarse[0] * coarse[1] * 3)).resize(size, Image.Resampling.BICUBIC)


def _hsl(hue: float, saturation: float, lightness: float) -> Colour:
    red, green, blue = colorsys.hls_to_rgb(hue % 1.0, lightness, saturation)
    return round(red * 255), round(green * 255), round(blue * 255)


def _mix(one: Colour, other: Colour, share: float) -> Colour:
    """`one`, with so much of `other`."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue
