// In place of a WebUI's page while the WebUI does not answer: comes back by itself.

import { whenAnswers } from "./frame.js";
import { byItself, follow } from "./live.js";

const page = document.getElementById("page");
const target = location.pathname.startsWith("/_atelier/") ? page.dataset.at : location.pathname + location.search + location.hash;
const address = location.origin + target;

function back() {
  if (location.href === address) location.reload();
  else location.replace(address);
}

document.getElementById("again").href = address;
whenAnswers(target).then(back);
if (window.top === window) {
  follow({
    connection() {},
    expired: back,
    view(view) {
      if (["active", "ending"].includes(view.state)) return;
      byItself();
      location.replace(`/_atelier/start?at=${encodeURIComponent(target)}`);
    },
  });
}
