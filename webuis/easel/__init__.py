"""Easel, the demo WebUI: no model, no GPU. It speaks AUTOMATIC1111's HTTP API and paints landscapes that only its seed decides.

This module is its description alone; `python -m webuis.easel --help` tells of the program.
"""

from webuis import sdapi
from webuis.base import Folder, FolderKind, Starts, WebUI

WEBUI = WebUI(
    name="easel",
    title="Easel (demo)",
    # -P: its working folder holds the user's files, none of which may be taken for a module.
    command=("{python}", "-P", "-m", "webuis.easel", "--port={port}", "--data={work}"),
    starts=Starts.BEFORE_ALLOCATION,
    serving=sdapi.SERVING,
    busy=sdapi.PROGRESS,
    read_busy=sdapi.read_busy,
    pages=sdapi.PAGES,
    person_requests=sdapi.PERSON_REQUESTS,
    folders=(
        Folder(
            FolderKind.MODELS,
            "models/Stable-diffusion",
            "models/Stable-diffusion/mine",
            refresh=(sdapi.REFRESH_CHECKPOINTS,),
        ),
        Folder(FolderKind.OUTPUTS, "outputs", "outputs"),
        Folder(FolderKind.INPUTS, "inputs", "inputs"),
        Folder(FolderKind.SETTINGS, "settings", "settings"),
    ),
    settings=sdapi.OPTIONS,
    settings_file="settings/config.json",
    interrupt=sdapi.INTERRUPT,
    needs_gpu=False,
    stop_seconds=3.0,
    typical_start_seconds=1.0,
)
