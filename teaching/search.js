// Finds the sections that have every word that was typed, headings first.

const MOST = 20; // results
const AROUND = 70; // characters beside the first word that was found

const sections = JSON.parse(document.getElementById("sections").textContent);
const field = document.getElementById("search");
const list = document.getElementById("found");
const said = document.getElementById("found-count");

const wordsOf = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);

function matches(words) {
  const has = (text) => words.every((word) => text.includes(word));
  const inHeading = [], inText = [];
  for (const section of sections) {
    const heading = section.heading.toLowerCase();
    if (has(heading)) inHeading.push(section);
    else if (has(`${heading} ${section.words.toLowerCase()}`)) inText.push(section);
  }
  return [...inHeading, ...inText];
}

function excerpt(section, words) {
  const place = Math.max(0, section.words.toLowerCase().indexOf(words[0]));
  const start = Math.max(0, place - AROUND);
  const text = section.words.slice(start, place + words[0].length + AROUND);
  return `${start > 0 ? "… " : ""}${text} …`;
}

function entry(section, words) {
  const item = document.createElement("li");
  const link = document.createElement("a");
  link.href = section.address;
  link.textContent = section.heading === section.page ? section.page : `${section.page}: ${section.heading}`;
  const text = document.createElement("p");
  text.textContent = excerpt(section, words);
  item.append(link, text);
  return item;
}

field.addEventListener("input", () => {
  const words = wordsOf(field.value);
  const found = words.length ? matches(words) : [];
  list.replaceChildren(...found.slice(0, MOST).map((section) => entry(section, words)));
  const shown = found.length > MOST ? `, the first ${MOST} of them below` : "";
  said.textContent = words.length ? `${found.length} sections${shown}` : "";
});
