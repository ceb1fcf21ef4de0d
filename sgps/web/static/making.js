// Ask for the classifier, follow its steps, show the receipt.

import { ApiError, call } from "./api.js";
import { element, sentence } from "./elements.js";

const STEPS = {
  check_stores: "Checking that it can be kept",
  read_request: "Reading the pictures",
  load_generator: "Loading the generator",
  synthesize_weights: "Making the classifier",
  assemble_record: "Writing the record",
  register_model: "Registering it, with its pictures",
  record_in_ledger: "Entering it in the ledger",
};
const PAUSE = 400;
const LONGEST_PAUSE = 5000;

const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));

export async function make(asked, onStep) {
  onStep([], "Sent; waiting for the answer…");
  let answer = await call("POST", "/api/requests", { json: asked });
  for (let wait = PAUSE; answer.state === "pending"; wait = Math.min(wait * 1.3, LONGEST_PAUSE)) {
    onStep(answer.steps, waitingText(answer));
    await pause(wait);
    answer = await again(answer);
  }
  if (answer.state === "failed") throw new ApiError(422, answer.error);
  onStep(answer.steps, "Done.");
  return answer;
}

async function again(answer) {
  try {
    return await call("GET", `/api/requests/${answer.request_id}`);
  } catch (error) {
    if (error.status === 0 || error.status === 503) return answer;
    throw error;
  }
}

function waitingText({ steps, waiting_for: reason }) {
  if (reason) return `Your request is kept and will be finished later. ${sentence(reason)}`;
  const last = steps[steps.length - 1];
  return last in STEPS ? `${STEPS[last]}…` : "Waiting for its turn…";
}

export function showSteps(list, steps) {
  const known = steps.filter((step) => step in STEPS);
  list.hidden = known.length === 0;
  list.replaceChildren(...known.map((step) => element("li", {}, STEPS[step])));
}

export function showReceipt(place, answer) {
  const { receipt } = answer;
  const rows = [
    ["Classifier", `${receipt.model_name}, version ${receipt.version}`],
    ["Address", element("code", {}, receipt.model_uri)],
    ["Digest of its weights", element("code", {}, receipt.weights_sha256)],
    ["Request", element("code", {}, receipt.request_id)],
    ["Time taken", `${receipt.seconds.toFixed(1)} seconds`],
  ];
  const list = element("dl", {});
  for (const [name, value] of rows) list.append(element("dt", {}, name), element("dd", {}, value));
  const links = element("p", { class: "links" },
    element("a", { href: answer.mlflow, target: "_blank", rel: "noreferrer" }, "Open this version in MLflow"), " ",
    element("a", { href: `/audit?model=${encodeURIComponent(receipt.model_name)}` }, "See its record"));
  place.replaceChildren(list, links, ...warnings(receipt.warnings));
}

function warnings(lines) {
  if (!lines.length) return [];
  const list = element("ul", {}, ...lines.map((line) => element("li", {}, sentence(line))));
  return [element("div", { class: "warning" }, element("strong", {}, "Please look at this:"), list)];
}
