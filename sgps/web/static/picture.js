// One picture of a class: its thumbnail, what the checks say of it, a button to take it out.

import { element, newId, plural, sentence } from "./elements.js";
import { plainly } from "./words.js";

// From how many points of 100 on it is worth a line what a picture does to the others.
const MANY_POINTS = 5;

export class Picture {
  constructor(file, onRemove) {
    this.name = file.name;
    this.id = null;
    this.failed = false;
    this.repeats = [];
    this.influence = null;
    this.findings = element("ul", { class: "findings" });
    this.frame = element("div", { class: "frame" }, element("span", { class: "wait" }, "Checking…"));
    this.person = element("input", { maxlength: "80", autocomplete: "off" });
    this.personField = element(
      "label", { class: "person", hidden: true }, "Person (a code, no name)", this.person,
    );
    const remove = element(
      "button", { type: "button", class: "quiet remove", id: newId("remove"), "aria-label": `Remove ${file.name}` }, "Remove",
    );
    remove.addEventListener("click", () => onRemove(this));
    this.item = element(
      "li", { class: "picture" }, this.frame,
      element("p", { class: "name", title: file.name }, file.name),
      this.findings, this.personField, remove,
    );
    this.remove = remove;
  }

  // Whether the other pictures alone would give it another class.
  get surprises() {
    return Boolean(this.influence && this.influence.judged && this.influence.contradicts_its_class);
  }

  arrived(kept) {
    this.id = kept.id;
    this.kept = kept;
    const size = `${kept.width} × ${kept.height}`;
    this.frame.replaceChildren(
      element("img", { src: `/api/images/${kept.id}`, alt: `${this.name}, ${size} pixels` }),
    );
    this.show();
  }

  refused(error) {
    this.failed = true;
    this.item.classList.add("refused");
    this.frame.replaceChildren(element("span", { class: "wait" }, "Not taken"));
    this.show([{ severity: "error", message: error.message }]);
  }

  show(extra = []) {
    const lines = [...extra, ...(this.kept ? this.kept.findings : [])].map((line) => ({ ...line }));
    for (const line of lines) {
      if (line.code === "metadata_removed") line.short = takenOut(this.kept.removed);
    }
    if (this.repeats.length) lines.push({ severity: "warning", message: sameAs(this.repeats) });
    if (this.influence) lines.push(...this.#influenceLines());
    if (!lines.length && this.kept) lines.push({ severity: "good", message: "Looks fine" });
    this.findings.replaceChildren(...lines.map(finding));
  }

  #influenceLines() {
    const points = 100 * this.influence.influence;
    const lines = [];
    if (this.surprises) lines.push(`Without this picture it would be taken for “${this.influence.taken_for}”`);
    if (this.surprises || points >= MANY_POINTS) {
      lines.push(`Without it, the answers for the other pictures change by ${points.toFixed(1)} points of 100`);
    }
    return lines.map((message) => ({ severity: "note", message }));
  }
}

function sameAs([first, ...others]) {
  return `Shows the same as ${first}${others.length ? ` and ${plural(others.length, "other")}` : ""}`;
}

const HIDDEN_DATA = {
  exif: "camera data (EXIF)",
  icc: "a colour profile",
  iptc: "captions (IPTC)",
  pictures: "further pictures",
  text: "comments",
  xmp: "editing data (XMP)",
};

function takenOut(kinds) {
  return `Taken out: ${kinds.map((kind) => HIDDEN_DATA[kind] || kind).join(", ")}`;
}

const WORDS = { error: "Error: ", warning: "Look: ", note: "", good: "" };

export function finding({ severity, code, message, short = plainly(code, message) }) {
  const kind = severity in WORDS ? severity : "warning";
  return element("li", { class: kind, title: short === message ? undefined : message }, WORDS[kind], sentence(short));
}
