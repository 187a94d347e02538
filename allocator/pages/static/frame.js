// The WebUI in the desk: its title and path are shown as the tab's, it has the focus, and it comes back after a failure.

const DOWN = [502, 503, 504];

/** Resolves when `path` is answered by something other than "not available". */
export async function whenAnswers(path, every = 2000) {
  for (;;) {
    try {
      const response = await fetch(path, { method: "HEAD", cache: "no-store", signal: AbortSignal.timeout(10_000) });
      if (!DOWN.includes(response.status)) return;
    } catch { /* not yet */ }
    await new Promise((resolve) => { setTimeout(resolve, every); });
  }
}

export class Frame {
  /** `pages` are the WebUI's pages as regular expressions: their path becomes the tab's, so that a reload comes back here. */
  constructor(element, pages) {
    this.element = element;
    this.pages = pages.map((page) => new RegExp(`^(?:${page})$`));
    this.path = element.getAttribute("src");
    this.prefix = "";
  }

  /** The window, or null when it shows a page of another origin: the browser's own error page is one. */
  get window() {
    try {
      return this.element.contentWindow?.document ? this.element.contentWindow : null;
    } catch {
      return null;
    }
  }

  /** What is in it: the WebUI, our page that the WebUI is unavailable, or something that we may not look into. */
  get shows() {
    const inner = this.window;
    if (inner === null) return "unknown";
    return inner.document.documentElement.dataset.page === "unavailable" ? "unavailable" : "webui";
  }

  /** Shows the WebUI's title and path as the tab's own. */
  mirror() {
    const { document: inner, location: at } = this.window ?? {};
    if (!inner || at.protocol === "about:" || at.pathname.startsWith("/_atelier/")) return;
    this.path = at.pathname + at.search + at.hash;
    const shown = this.pages.some((page) => page.test(at.pathname)) ? this.path : `/_atelier/desk?at=${encodeURIComponent(this.path)}`;
    const address = location.origin + shown; // not a relative address: a path may begin with two slashes
    if (location.href !== address) history.replaceState(history.state, "", address);
    const title = this.prefix + (inner.title || this.element.title);
    if (document.title !== title) document.title = title;
  }

  /** Typing goes to the WebUI, unless a person is using the bar. Browsers ignore autofocus in a frame that has the focus. */
  focus() {
    if (document.activeElement !== document.body && document.activeElement !== this.element) return;
    this.element.focus();
    const inner = this.window?.document;
    if (inner && inner.activeElement === inner.body) inner.querySelector("[autofocus]")?.focus();
  }

  reload() {
    this.element.contentWindow.location.replace(location.origin + this.path);
  }

  remove() {
    this.element.remove();
  }
}
