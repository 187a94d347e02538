"""One job at a time, the others in line: what is painted now, how far it is, and who watches."""

import asyncio
import base64
import io
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace

from PIL import Image

from runtime.clock import Clock
from webuis.easel.order import Order, infotext, png
from webuis.easel.painter import Subject, paint

_PREVIEW_SIDE = 320


@dataclass(frozen=True, slots=True)
class State:
    """The dialect's `state`. Between jobs `job` is empty and `job_count` 0."""

    job: str = ""
    job_count: int = 0
    job_no: int = 0
    job_timestamp: str = "0"
    sampling_step: int = 0
    sampling_steps: int = 0
    interrupted: bool = False
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class Work:
    """What came of an order: PNG files, what each shows, and whether it was cut short at the last one."""

    images: list[bytes]
    subjects: list[Subject]
    interrupted: bool


class Studio:
    """Paints orders. `save` stores a finished image: (kind, PNG, seed). `step_seconds` is how long each step takes at least."""

    def __init__(self, clock: Clock, save: Callable[[str, bytes, int], str], step_seconds: float) -> None:
        self._clock = clock
        self._save = save
        self._step_seconds = step_seconds
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._began = 0.0
        self._preview: str | None = None
        self.state = State()
        self.waiting = 0

    async def make(self, order: Order, checkpoint: str) -> Work:
        """Paint an order when its turn has come. An interrupt ends the running order alone; what it had begun is not saved."""
        self.waiting += 1
        try:
            await self._turn.acquire()
        finally:
            self.waiting -= 1
        try:
            self._began = self._clock.monotonic()
            stamp = str(int(self._clock.time()))
            self._tell(State(order.task, order.images, job_timestamp=stamp, sampling_steps=order.steps))
            images: list[bytes] = []
            subjects = [order.subject(number, checkpoint) for number in range(order.images)]
            for number, subject in enumerate(subjects):
                self._tell(replace(self.state, job_no=number, sampling_step=0))
                picture = await self._paint(subject)
                images.append(await asyncio.to_thread(png, picture, infotext(subject)))
                if self.state.interrupted:
                    break
                if order.save:
                    await asyncio.to_thread(self._save, order.task, images[-1], subject.seed)
            return Work(images, subjects[: len(images)], self.state.interrupted)
        finally:
            self._preview = None
            self._tell(State())
            self._turn.release()

    def interrupt(self) -> None:
        """End the running order at its next step. Without one nothing happens."""
        if self.state.job:
            self._tell(replace(self.state, interrupted=True))

    def progress(self, preview: bool) -> dict[str, object]:
        """The dialect's progress; `current_image` is a small JPEG."""
        state = self.state
        share = 0.0
        if state.job_count:
            share = min(1.0, (state.job_no + state.sampling_step / max(1, state.sampling_steps)) / state.job_count)
        spent = self._clock.monotonic() - self._began
        return {
            "progress": share,
            "eta_relative": spent / share - spent if share else 0.0,
            "state": asdict(state),
            "current_image": self._preview if preview else None,
            "textinfo": f"{self.waiting} waiting" if self.waiting else None,
        }

    def next_change(self) -> asyncio.Event:
        """Set when the state is no longer what it is now."""
        return self._changed

    async def _paint(self, subject: Subject) -> Image.Image:
        frames = paint(subject)
        picture = Image.new("RGB", (subject.width, subject.height))
        for step in range(1, subject.steps + 1):
            if self.state.interrupted:
                break
            picture, self._preview = await asyncio.to_thread(_frame, frames)
            self._tell(replace(self.state, sampling_step=step))
            await self._clock.sleep(self._step_seconds)
        return picture

    def _tell(self, state: State) -> None:
        self.state = state
        self._changed.set()
        self._changed = asyncio.Event()


def _frame(frames: Iterator[Image.Image]) -> tuple[Image.Image, str]:
    """The next frame, and a small JPEG of it in base64."""
    picture = next(frames)
    small = picture.copy()
    small.thumbnail((_PREVIEW_SIDE, _PREVIEW_SIDE))
    file = io.BytesIO()
    small.save(file, "JPEG", quality=80)
    return picture, base64.b64encode(file.getvalue()).decode()
