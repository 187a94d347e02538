// The desk: a bar over the WebUI's frame. It tells how the session is, hears whether a person is there, and warns before the end.

import { about, clock, connectionNote, now, sendForms, setText, show } from "./bind.js";
import { Frame, whenAnswers } from "./frame.js";
import { Expired, api, byItself, follow, signInAgain } from "./live.js";
import { Presence } from "./presence.js";

const get = (id) => document.getElementById(id);
const page = get("page");
const LAST_CALL = 20;
const SOON = 600; // before that, the limit of a WebUI that works is nobody's concern
let view = JSON.parse(page.dataset.view);
let gameserver = view.gameserver;
let over = false;
let warned = "";

const frame = new Frame(get("frame"), JSON.parse(page.dataset.pages));
const presence = new Presence(async (source) => {
  try {
    await api("POST", "presence", { source });
  } catch (error) {
    if (error instanceof Expired) expired();
    throw error;
  }
});

function update(next) {
  if (over && next.state === "none") return; // the record of it has lapsed; what was said stays
  if (next.state !== view.state) get("problem").hidden = true;
  view = next.state === "none" ? { ...next, state: "ended" } : next;
  if (over && !["releasing", "ended", "failed"].includes(view.state)) return leave();
  if (!over && view.state !== "active" && view.state !== "ending") end();
  show(view);
  presence.pace(view);
  get("status").dataset.busy = busy();
  if (!over && view.gameserver !== gameserver) {
    gameserver = view.gameserver;
    frame.reload(); // released and started again elsewhere, while nobody told us
  }
  tick();
}

function busy() {
  return ["busy", "idle"].includes(view.busy?.state) ? view.busy.state : "unknown";
}

/** What a call answered, unless something newer was heard meanwhile. */
function answered(next) {
  get("problem").hidden = true;
  if (next.now >= view.now) update(next);
}

/** The session has ended, here or in another tab: the WebUI is gone, what remains is why. */
function end() {
  over = true;
  frame.remove();
  get("bar").hidden = get("unhide").hidden = get("warning").hidden = get("recovery").hidden = true;
  if (get("why").matches(":popover-open")) get("why").hidePopover();
  get("confirm").close();
  get("heading").hidden = true;
  get("over").hidden = false;
}

/** Started again: the waiting room knows the way back. */
function leave() {
  byItself();
  location.replace(`/_atelier/start?at=${encodeURIComponent(frame.path)}`);
}

function tick() {
  if (over) return;
  const left = view.releases_at === null ? null : view.releases_at - now();
  setText(get("left"), left !== null && (busy() === "idle" || left < SOON) ? `${about(left)} left` : "");
  const activity = view.last_activity;
  setText(get("last-activity"), activity ? `${about(now() - activity.at)} ago (${activity.kind})` : "none yet");
  warn(left);
  watchFrame();
}

function warn(left) {
  const near = left !== null && view.state === "ending";
  get("warning").hidden = !near;
  frame.prefix = near ? "Ending soon · " : "";
  if (!near) {
    if (warned) setText(get("announce"), "");
    warned = "";
    return;
  }
  setText(get("countdown"), clock(left));
  const level = left <= LAST_CALL ? "last" : "first";
  if (level === warned) return;
  warned = level;
  showBar(true);
  setText(get("announce"), `Your WebUI is released in ${about(left)} because nobody seems to be here. Press “I am still here” to keep it.`);
}

/** Also each second: a page that is still loading, or moves about without loading, tells nobody. */
function watchFrame() {
  if (frame.window) presence.hear(frame.window);
  frame.mirror();
}

async function loaded() {
  watchFrame();
  const failed = frame.shows === "unknown";
  get("recovery").hidden = !failed;
  get("frame").classList.toggle("failed", failed);
  if (!failed) return frame.shows === "webui" && frame.focus(); // our own page for a failure comes back by itself
  try {
    answered(await api("GET", "session"));
  } catch (error) {
    if (error instanceof Expired) return expired();
  }
  if (over) return;
  await whenAnswers(frame.path);
  if (!over) frame.reload();
}

function failed(error) {
  if (error instanceof Expired) return expired();
  say(error instanceof TypeError ? "Atelier cannot be reached just now. Try again in a moment." : error.message);
}

function expired() {
  if (!signInAgain()) say("Your sign-in has ended. Reload this page to sign in again.");
}

function say(text) {
  get("problem").textContent = text;
  get("problem").hidden = false;
}

function showBar(wanted) {
  get("bar").hidden = !wanted;
  get("unhide").hidden = wanted;
  sessionStorage.setItem("atelier-bar", wanted ? "" : "hidden");
}

get("hide").addEventListener("click", () => { showBar(false); get("frame").focus(); });
get("unhide").addEventListener("click", () => { showBar(true); get("hide").focus(); });
get("release").addEventListener("submit", (event) => {
  event.preventDefault();
  get("confirm").returnValue = "";
  get("confirm").showModal();
});
get("confirm").addEventListener("close", () => {
  if (get("confirm").returnValue === "release") api("DELETE", "session").then(answered, failed);
});
get("frame").addEventListener("load", loaded);
sendForms(
  api,
  (next, form) => {
    answered(next);
    if (form.dataset.api.endsWith("extend")) setText(get("said"), `Extended. ${get("left").textContent}`);
  },
  failed,
);
presence.hear(window);
presence.pace(view);
if (sessionStorage.getItem("atelier-bar") === "hidden" && view.state === "active") showBar(false);
if (location.hash) get("frame").src = page.dataset.at + location.hash; // the server never sees it
if (frame.window?.document.readyState === "complete") loaded();
follow({ view: update, connection: connectionNote(get("connection")), expired });
setInterval(tick, 1000);
tick();
