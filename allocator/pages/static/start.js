// The waiting room: starts when a person looks at it, tells how far it is, and lands in the WebUI.

import { about, clock, connectionNote, now, sendForms, setText, show } from "./bind.js";
import { Expired, api, cameByItself, follow, signInAgain } from "./live.js";

const page = document.getElementById("page");
const problem = document.getElementById("problem");
const ORDER = ["queued", "allocating", "preparing", "active"];
let view = JSON.parse(page.dataset.view);
let landing = false;

function update(next) {
  if (next.state === "none" && ["ended", "failed"].includes(view.state)) return; // the record has lapsed; what was said stays
  if (next.state !== view.state) problem.hidden = true; // else what was refused would not be read
  view = next;
  show(view);
  steps();
  tick();
  if ((view.state === "active" || view.state === "ending") && !landing) {
    landing = true;
    location.replace(page.dataset.at);
  }
}

/** What a call answered, unless something newer was heard meanwhile. */
function answered(next) {
  problem.hidden = true;
  if (next.now >= view.now) update(next);
}

function steps() {
  const reached = ORDER.indexOf(view.state);
  for (const item of document.querySelectorAll("[data-step]")) {
    const index = ORDER.indexOf(item.dataset.step);
    item.dataset.is = index < reached ? "done" : index === reached ? "now" : "next";
    if (index === reached) item.setAttribute("aria-current", "step");
    else item.removeAttribute("aria-current");
  }
  view.timeline.forEach(([state, at], index) => {
    const until = view.timeline[index + 1]?.[1];
    const place = document.querySelector(`[data-took="${CSS.escape(state)}"]`);
    if (place) setText(place, until === undefined ? "" : until - at < 1 ? "under 1 s" : about(until - at));
  });
}

function tick() {
  const began = view.timeline[0]?.[1] ?? view.since ?? now();
  setText(document.getElementById("elapsed"), clock(now() - began));
  const expected = document.getElementById("expected");
  if (view.eta_seconds === null) return setText(expected, "");
  const more = view.eta_seconds - (now() - view.now);
  setText(expected, more >= 1 ? `about ${about(more)} more` : "a little longer than usual");
}

function failed(error) {
  if (error instanceof Expired) return expired();
  problem.textContent = error instanceof TypeError ? "Atelier cannot be reached just now. Try again in a moment." : error.message;
  problem.hidden = false;
}

function expired() {
  if (signInAgain()) return;
  problem.textContent = "Your sign-in has ended. Reload this page to sign in again.";
  problem.hidden = false;
}

/** A visible tab that a person navigated to starts by itself; one in the background waits until it is looked at. */
function startWhenSeen() {
  if (document.visibilityState !== "visible") {
    return document.addEventListener("visibilitychange", startWhenSeen, { once: true });
  }
  if (view.state === "none") api("POST", "session", {}).then(answered, tryAgain);
}

function tryAgain(error) {
  failed(error);
  if (error.retryAfter) setTimeout(startWhenSeen, error.retryAfter * 1000);
}

sendForms(api, answered, failed);
follow({ view: update, connection: connectionNote(document.getElementById("connection")), expired });
if (view.state === "none" && page.dataset.profiles === "1" && !cameByItself()) startWhenSeen();
steps();
setInterval(tick, 1000);
