// Easel's page: the form, the live progress, the image to start from.
import { showNewest } from "./gallery.js";

const $ = (id) => document.getElementById(id);
const form = $("form");
let start = null; // the image to start from, as a data URL
let mine = false; // whether this page waits for an image
let watching = false; // whether the last progress told of a job
let finished = false; // whether that job's image is here already: a preview that comes late must not replace it

async function call(path, body) {
  const reply = await fetch(path, body === undefined ? {} : {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const text = await reply.text();
  let answer = text;
  try { answer = JSON.parse(text); } catch { /* a plain sentence */ }
  if (!reply.ok) throw new Error(answer?.errors || answer?.error?.message || text || `Error ${reply.status}`);
  return answer;
}

const say = (text) => { $("status").textContent = text; };

function show(source, alt) {
  $("image").src = source;
  $("image").alt = alt;
  $("image").hidden = false;
  $("empty").hidden = true;
}

// Generate and interrupt

async function generate() {
  if (mine || !form.reportValidity()) return;
  mine = true;
  finished = false;
  $("generate").disabled = true;
  say("Painting…");
  const order = {};
  for (const [name, value] of new FormData(form)) order[name] = form.elements[name].type === "number" ? Number(value) : value;
  if (start) Object.assign(order, { init_images: [start], denoising_strength: Number($("strength").value) });
  try {
    const work = await call(start ? "sdapi/v1/img2img" : "sdapi/v1/txt2img", order);
    const info = JSON.parse(work.info);
    finished = true;
    show("data:image/png;base64," + work.images[0], info.prompt || "Untitled image");
    say(info.interrupted ? "Interrupted: the unfinished image is not kept." : `Done, with seed ${info.seed}.`);
  } catch (error) {
    say(`No image: ${error.message}`);
  }
  mine = false;
  $("generate").disabled = false;
  await showNewest().catch(() => say("The gallery cannot be read now."));
}

$("interrupt").addEventListener("click", () => call("sdapi/v1/interrupt", {}).catch((error) => say(error.message)));
form.addEventListener("submit", (event) => { event.preventDefault(); generate(); });
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); generate(); }
});

// Live progress, by WebSocket; by polling where there is none

function progress(now) {
  const { job, sampling_step: step, sampling_steps: steps, job_no: number, job_count: count } = now.state;
  const percent = Math.round(now.progress * 100);
  $("progress").value = now.progress;
  $("interrupt").disabled = !job;
  $("steps-shown").textContent = job ? `Step ${step} of ${steps}${count > 1 ? `, image ${number + 1} of ${count}` : ""}` : "No image is being made";
  document.title = job ? `${percent} % - Easel` : "Easel";
  if (!job) finished = false;
  if (now.current_image && !finished) show("data:image/jpeg;base64," + now.current_image, "Preview of the image being made");
  if (watching && !job && !mine) showNewest().catch(() => {}); // another tab's image, or one from before a reload
  watching = Boolean(job);
}

function live() {
  const socket = new WebSocket(new URL("ws", location.href.replace(/^http/, "ws")));
  let opened = false;
  socket.onopen = () => { opened = true; };
  socket.onmessage = (event) => progress(JSON.parse(event.data));
  socket.onclose = async () => {
    if (!opened) await call("sdapi/v1/progress").then(progress).catch(() => {});
    setTimeout(live, 1500);
  };
}

// Checkpoints

async function checkpoints() {
  const [models, options] = await Promise.all([call("sdapi/v1/sd-models"), call("sdapi/v1/options")]);
  $("checkpoint").replaceChildren(...models.map(({ title }) => new Option(title === "easel" ? "easel (no model)" : title, title)));
  $("checkpoint").value = options.sd_model_checkpoint;
}

$("checkpoint").addEventListener("change", () =>
  call("sdapi/v1/options", { sd_model_checkpoint: $("checkpoint").value }).catch((error) => say(error.message)));
$("refresh").addEventListener("click", async () => {
  try {
    await call("sdapi/v1/refresh-checkpoints", {});
    await checkpoints();
    say(`Checkpoints: ${$("checkpoint").length} found.`);
  } catch (error) { say(error.message); }
});

// The image to start from: chosen, dropped or pasted

function take(file) {
  if (!file) return false;
  if (!file.type.startsWith("image/")) { say(`${file.name} is no image.`); return false; }
  const reader = new FileReader();
  reader.onload = () => {
    start = reader.result;
    $("start-image").src = start;
    $("start").hidden = false;
    say(`Starting from ${file.name || "the pasted image"}.`);
  };
  reader.readAsDataURL(file);
  return true;
}

$("file").addEventListener("change", () => take($("file").files[0]));
$("clear").addEventListener("click", () => {
  start = null;
  $("file").value = "";
  $("start").hidden = true;
  $("file").focus();
});
$("strength").addEventListener("input", () => { $("strength-shown").textContent = `${Math.round($("strength").value * 100)} %`; });
document.addEventListener("paste", (event) => { if (take(event.clipboardData.files[0])) event.preventDefault(); });
document.addEventListener("dragover", (event) => { event.preventDefault(); $("drop").classList.add("over"); });
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) $("drop").classList.remove("over"); });
document.addEventListener("drop", (event) => {
  event.preventDefault();
  $("drop").classList.remove("over");
  take(event.dataTransfer.files[0]);
});

// Failures

$("failures").addEventListener("click", async ({ target }) => {
  if (!target.dataset.how) return;
  const told = await call("easel/fail", { how: target.dataset.how }).then(() => "Asked for.", (error) => error.message);
  $("failure-status").textContent = `${target.textContent}: ${told}`;
});
$("register").addEventListener("click", async () => {
  const told = await navigator.serviceWorker.register("/easel/sw.js", { scope: "/" }).then(() => "Registered.", (error) => `Refused: ${error.message}`);
  $("failure-status").textContent = told;
});

live();
checkpoints().catch((error) => say(error.message));
showNewest().catch((error) => say(error.message));
