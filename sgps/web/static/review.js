// The review of a version: send what a reviewer decides, then show the new state and history.

import { call } from "./api.js";
import { element, sentence } from "./elements.js";

const OPTIONAL_REASON = "submit";
const MISSING = { reviewer: "Say who you are.", reason: "Say in a sentence why." };

const form = document.getElementById("review-form");
const buttons = [...form.querySelectorAll("button[data-act]")];
const reason = document.getElementById("review-reason");
const reviewer = document.getElementById("reviewer");
const problem = document.getElementById("review-problem");
const status = document.getElementById("review-status");
let busy = false;

form.addEventListener("submit", (event) => event.preventDefault());
for (const button of buttons) button.addEventListener("click", () => take(button));

async function take(button) {
  if (busy || !complete(button.dataset.act)) return;
  setBusy(true);
  status.textContent = "Entering it in the ledger…";
  try {
    show(await call("POST", form.dataset.address, { json: asked(button.dataset.act) }));
  } catch (error) {
    status.textContent = "";
    problem.textContent = sentence(error.message);
  } finally {
    setBusy(false);
  }
}

function asked(act) {
  const fields = { act, reason: reason.value };
  return reviewer ? { ...fields, reviewer: reviewer.value } : fields;
}

function complete(act) {
  const wanted = [reviewer, act === OPTIONAL_REASON ? null : reason].filter(Boolean);
  for (const field of [reviewer, reason].filter(Boolean)) field.removeAttribute("aria-invalid");
  const empty = wanted.find((field) => !field.value.trim());
  problem.textContent = empty ? MISSING[empty.name] : "";
  if (!empty) return true;
  empty.setAttribute("aria-invalid", "true");
  empty.focus();
  return false;
}

function setBusy(now) {
  busy = now;
  for (const button of buttons) button.setAttribute("aria-disabled", String(now));
}

function show({ state, history, acts }) {
  const words = state.replaceAll("_", " ");
  for (const id of ["review-state", "state-now"]) {
    const place = document.getElementById(id);
    if (place) place.textContent = words;
  }
  document.getElementById("review-none").hidden = true;
  document.getElementById("review-steps").hidden = false;
  document.getElementById("review-history").replaceChildren(...history.map(row));
  for (const button of buttons) button.hidden = !acts.includes(button.dataset.act);
  form.hidden = acts.length === 0;
  reason.value = "";
  status.textContent = `Recorded. The state is now: ${words}.`;
  document.getElementById("review").focus();
}

function row(step) {
  const entry = element("a", { href: `/audit/${step.entry}`, "aria-label": `Entry ${step.entry}` }, String(step.entry));
  const time = element("time", { datetime: step.time }, step.time.slice(0, 19).replace("T", " "));
  const cells = [
    ["Entry", entry], ["Time (UTC)", time],
    ["From", step.previous.replaceAll("_", " ")], ["To", step.state.replaceAll("_", " ")],
    ["Who", step.who], ["Proof", step.proof], ["Reason", step.reason],
  ];
  return element("tr", {}, ...cells.map(([label, value]) => element("td", { "data-label": label }, value)));
}
