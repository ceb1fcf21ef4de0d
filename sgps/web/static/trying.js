// Try the classifier on new pictures: bars of probabilities, "not sure", what may be foreign, the
// nearest support image.

import { call } from "./api.js";
import { dropZone } from "./drop_zone.js";
import { element, plural, sentence } from "./elements.js";
import { finding } from "./picture.js";
import { forget, upload } from "./uploads.js";

export class Trial {
  constructor(mostBytes) {
    this.mostBytes = mostBytes;
    this.answers = document.getElementById("answers");
    this.status = document.getElementById("trial-status");
    this.shown = [];
    document.getElementById("trial-drop").append(
      dropZone("Drop new pictures here, or choose them", "Choose new pictures to try", (files) => this.#take(files)),
    );
  }

  begin({ model_name: name, version }) {
    this.path = `/api/models/${encodeURIComponent(name)}/${encodeURIComponent(version)}`;
    for (const id of this.shown.splice(0)) forget(id);
    this.answers.replaceChildren();
    this.status.textContent = "";
    document.getElementById("trial").hidden = false;
  }

  async #take(files) {
    this.status.textContent = `Looking at ${plural(files.length, "picture")}…`;
    await Promise.all(files.map((file) => this.#tryOne(file)));
    this.status.textContent = `${plural(files.length, "picture")} looked at.`;
  }

  async #tryOne(file) {
    const item = element("li", { class: "answer" }, element("p", { class: "name" }, file.name));
    this.answers.prepend(item);
    try {
      const kept = await upload(file, this.mostBytes);
      this.shown.push(kept.id);
      const said = await call("POST", `${this.path}/predict?image=${kept.id}`);
      item.replaceChildren(...this.#show(file, kept, said));
    } catch (error) {
      item.append(element("p", { class: "error" }, sentence(error.message)));
    }
  }

  #show(file, kept, said) {
    const picture = element("figure", {},
      element("img", { src: `/api/images/${kept.id}`, alt: `${file.name}, the new picture` }),
      element("figcaption", {}, file.name));
    const sure = Math.round(100 * said.probabilities[said.label]);
    const verdict = said.abstains
      ? element("p", { class: "verdict unsure" }, element("strong", {}, "Not sure."),
        ` Nearest is ${said.label} with ${sure} %; the classifier had better not decide this one.`)
      : element("p", { class: "verdict" }, element("strong", {}, said.label), ` with ${sure} %`);
    const bars = element("dl", { class: "bars" });
    const ordered = Object.entries(said.probabilities).sort((one, other) => other[1] - one[1]);
    for (const [name, value] of ordered) bars.append(...bar(name, value));
    const words = element("div", { class: "words" }, verdict);
    if (said.foreign) words.append(foreign(said.resembles));
    words.append(bars);
    const doubts = kept.findings.filter((line) => line.severity === "warning");
    if (doubts.length) words.append(element("ul", { class: "findings" }, ...doubts.map(finding)));
    if (said.state !== "approved") {
      const state = said.state ? said.state.replaceAll("_", " ") : "not in the ledger";
      words.append(element("p", { class: "hint" }, `Nobody has approved this classifier yet (state: ${state}): rest no decision on it.`));
    }
    const parts = [picture, words];
    if (said.nearest) parts.push(this.#nearest(said.nearest));
    return parts;
  }

  #nearest({ number, class_name: name }) {
    return element("figure", { class: "nearest" },
      element("img", { src: `${this.path}/support/${number}`, alt: `The most similar picture that the classifier was made from, of the class ${name}` }),
      element("figcaption", {}, `Most like this one, of ${name}`));
  }
}

function foreign(resembles) {
  return element("p", { class: "foreign" },
    element("strong", {}, "Perhaps none of these classes."),
    " The classifier finds it less at home here than nine in ten of the pictures that it was made from. Of the classes known from"
    + ` the generator's training it is most like ${resembles}. That is a hint, not a diagnosis.`);
}

function bar(name, value) {
  const percent = Math.round(100 * value);
  const meter = element("meter", { min: "0", max: "1", value: String(value), "aria-hidden": "true" });
  return [element("dt", {}, name), element("dd", {}, meter, element("span", {}, `${percent} %`))];
}
