"""AUTOMATIC1111's Stable Diffusion WebUI, 1.6.0 to 1.10.1.

Its checkout, with the virtual environment that its own webui.sh makes, is `{shared}/stable-diffusion-webui` (a link does);
a profile's `command` names any other. Read in its source: modules/cmd_args.py, modules/paths_internal.py, modules/api/api.py.
"""

from webuis import sdapi
from webuis.base import Call, Folder, FolderKind, Starts, WebUI

_CHECKOUT = "{shared}/stable-diffusion-webui"

FIRST_IMAGE = Call(
    "POST",
    "/sdapi/v1/txt2img",
    {"prompt": "", "steps": 1, "width": 64, "height": 64, "send_images": False, "save_images": False},
)
"""No route says whether the model is loaded (`/sdapi/v1/options` names the last checkpoint, loaded or not), so the
smallest image is asked for: the reply waits for the load, and the first person's image finds the GPU warmed up. Without
any checkpoint in `shared/models/Stable-diffusion` there is none, and the WebUI is never ready."""


def read_first_image(reply: object) -> bool:
    """Whether the reply to `FIRST_IMAGE` tells of an image that was made: only then `info` is filled in."""
    match reply:
        case {"info": str(info)}:
            return bool(info)
        case _:
            return False


def _models(home: str, seen: str, *refresh: Call) -> Folder:
    """The user's models, as one folder among the shared ones: they are looked for recursively, through links."""
    return Folder(FolderKind.MODELS, f"models/{home}", f"{seen}/mine", refresh=refresh)


def _settings(name: str) -> Folder:
    """A settings file. They are written in place, so through a link."""
    return Folder(FolderKind.SETTINGS, f"settings/{name}", name, is_file=True)


WEBUI = WebUI(
    name="a1111",
    title="Stable Diffusion WebUI",
    command=(
        f"{_CHECKOUT}/venv/bin/python",
        f"{_CHECKOUT}/launch.py",
        "--skip-prepare-environment",  # installed beforehand: a start fetches nothing
        "--skip-version-check",
        "--no-download-sd-model",
        "--api",
        "--port={port}",
        "--data-dir={work}",  # models, embeddings, config.json, ui-config.json, styles.csv
        "--gradio-allowed-path={work}",
    ),
    env={"GRADIO_ANALYTICS_ENABLED": "False", "PYTHONUNBUFFERED": "1"},
    starts=Starts.BEFORE_ALLOCATION,
    serving=sdapi.SERVING,
    model_loaded=FIRST_IMAGE,
    read_model_loaded=read_first_image,
    busy=sdapi.PROGRESS,
    read_busy=sdapi.read_busy,
    pages=sdapi.PAGES,
    person_requests=sdapi.PERSON_REQUESTS,
    folders=(
        _models("Stable-diffusion", "models/Stable-diffusion", sdapi.REFRESH_CHECKPOINTS),
        _models("VAE", "models/VAE", sdapi.REFRESH_VAE),
        _models("Lora", "models/Lora", sdapi.REFRESH_LORAS),
        _models("embeddings", "embeddings"),  # 1.6 has no call for them: they are read with the next checkpoint
        # 1.6 writes below its working folder, 1.10 below --data-dir: here they are the same. Resolved at each save.
        Folder(FolderKind.OUTPUTS, "outputs", "outputs"),
        Folder(FolderKind.OUTPUTS, "outputs/saved", "log/images"),  # what the Save button keeps
        Folder(FolderKind.INPUTS, "inputs", "inputs"),
        _settings("config.json"),
        _settings("ui-config.json"),
        _settings("styles.csv"),
        _settings("params.txt"),  # the last prompt, for the button that brings it back
    ),
    settings=sdapi.OPTIONS,
    settings_file="settings/config.json",
    interrupt=sdapi.INTERRUPT,
    typical_start_seconds=120.0,
)
