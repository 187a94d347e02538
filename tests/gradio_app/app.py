"""A real gradio 3.41.2 application with the routes of AUTOMATIC1111 that the sidecar asks: run by its own environment.

A queued event over gradio's WebSocket, an image of several megabytes back, a file upload.
"""

import argparse
import hashlib
import pathlib
import time

import gradio as gr
import numpy as np

STATE = {"job": "", "job_count": 0}


def paint(prompt: str, progress: gr.Progress = gr.Progress()) -> np.ndarray:  # noqa: B008 - gradio's way to ask for it
    """Noise: a PNG of it cannot be compressed, so it crosses the gateway at its full size."""
    STATE.update(job="paint", job_count=1)
    try:
        for _ in progress.tqdm(range(5), desc="painting"):
            time.sleep(0.1)
        seed = int.from_bytes(hashlib.sha256(prompt.encode()).digest()[:4], "big")
        return np.random.default_rng(seed).integers(0, 255, (1400, 1400, 3), dtype=np.uint8)
    finally:
        STATE.update(job="", job_count=0)


def digest(file) -> str:  # noqa: ANN001 - gradio evaluates annotations, and its type for this is private
    content = pathlib.Path(file.name).read_bytes()
    return f"{len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}"


def interface() -> gr.Blocks:
    with gr.Blocks(analytics_enabled=False, title="Gradio under test") as blocks:
        prompt = gr.Textbox(label="Prompt", elem_id="prompt")
        button = gr.Button("Paint", elem_id="paint")
        image = gr.Image(label="Image", elem_id="image")
        upload = gr.File(label="Upload", elem_id="upload")
        result = gr.Textbox(label="Digest", elem_id="digest")
        button.click(paint, prompt, image)
        upload.upload(digest, upload, result)
    return blocks.queue()


def main() -> None:
    """Launched as AUTOMATIC1111 does it: gradio's own server first, then the API's routes on its application."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    blocks = interface()
    app, _, _ = blocks.launch(server_port=parser.parse_args().port, prevent_thread_lock=True, quiet=True)

    @app.get("/internal/ping")
    def ping() -> dict[str, str]:
        return {}

    @app.get("/sdapi/v1/progress")
    def progress() -> dict[str, object]:
        return {"progress": 0.0, "state": dict(STATE)}

    @app.post("/sdapi/v1/txt2img")
    def first_image() -> dict[str, object]:
        return {"images": [], "info": "{}"}

    @app.post("/sdapi/v1/options")
    def set_options() -> None:
        return None

    blocks.block_thread()


if __name__ == "__main__":
    main()
