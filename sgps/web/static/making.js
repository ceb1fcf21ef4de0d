// Ask for the classifier, and follow its steps as they happen.

import { ApiError, call } from "./api.js";
import { element, sentence } from "./elements.js";

const STEPS = {
  get_ready: "Getting ready, which takes a moment after a start",
  check_stores: "Checking that it can be kept",
  read_request: "Reading the pictures",
  load_generator: "Setting up",
  synthesize_weights: "Making the classifier",
  assemble_record: "Writing the record",
  register_model: "Registering it",
  store_artifacts: "Keeping it, with its pictures and words",
  create_version: "Giving it a number",
  record_in_ledger: "Entering it in the ledger",
  finish_version: "Letting it be found",
  remove_request: "Clearing up",
};
const FIRST_PAUSE = 180;
const LONGEST_PAUSE = 1000;
const PAUSE_WHILE_A_STORE_IS_DOWN = 3000;
const PAUSE_WITHOUT_ANSWER = 1000;
const LONGEST_ANSWER = 20000;

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

// The answer comes as soon as the request is kept; the rest is followed.
export function send(asked) {
  return call("POST", "/api/requests", { json: asked, headers: { Prefer: "respond-async" } });
}

export function lookUp(requestId) {
  const signal = AbortSignal.timeout(LONGEST_ANSWER);
  return call("GET", `/api/requests/${encodeURIComponent(requestId)}`, { signal });
}

// onStep is told the steps so far and what is done now. null once isWanted says no.
export async function follow(answer, onStep, isWanted) {
  let wait = FIRST_PAUSE;
  let told = 0;
  while (answer.state === "pending") {
    await tellPassed(answer.steps, told, onStep);
    onStep(answer.steps, waitingText(answer));
    told = answer.steps.length;
    await pause(answer.waiting_for ? PAUSE_WHILE_A_STORE_IS_DOWN : wait);
    const next = await again(answer, onStep, isWanted);
    if (!next) return null;
    wait = next.steps.length === answer.steps.length ? Math.min(1.05 * wait, LONGEST_PAUSE) : FIRST_PAUSE;
    answer = next;
  }
  if (answer.state === "failed") throw new ApiError(422, answer.error);
  await tellPassed(answer.steps, told, onStep);
  onStep(answer.steps, "Done.");
  return answer;
}

// Steps that began and ended between two answers are told too, one after the other.
async function tellPassed(steps, told, onStep) {
  for (let count = told + 1; count <= steps.length; count += 1) {
    const until = steps.slice(0, count);
    onStep(until, waitingText({ steps: until }));
    await pause(0);
  }
}

async function again(answer, onStep, isWanted) {
  while (isWanted()) {
    try {
      return await lookUp(answer.request_id);
    } catch (error) {
      if (error.status !== 0 && error.status < 500) throw error;
      const reason = error.status === 0 ? "The server does not answer" : "The server cannot say how far it is";
      onStep(answer.steps, `${reason}; your request is kept, trying again…`);
      await pause(PAUSE_WITHOUT_ANSWER);
    }
  }
  return null;
}

function waitingText({ steps, waiting_for: reason }) {
  if (reason) return `Your request is kept and will be finished later. ${sentence(reason)}`;
  const known = steps.filter((step) => step in STEPS);
  return known.length ? `${STEPS[known.at(-1)]}…` : "Waiting for its turn…";
}

export function showSteps(list, steps) {
  const known = steps.filter((step) => step in STEPS);
  list.hidden = known.length === 0;
  list.replaceChildren(...known.map((step) => element("li", {}, STEPS[step])));
}
