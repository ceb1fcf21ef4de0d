// The steward's page: classes, the request, its result.

import { call } from "./api.js";
import { ClassCard } from "./class_card.js";
import { element, sentence } from "./elements.js";
import { make, showReceipt, showSteps } from "./making.js";
import { Trial } from "./trying.js";

const form = document.getElementById("request");
const place = document.getElementById("classes");
const addButton = document.getElementById("add-class");
const makeButton = document.getElementById("make");
const problems = document.getElementById("problems");
const progress = document.getElementById("progress");
const steps = document.getElementById("steps");
const mostBytes = Number(form.dataset.mostBytes);
const mostPictures = Number(form.dataset.mostPictures);
const FEWEST = Number(form.dataset.fewestClasses);
const MOST = Number(form.dataset.mostClasses);
const trial = new Trial(mostBytes);
const cards = [];
let comparison = 0;

function addClass() {
  const card = new ClassCard({ mostBytes, mostPictures, onChange: compare, onRemove: removeClass });
  cards.push(card);
  place.append(card.root);
  number();
  return card;
}

function removeClass(card) {
  const position = cards.indexOf(card);
  cards.splice(position, 1);
  card.discard();
  number();
  (cards[position] || cards[position - 1]).name.focus();
  compare();
}

function number() {
  cards.forEach((card, position) => {
    card.number = position + 1;
    card.root.querySelector(".remove-class").hidden = cards.length <= FEWEST;
  });
  addButton.hidden = cards.length >= MOST;
}

async function compare() {
  const kept = cards.flatMap((card) => card.kept.map((picture) => ({ card, picture })));
  const mine = (comparison += 1);
  for (const { picture } of kept) picture.influence = null;
  const names = new Map(kept.map(({ card, picture }) => [picture.id, { picture, card }]));
  let repeats = [];
  if (kept.length > 1) {
    try {
      ({ repeats } = await call("POST", "/api/images/compare", { json: { images: [...names.keys()] } }));
    } catch {
      return;
    }
  }
  if (mine !== comparison) return;
  for (const { picture } of kept) picture.repeats = [];
  for (const [first, second] of repeats) {
    note(names.get(first), names.get(second));
    note(names.get(second), names.get(first));
  }
  for (const { picture } of kept) picture.show();
}

function note(one, other) {
  const elsewhere = one.card === other.card ? "" : ` of ${other.card.legend.textContent.toLowerCase()}`;
  one.picture.repeats.push(`${other.picture.name}${elsewhere}`);
}

function missing() {
  const found = [];
  const need = (field, text) => field.value.trim() || found.push([field, text]);
  need(form.elements.task, "Give the task a name");
  need(form.elements.requester, "Say who you are");
  need(form.elements.purpose, "Say why it is wanted");
  const seen = new Map();
  for (const [position, card] of cards.entries()) {
    const zone = card.root.querySelector("input[type=file]");
    const title = `Class ${position + 1}`;
    const name = card.name.value.trim().toLowerCase();
    need(card.name, `${title}: give it a name`);
    if (name && seen.has(name)) found.push([card.name, `${title}: it has the name of class ${seen.get(name)}`]);
    else seen.set(name, position + 1);
    if (card.busy) found.push([zone, `${title}: wait until its pictures are checked`]);
    else if (!card.kept.length) found.push([zone, `${title}: give it at least one picture`]);
  }
  return found;
}

function showProblems(found) {
  for (const field of document.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
  problems.hidden = found.length === 0;
  const lines = found.map(([field, text]) => {
    if (!field) return element("li", {}, sentence(text));
    field.setAttribute("aria-invalid", "true");
    const link = element("a", { href: `#${field.id}` }, sentence(text));
    link.addEventListener("click", (event) => {
      event.preventDefault();
      field.focus();
    });
    return element("li", {}, link);
  });
  problems.replaceChildren(element("p", {}, "This has to be put right first:"), element("ul", {}, ...lines));
  if (found.length) problems.focus();
}

function asked() {
  const fields = {
    task: form.elements.task.value,
    requester: form.elements.requester.value,
    purpose: form.elements.purpose.value,
    classes: cards.map((card) => card.request()),
  };
  const basis = form.elements.legal_basis.value.trim();
  return basis ? { ...fields, legal_basis: basis } : fields;
}

function showInfluence(classes, receipt) {
  const found = new Map(classes.map((each) => [each.class, each.images]));
  for (const card of cards) card.showInfluence(found.get(card.name.value.trim()) || []);
  const surprising = cards.flatMap((card) =>
    card.kept.filter((picture) => picture.surprises).map((picture) => surprise(card, picture)),
  );
  if (!surprising.length) return;
  receipt.append(
    element("h3", {}, "Pictures that are unlike the others of their class"),
    element("p", { class: "hint" }, "This may well be right: a rare form, another light. See that they are in the right class."),
    element("ul", { class: "images" }, ...surprising),
  );
}

function surprise(card, picture) {
  const { taken_for: other } = picture.influence;
  return element("li", { class: "picture" },
    element("div", { class: "frame" }, element("img", { src: `/api/images/${picture.id}`, alt: picture.name })),
    element("p", { class: "name", title: picture.name }, picture.name),
    element("p", {}, `Given as “${card.name.value.trim()}”. Without this picture it would be taken for “${other}”.`),
  );
}

async function submit(event) {
  event.preventDefault();
  if (makeButton.getAttribute("aria-disabled") === "true") return;
  const found = missing();
  showProblems(found);
  if (found.length) return;
  makeButton.setAttribute("aria-disabled", "true");
  try {
    const answer = await make(asked(), (done, text) => {
      showSteps(steps, done);
      progress.textContent = text;
    });
    const result = document.getElementById("result");
    const receipt = document.getElementById("receipt");
    showReceipt(receipt, answer);
    showInfluence(answer.influence, receipt);
    result.hidden = false;
    trial.begin(answer.receipt);
    result.focus();
    result.scrollIntoView({ block: "start" });
  } catch (error) {
    progress.textContent = "";
    showProblems([[null, error.message]]);
  } finally {
    makeButton.removeAttribute("aria-disabled");
  }
}

for (let count = 0; count < FEWEST; count += 1) addClass();
addButton.addEventListener("click", () => addClass().name.focus());
form.addEventListener("submit", submit);
