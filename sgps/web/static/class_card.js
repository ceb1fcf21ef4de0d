// One class of the task: its name, its text, its pictures.

import { call } from "./api.js";
import { dropZone } from "./drop_zone.js";
import { copyOf, element, plural } from "./elements.js";
import { Picture } from "./picture.js";
import { forget, upload } from "./uploads.js";

export class ClassCard {
  constructor({ mostBytes, mostPictures, onChange, onRemove }) {
    this.mostBytes = mostBytes;
    this.mostPictures = mostPictures;
    this.onChange = onChange;
    this.pictures = [];
    this.root = copyOf("class-card");
    this.legend = this.root.querySelector("legend");
    this.name = this.root.querySelector("[data-id=name]");
    this.text = this.root.querySelector("[data-id=text]");
    this.list = this.root.querySelector(".images");
    this.status = this.root.querySelector(":scope > .progress");
    this.persons = element("input", { type: "checkbox" });
    this.personsLine = element(
      "label", { class: "check", hidden: true }, this.persons,
      "Say which person each picture is of, so that it can be erased later",
    );
    this.list.before(this.personsLine);
    this.persons.addEventListener("change", () => this.#showPersons());
    this.root.querySelector(".drop").append(
      dropZone("Drop pictures here, or choose them", "Choose pictures of this class", (files) => this.take(files)),
    );
    this.root.querySelector(".remove-class").addEventListener("click", () => onRemove(this));
    this.#offerTexts();
  }

  set number(value) {
    this.legend.textContent = `Class ${value}`;
    this.root.querySelector(".remove-class").setAttribute("aria-label", `Remove class ${value}`);
    this.root.querySelector("input[type=file]").setAttribute("aria-label", `Choose pictures of class ${value}`);
  }

  get kept() {
    return this.pictures.filter((picture) => picture.id);
  }

  get title() {
    return this.legend.textContent.toLowerCase();
  }

  get busy() {
    return this.pictures.some((picture) => !picture.id && !picture.failed);
  }

  async take(files) {
    const room = this.mostPictures - this.pictures.length;
    const taken = files.slice(0, room);
    this.status.textContent = `Checking ${plural(taken.length, "picture")}…`;
    await Promise.all(taken.map((file) => this.#add(file)));
    const refused = this.pictures.filter((picture) => picture.failed).length;
    const parts = [`${plural(this.kept.length, "picture")} in this class`];
    if (refused) parts.push(`${plural(refused, "file")} not taken, see above why`);
    if (files.length > room) parts.push(`only ${this.mostPictures} fit, the rest was left out`);
    this.status.textContent = `${parts.join("; ")}.`;
    this.onChange();
  }

  request() {
    const asked = {
      name: this.name.value,
      description: this.text.value,
      images: this.kept.map((picture) => picture.id),
    };
    if (this.persons.checked) {
      const persons = this.kept.map((picture) => picture.person.value.trim());
      if (persons.some(Boolean)) asked.persons = persons;
    }
    return asked;
  }

  // images: what the answer says of the pictures of this class.
  showInfluence(images) {
    const found = new Map(images.map((each) => [each.pixel_sha256, each]));
    for (const picture of this.kept) {
      picture.influence = found.get(picture.kept.pixel_sha256) || null;
      picture.show();
    }
  }

  discard() {
    for (const picture of this.kept) forget(picture.id);
    this.root.remove();
  }

  async #add(file) {
    const picture = new Picture(file, (removed) => this.#remove(removed));
    this.pictures.push(picture);
    this.list.append(picture.item);
    try {
      picture.arrived(await upload(file, this.mostBytes));
    } catch (error) {
      picture.refused(error);
    }
    if (!this.pictures.includes(picture) && picture.id) forget(picture.id);
    this.#showPersons();
  }

  #remove(picture) {
    const place = this.pictures.indexOf(picture);
    this.pictures.splice(place, 1);
    picture.item.remove();
    if (picture.id) forget(picture.id);
    const next = this.pictures[place] || this.pictures[place - 1];
    (next ? next.remove : this.root.querySelector("input[type=file]")).focus();
    this.status.textContent = `${plural(this.kept.length, "picture")} in this class.`;
    this.#showPersons();
    this.onChange();
  }

  #showPersons() {
    this.personsLine.hidden = this.kept.length === 0;
    for (const picture of this.pictures) {
      picture.personField.hidden = !(this.persons.checked && picture.id);
    }
  }

  #offerTexts() {
    const pick = this.root.querySelector(".pick");
    const query = pick.querySelector("[data-id=query]");
    const status = pick.querySelector(".progress");
    const texts = pick.querySelector(".texts");
    let timer = 0;
    const look = async () => {
      const words = query.value.trim() || this.name.value.trim();
      try {
        const { descriptions, found } = await call("GET", `/api/descriptions?query=${encodeURIComponent(words)}`);
        status.textContent = found > descriptions.length
          ? `The first ${descriptions.length} of ${found} texts; add a word to find others.`
          : plural(found, "text");
        texts.replaceChildren(...descriptions.map((each) => this.#offer(each, pick)));
      } catch (error) {
        status.textContent = error.message;
      }
    };
    pick.addEventListener("toggle", () => pick.open && look());
    query.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(look, 200);
    });
    query.addEventListener("keydown", (event) => {
      if (event.key === "Enter") event.preventDefault();
    });
  }

  #offer({ dataset, label, title, text }, pick) {
    const button = element("button", { type: "button", class: "text-choice" },
      element("strong", {}, `${title} (${dataset.replaceAll("_", " ")})`), " ", text);
    button.addEventListener("click", () => {
      this.text.value = text;
      if (!this.name.value.trim()) this.name.value = label.replaceAll("_", " ");
      this.text.dispatchEvent(new Event("input", { bubbles: true }));
      pick.open = false;
      this.text.focus();
    });
    return element("li", {}, button);
  }
}
