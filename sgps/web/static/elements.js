// Small elements. Text is only ever set as text, never as markup.

let last = 0;

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

// A copy of a template in which data-id and data-for became ids of their own.
export function copyOf(templateId) {
  const copy = document.getElementById(templateId).content.firstElementChild.cloneNode(true);
  last += 1;
  for (const each of copy.querySelectorAll("[data-id]")) each.id = `${each.dataset.id}-${last}`;
  for (const each of copy.querySelectorAll("[data-for]")) each.htmlFor = `${each.dataset.for}-${last}`;
  return copy;
}

export function newId(word) {
  last += 1;
  return `${word}-${last}`;
}

export function plural(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`;
}

export function sentence(text) {
  const trimmed = String(text).trim();
  if (!trimmed) return "";
  const ended = /[.!?]$/.test(trimmed) ? trimmed : `${trimmed}.`;
  return ended[0].toUpperCase() + ended.slice(1);
}
