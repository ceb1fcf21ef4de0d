// What came of a request: the classifier, where it is, what the checks found.

import { element, sentence } from "./elements.js";
import { listed, plainly } from "./words.js";

// nameOf: the name on this page of a picture, by its class and number; "" where it has none.
export function showReceipt(place, answer, nameOf) {
  const { receipt } = answer;
  place.replaceChildren(
    pairs([
      ["Task", answer.task],
      ["Classifier", `${receipt.model_name}, version ${receipt.version}`],
      ["Time taken", `${receipt.seconds.toFixed(1)} seconds`],
    ]),
    element("p", { class: "links" }, ...links(answer)),
    ...remarks(answer, nameOf),
    element("details", { class: "more" },
      element("summary", {}, "Details"),
      pairs([
        ["Address for programs", element("code", {}, receipt.model_uri)],
        ["Digest of its weights", element("code", {}, receipt.weights_sha256)],
        ["Request", element("code", {}, receipt.request_id)],
      ])),
  );
}

function pairs(rows) {
  const list = element("dl", {});
  for (const [name, value] of rows) {
    if (value) list.append(element("dt", {}, name), element("dd", {}, value));
  }
  return list;
}

function links({ mlflow, record }) {
  const found = [[mlflow, "Open this version in MLflow"]];
  if (record) found.push([record, "See its record"]);
  return found.flatMap(([href, text]) =>
    [element("a", { href, target: "_blank", rel: "noopener noreferrer", title: "Opens in a new tab" }, text), " "]);
}

function remarks({ receipt, remarks: found }, nameOf) {
  const lines = found ? ofPictures(found.pictures, nameOf) : receipt.warnings;
  const known = (found ? found.known : []).map(knownBefore);
  const parts = [];
  if (lines.length) {
    parts.push(element("div", { class: "warning" },
      element("strong", {}, "Please look at this:"), bullets(lines)));
  }
  if (known.length) parts.push(element("div", { class: "note" }, bullets(known)));
  return parts;
}

// What is said of several pictures is said once.
function ofPictures(pictures, nameOf) {
  const said = new Map();
  for (const { check, class: label, image, message } of pictures) {
    const name = (number) => nameOf(label, number) || `picture ${number} of “${label}”`;
    const named = message.replace(/\bimage (\d+)\b/g, (_, number) => name(Number(number)));
    const words = plainly(check, named);
    said.set(words, [...(said.get(words) || []), ...(image && named === message ? [name(image)] : [])]);
  }
  return [...said].map(([words, names]) => (names.length ? `${listed(names)}: ${words}` : words));
}

function knownBefore({ model_uri: uri, title, pictures, of: all }) {
  const [name, version] = uri.replace("models:/", "").split("/");
  const model = `${title ? `${title} (${name})` : name}, version ${version}`;
  const used = pictures === 1 ? "or a very similar one, was used" : "or very similar ones, were used";
  return `${pictures} of these ${all} pictures, ${used} for ${model} before`;
}

function bullets(lines) {
  return element("ul", {}, ...lines.map((line) => element("li", {}, sentence(line))));
}
