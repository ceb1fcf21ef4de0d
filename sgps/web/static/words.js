// Plain words where the server speaks to programs: of the checks, of file names that it made.

const OF_CHECKS = {
  too_dark: "Too dark: hardly anything can be seen; take it again with more light",
  too_bright: "Too bright: hardly anything can be seen; take it again with less light",
  low_contrast: "Almost blank: check that it is the right file",
  blurred: "Blurred: take it again in focus, or give the original instead of an enlarged copy",
};

export function plainly(check, message) {
  return OF_CHECKS[check] || message;
}

// A message in which ids of pictures are their files' names and places are those on the page.
export function onThisPage(message, cards) {
  const names = new Map(cards.flatMap((card) => card.kept.map((picture) => [picture.id, picture.name])));
  return message
    .replace(/\bclasses\[(\d+)\]\.images\[(\d+)\]/g, (given, number, place) => {
      const picture = cards[number]?.kept[place];
      return picture ? `“${picture.name}” of class ${Number(number) + 1}` : given;
    })
    .replace(/\bclasses\[(\d+)\](\.?)/g, (_, number, dot) => `class ${Number(number) + 1}${dot && " "}`)
    .replace(/\b([0-9a-f]{32})(?:\.png)?\b/g, (given, id) => (names.has(id) ? `“${names.get(id)}”` : given));
}

export function listed(names, most = 3) {
  const shown = names.slice(0, most);
  const left = names.length - shown.length;
  return left ? `${shown.join(", ")} and ${left} ${left === 1 ? "other" : "others"}` : shown.join(", ");
}
