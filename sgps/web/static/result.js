// The classifier that came of a request: its receipt, what its pictures do, a place to try it.

import { element } from "./elements.js";
import { showReceipt } from "./receipt.js";
import { Trial } from "./trying.js";

export class Result {
  constructor(cards, mostBytes) {
    this.cards = cards;
    this.trial = new Trial(mostBytes);
    this.section = document.getElementById("result");
    this.receipt = document.getElementById("receipt");
    this.stale = document.getElementById("stale");
  }

  show(answer, { restored = false } = {}) {
    showReceipt(this.receipt, answer, (label, number) => this.#nameOf(answer, label, number));
    if (restored) this.receipt.prepend(element("p", { class: "hint" }, "Made earlier. The form above is empty: the pictures of this classifier are kept with it."));
    else this.#showInfluence(answer.influence);
    this.section.hidden = false;
    this.trial.begin(answer.receipt);
    this.section.focus();
    this.section.scrollIntoView({ block: "start" });
  }

  // Say whether the form holds something else than what this was made from.
  markStale(isStale) {
    const text = isStale
      ? "Made from the earlier pictures and words: what you changed above is not in it. Make the classifier again to take it in."
      : "";
    this.section.classList.toggle("stale", isStale);
    this.stale.hidden = !isStale;
    if (this.stale.textContent !== text) this.stale.textContent = text;
  }

  // Numbers are those of the request that was answered, which may have had another order.
  #nameOf({ influence }, label, number) {
    const card = this.cards.find((each) => each.name.value.trim() === label);
    const told = influence.find((each) => each.class === label)?.images || [];
    if (!card || !told.length) return "";
    const digest = told.find((each) => each.image === number)?.pixel_sha256;
    const same = told.every((each) => each.pixel_sha256 === card.kept[each.image - 1]?.kept.pixel_sha256);
    const picture = same
      ? card.kept[number - 1]
      : card.kept.find((each) => digest && each.kept.pixel_sha256 === digest);
    return picture ? `“${picture.name}”` : "";
  }

  #showInfluence(classes) {
    const found = new Map(classes.map((each) => [each.class, each.images]));
    for (const card of this.cards) card.showInfluence(found.get(card.name.value.trim()) || []);
    const surprising = this.cards.flatMap((card) =>
      card.kept.filter((picture) => picture.surprises).map((picture) => surprise(card, picture)),
    );
    if (!surprising.length) return;
    this.receipt.append(
      element("h3", {}, "Pictures that are unlike the others of their class"),
      element("p", { class: "hint" }, "This may well be right: a rare form, another light. See that they are in the right class."),
      element("ul", { class: "images" }, ...surprising),
    );
  }
}

function surprise(card, picture) {
  const { taken_for: other } = picture.influence;
  return element("li", { class: "picture" },
    element("div", { class: "frame" }, element("img", { src: `/api/images/${picture.id}`, alt: picture.name })),
    element("p", { class: "name", title: picture.name }, picture.name),
    element("p", {}, `Given as “${card.name.value.trim()}”. Without this picture it would be taken for “${other}”.`),
  );
}
