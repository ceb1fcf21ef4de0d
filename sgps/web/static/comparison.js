// Which pictures on the page show the same; the newest comparison counts.

import { call } from "./api.js";

export class Comparison {
  constructor(cards) {
    this.cards = cards;
    this.pairs = [];
    this.turn = 0;
    this.running = Promise.resolve();
  }

  run() {
    this.running = this.#compare();
    return this.running;
  }

  // One line for each two classes that share a picture, with the button that takes it out.
  async problems() {
    await this.running;
    const shared = new Map();
    const isThere = ({ card, picture }) => this.cards.includes(card) && card.pictures.includes(picture);
    for (const [one, other] of this.pairs) {
      if (one.card === other.card || !isThere(one) || !isThere(other)) continue;
      const key = `${one.card.title} ${other.card.title}`;
      shared.set(key, [...(shared.get(key) || []), [one, other]]);
    }
    return [...shared.values()].map((pairs) => {
      const [one, other] = pairs[0];
      const more = new Set(pairs.map((pair) => pair[1].picture)).size - 1;
      const others = more ? `, and ${more} more like this` : "";
      return [
        other.picture.remove,
        `“${other.picture.name}” of ${other.card.title} shows the same as “${one.picture.name}” of ${one.card.title}`
          + `${others}: a picture may be in one class only, remove it from the other`,
      ];
    });
  }

  async #compare() {
    const turn = (this.turn += 1);
    const placed = this.cards.flatMap((card) => card.kept.map((picture) => [picture.id, { card, picture }]));
    const found = new Map(placed);
    for (const { picture } of found.values()) picture.influence = null;
    let repeats = [];
    if (found.size > 1) {
      try {
        ({ repeats } = await call("POST", "/api/images/compare", { json: { images: [...found.keys()] } }));
      } catch {
        return;
      }
    }
    if (turn !== this.turn) return;
    this.pairs = repeats.map(([first, second]) => [found.get(first), found.get(second)]);
    for (const { picture } of found.values()) picture.repeats = [];
    for (const [one, other] of this.pairs) {
      note(one, other);
      note(other, one);
    }
    for (const { picture } of found.values()) picture.show();
  }
}

// Those of another class come first: they keep the request from being accepted.
function note(one, other) {
  if (one.card === other.card) one.picture.repeats.push(other.picture.name);
  else one.picture.repeats.unshift(`${other.picture.name} of ${other.card.title}`);
}
