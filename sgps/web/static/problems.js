// What has to be put right, each with a link to its field.

import { element, sentence } from "./elements.js";

const place = document.getElementById("problems");

// found: pairs of a field, or null, and a text.
export function showProblems(found) {
  for (const field of document.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
  place.hidden = found.length === 0;
  const lines = found.map(([field, text]) => element("li", {}, field ? linked(field, text) : sentence(text)));
  place.replaceChildren(element("p", {}, "This has to be put right first:"), element("ul", {}, ...lines));
  if (found.length) place.focus();
}

function linked(field, text) {
  if (field.tagName !== "BUTTON") field.setAttribute("aria-invalid", "true");
  const link = element("a", { href: `#${field.id}` }, sentence(text));
  link.addEventListener("click", (event) => {
    event.preventDefault();
    field.focus();
  });
  return link;
}
