// Hears whether a person is there: trusted pointer, touch, wheel and keyboard events, in the desk and in the frame.

const EVENTS = ["pointerdown", "pointermove", "wheel", "keydown"];
const WHILE_ENDING = 1;
const AFTER_FAILURE = 5;

export class Presence {
  /** `report(source)` is called at once when presence begins, then at most once per interval. It may reject. */
  constructor(report) {
    this.report = report;
    this.interval = 60;
    this.next = 0;
    this.pointer = null;
  }

  /** The desk's view says how often; while a release is announced the next sign of a person counts at once. */
  pace(view) {
    this.interval = view.presence_seconds;
    if (view.state === "ending") this.next = Math.min(this.next, Date.now() + WHILE_ENDING * 1000);
  }

  /** Safe to repeat: the same listener on the same window is one listener. A new document has a new window. */
  hear(target) {
    for (const type of EVENTS) target.addEventListener(type, this, { capture: true, passive: true });
  }

  handleEvent(event) {
    if (!event.isTrusted || !this.moved(event) || Date.now() < this.next) return;
    this.next = Date.now() + this.interval * 1000;
    const source = event.type === "keydown" ? "keyboard" : event.type === "wheel" ? "wheel" : event.pointerType === "touch" ? "touch" : "pointer";
    this.report(source).catch(() => { this.next = Date.now() + AFTER_FAILURE * 1000; });
  }

  /** Browsers send a trusted move to a resting pointer when the page changes under it: only a new place is a person. */
  moved(event) {
    if (event.type !== "pointermove") return true;
    const before = this.pointer;
    this.pointer = [event.screenX, event.screenY];
    return before !== null && (before[0] !== event.screenX || before[1] !== event.screenY);
  }
}
