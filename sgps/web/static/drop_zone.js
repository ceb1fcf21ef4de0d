// A place to drop files on, which is a file button too: Tab reaches it, Enter and Space open it.

import { copyOf } from "./elements.js";

export function dropZone(text, description, onFiles) {
  const zone = copyOf("drop-zone");
  const input = zone.querySelector("input");
  zone.querySelector(".text").textContent = text;
  input.setAttribute("aria-label", description);
  input.addEventListener("change", () => {
    const files = [...input.files];
    input.value = "";
    if (files.length) onFiles(files);
  });
  const over = (event) => {
    event.preventDefault();
    zone.classList.add("over");
  };
  zone.addEventListener("dragenter", over);
  zone.addEventListener("dragover", over);
  zone.addEventListener("dragleave", (event) => {
    if (!zone.contains(event.relatedTarget)) zone.classList.remove("over");
  });
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    const files = [...event.dataTransfer.files];
    if (files.length) onFiles(files);
  });
  return zone;
}

// A file that misses its zone must not replace the page.
for (const kind of ["dragover", "drop"]) {
  window.addEventListener(kind, (event) => event.preventDefault());
}
