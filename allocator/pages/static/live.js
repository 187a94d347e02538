// The session, live. All tabs of a user share one event stream: browsers allow few connections to an HTTP/1.1 server, and
// the WebUI needs them. The tab that holds the lock listens and tells the others.

const LOCK = "atelier-events";
const SILENCE = 45_000; // three heartbeats: the stream is dead, whatever the socket says
const SELF = "atelier-went-by-itself";

export class Expired extends Error {}

/** `retryAfter`: after how many seconds it may be otherwise; 0 when nothing is known of that. */
export class Refused extends Error {
  constructor(message, retryAfter) {
    super(message);
    this.retryAfter = Number(retryAfter) || 0;
  }
}

/** One call of the API. Throws `Expired` when nobody is signed in any more, `Refused` with a sentence for the person. */
export async function api(method, path, body) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  const response = await fetch(`/_atelier/api/${path}`, {
    method, headers, cache: "no-store", keepalive: method !== "GET", body: body === undefined ? undefined : JSON.stringify(body),
  });
  if (response.status === 401) throw new Expired();
  if (!response.ok) {
    const answer = await response.json().catch(() => null);
    throw new Refused(answer?.error?.message ?? `The server answered ${response.status}. Try again in a moment.`, response.headers.get("Retry-After"));
  }
  return response.status === 204 ? null : response.json();
}

/** Tells `on.view(view)`, `on.connection(isLive)` and `on.expired()` as things happen, here or in another tab. */
export function follow(on) {
  const channel = new BroadcastChannel("atelier");
  let leading = false;
  let last = null;
  const tell = (message) => {
    if ("view" in message) last = message;
    deliver(on, message);
    channel.postMessage(message);
  };
  channel.onmessage = ({ data }) => {
    if (!("hello" in data)) deliver(on, data);
    else if (leading && last) channel.postMessage(last);
  };
  const lead = () => {
    leading = true;
    listen(tell);
    return new Promise(() => {}); // the lock is held for as long as this page lives
  };
  if (navigator.locks) navigator.locks.request(LOCK, lead);
  else lead();
  channel.postMessage({ hello: true });
}

function deliver(on, message) {
  if ("view" in message) {
    on.connection(true);
    on.view(message.view);
  } else if ("connection" in message) on.connection(message.connection);
  else if ("expired" in message) on.expired();
}

function listen(tell) {
  let pause = 500;
  let source = null;
  let silence = 0;
  const heard = () => {
    clearTimeout(silence);
    silence = setTimeout(again, SILENCE);
  };
  const again = () => {
    clearTimeout(silence);
    source?.close();
    source = new EventSource("/_atelier/api/events");
    source.onopen = () => { pause = 500; heard(); };
    source.addEventListener("session", (event) => { heard(); tell({ view: JSON.parse(event.data) }); });
    source.addEventListener("heartbeat", heard);
    source.onerror = () => { tell({ connection: false }); recover(source); };
    heard();
  };
  const recover = async (failed) => {
    if (failed.readyState !== EventSource.CLOSED) return; // the browser comes back by itself
    clearTimeout(silence);
    try {
      await api("GET", "session");
    } catch (error) {
      if (error instanceof Expired) return tell({ expired: true });
    }
    setTimeout(again, pause);
    pause = Math.min(pause * 2, 5000);
  };
  again();
}

/** Marks what the page does next as its own doing, not a person's: the waiting room then starts nothing. */
export function byItself() {
  sessionStorage.setItem(SELF, String(Date.now()));
}

export function cameByItself() {
  return Date.now() - Number(sessionStorage.getItem(SELF) ?? 0) < 30_000;
}

/** The sign-in has ended: one reload brings the proxy's sign-in, more would only loop. Says whether it reloads. */
export function signInAgain() {
  if (cameByItself()) return false;
  byItself();
  location.reload();
  return true;
}
