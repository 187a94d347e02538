// The user's images, newest first, as they lie in the outputs folder.
const list = document.getElementById("pictures");
const more = document.getElementById("more");

function item(picture) {
  const made = new Date(picture.modified * 1000);
  const link = document.createElement("a");
  link.href = "file=" + picture.path.split("/").map(encodeURIComponent).join("/");
  link.target = "_blank";
  const image = document.createElement("img");
  image.src = link.href;
  image.alt = picture.parameters.split("\n")[0] || "Untitled image";
  image.title = picture.parameters;
  image.loading = "lazy";
  const time = document.createElement("time");
  time.dateTime = made.toISOString();
  time.textContent = made.toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  link.append(image);
  const entry = document.createElement("li");
  entry.append(link, time);
  return entry;
}

async function load(offset) {
  const reply = await fetch(`easel/gallery?offset=${offset}`);
  if (!reply.ok) throw new Error(`the gallery answered ${reply.status}`);
  const { pictures, total } = await reply.json();
  const entries = pictures.map(item);
  offset ? list.append(...entries) : list.replaceChildren(...entries);
  document.getElementById("count").textContent = total ? `(${total})` : "";
  document.getElementById("gallery-empty").hidden = total > 0;
  more.hidden = list.children.length >= total;
}

more.addEventListener("click", async () => {
  const first = list.children.length;
  await load(first);
  list.children[first]?.querySelector("a").focus();
});

export const showNewest = () => load(0);
