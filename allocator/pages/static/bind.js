// Carries a session's view into what the server rendered. All words are in the templates; elements say what they show:
// data-states (shown in these), data-text, data-value (a field of the view), data-filled (hidden while that field is empty).

let skew = 0; // server's clock less ours, in seconds

/** Seconds since the epoch, by the server's clock. */
export const now = () => Date.now() / 1000 + skew;

/** A running time: 0:07, 12:30, 1:02:03. */
export function clock(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  const two = (n) => String(n).padStart(2, "0");
  const minutes = Math.floor(whole / 60) % 60;
  return whole < 3600 ? `${minutes}:${two(whole % 60)}` : `${Math.floor(whole / 3600)}:${two(minutes)}:${two(whole % 60)}`;
}

/** A length of time as people say it: 20 s, 3 min, 2 h 5 min. */
export function about(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 90) return `${whole} s`;
  const minutes = Math.round(whole / 60);
  if (minutes < 90) return `${minutes} min`;
  return minutes % 60 ? `${Math.floor(minutes / 60)} h ${minutes % 60} min` : `${minutes / 60} h`;
}

/** Only what differs is touched: a live region speaks when it is written to. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Shows the view. The first heading of a section that appears gets the focus, so that it is read out. */
export function show(view) {
  skew = view.now - Date.now() / 1000;
  const text = (name) => String(view[name] ?? "");
  for (const element of document.querySelectorAll("[data-text]")) {
    if (text(element.dataset.text)) setText(element, text(element.dataset.text));
  }
  for (const element of document.querySelectorAll("[data-value]")) element.value = text(element.dataset.value);
  for (const element of document.querySelectorAll("[data-filled]")) element.hidden = !text(element.dataset.filled);
  for (const section of document.querySelectorAll("[data-states]")) {
    const wanted = section.dataset.states.split(" ").includes(view.state);
    if (wanted === !section.hidden) continue;
    section.hidden = !wanted;
    if (wanted) appear(section);
  }
}

function appear(section) {
  if (section.dataset.title) document.title = section.dataset.title;
  section.querySelector("h1")?.focus({ preventScroll: true });
}

/** Forms with data-api="METHOD path" are sent by script instead; `done(view)` or `failed(error)` is called. */
export function sendForms(send, done, failed) {
  for (const form of document.querySelectorAll("form[data-api]")) {
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      const [method, path] = form.dataset.api.split(" ");
      const fields = Object.fromEntries(new FormData(form, event.submitter));
      const buttons = form.querySelectorAll("button");
      for (const button of buttons) button.disabled = true;
      try {
        done(await send(method, path, method === "POST" ? fields : undefined), form);
      } catch (error) {
        failed(error);
      } finally {
        for (const button of buttons) button.disabled = false;
      }
    });
  }
}

/** The quiet note that the stream is gone: only after two seconds, most gaps are shorter. */
export function connectionNote(element) {
  let timer = 0;
  return (live) => {
    if (live) {
      clearTimeout(timer);
      timer = 0;
      element.hidden = true;
    } else if (!timer) timer = setTimeout(() => { element.hidden = false; }, 2000);
  };
}
