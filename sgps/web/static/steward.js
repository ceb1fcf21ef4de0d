// The steward's page: classes, the request, its result.

import { ClassCard } from "./class_card.js";
import { Comparison } from "./comparison.js";
import { follow, lookUp, send, showSteps } from "./making.js";
import { showProblems } from "./problems.js";
import { Result } from "./result.js";
import { onThisPage } from "./words.js";

const form = document.getElementById("request");
const place = document.getElementById("classes");
const addButton = document.getElementById("add-class");
const makeButton = document.getElementById("make");
const progress = document.getElementById("progress");
const steps = document.getElementById("steps");
const mostBytes = Number(form.dataset.mostBytes);
const mostPictures = Number(form.dataset.mostPictures);
const FEWEST = Number(form.dataset.fewestClasses);
const MOST = Number(form.dataset.mostClasses);
const cards = [];
const comparison = new Comparison(cards);
const result = new Result(cards, mostBytes);
// The content of the request that was sent, and of that whose result is shown.
let sent = "";
let shown = "";
let turn = 0;

function addClass() {
  const card = new ClassCard({ mostBytes, mostPictures, onChange: changed, onRemove: removeClass });
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
  changed();
}

function number() {
  cards.forEach((card, position) => {
    card.number = position + 1;
    card.root.querySelector(".remove-class").hidden = cards.length <= FEWEST;
  });
  addButton.hidden = cards.length >= MOST;
}

function changed() {
  comparison.run();
  noteChange();
}

function noteChange() {
  result.markStale(Boolean(shown) && content() !== shown);
}

async function missing() {
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
  return [...found, ...(await comparison.problems())];
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

function content() {
  return JSON.stringify(asked());
}

function tell(done, text) {
  showSteps(steps, done);
  if (progress.textContent !== text) progress.textContent = text;
}

function rememberInAddress(requestId) {
  history.replaceState(null, "", requestId ? `/?request=${encodeURIComponent(requestId)}` : "/");
}

// One request at a time is followed; a newer one ends the earlier.
async function work(begin, options) {
  const mine = (turn += 1);
  const isWanted = () => mine === turn;
  try {
    const answer = await follow(await begin(), tell, isWanted);
    if (!answer) return;
    result.show(answer, options);
    shown = sent;
    noteChange();
  } catch (error) {
    if (!isWanted()) return;
    if (error.status === 404) rememberInAddress("");
    sent = "";
    tell([], "");
    showProblems([[null, onThisPage(error.message, cards)]]);
  }
}

async function submit(event) {
  event.preventDefault();
  if (makeButton.getAttribute("aria-disabled") === "true") return;
  makeButton.setAttribute("aria-disabled", "true");
  try {
    const found = await missing();
    showProblems(found);
    if (found.length) return;
    await work(async () => {
      const request = asked();
      tell([], "Checking your request…");
      const answer = await send(request);
      sent = JSON.stringify(request);
      rememberInAddress(answer.request_id);
      return answer;
    });
  } finally {
    makeButton.removeAttribute("aria-disabled");
  }
}

function restore() {
  const requestId = new URLSearchParams(location.search).get("request");
  if (!requestId) return;
  sent = content();
  tell([], "Looking for your request…");
  work(() => lookUp(requestId), { restored: true });
}

for (let count = 0; count < FEWEST; count += 1) addClass();
addButton.addEventListener("click", () => {
  addClass().name.focus();
  noteChange();
});
form.addEventListener("input", noteChange);
form.addEventListener("submit", submit);
window.addEventListener("beforeunload", (event) => {
  if (cards.some((card) => card.kept.length || card.busy) && content() !== sent) event.preventDefault();
});
restore();
