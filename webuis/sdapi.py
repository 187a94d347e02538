"""AUTOMATIC1111's HTTP API, as far as Atelier speaks it: what the WebUIs of that dialect have in common.

Read in the source of AUTOMATIC1111/stable-diffusion-webui 1.6.0 to 1.10.1: modules/api/api.py, modules/shared_state.py.
"""

import re

from webuis.base import Busy, BusyState, Call, PersonRequest

SERVING = Call("GET", "/internal/ping")
"""Answers once the interface is complete; `/` answers earlier, before the other routes exist."""
PROGRESS = Call("GET", "/sdapi/v1/progress?skip_current_image=true")
OPTIONS = Call("POST", "/sdapi/v1/options", {})
INTERRUPT = Call("POST", "/sdapi/v1/interrupt", {})
REFRESH_CHECKPOINTS = Call("POST", "/sdapi/v1/refresh-checkpoints", {})
REFRESH_VAE = Call("POST", "/sdapi/v1/refresh-vae", {})
REFRESH_LORAS = Call("POST", "/sdapi/v1/refresh-loras", {})

PAGES = (re.compile(r"/"),)
PERSON_REQUESTS = (
    PersonRequest(
        "POST", re.compile(r"/sdapi/v1/(txt2img|img2img|extra-single-image|extra-batch-images|interrogate)"), "generation"
    ),
    PersonRequest("POST", re.compile(r"/sdapi/v1/train/(embedding|hypernetwork)"), "generation"),
    PersonRequest("POST", re.compile(r"/upload"), "upload"),
    PersonRequest("POST", re.compile(r"/sdapi/v1/options"), "edit"),
)
"""Not among them: `/queue/join`, `/run/predict` and `/internal/progress`, which an open page also sends by itself."""


def read_busy(reply: object) -> Busy:
    """What `/sdapi/v1/progress` says. A job has a name or a count, which is -1 until it knows how many images it makes."""
    match reply:
        case {"state": {"job": str(job), "job_count": int(count)}} if not isinstance(count, bool):
            return Busy(BusyState.BUSY, job) if job or count else Busy(BusyState.IDLE)
        case _:
            return Busy(BusyState.UNKNOWN)
