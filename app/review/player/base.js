/* Shared by all parts of the player. Data of a corpus become text, never markup. */
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function element(tag, className = "", text = undefined, attributes = {}) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

function button(className, text, title, onClick) {
  const made = element("button", className, text, { type: "button", title });
  if (!text) made.setAttribute("aria-label", title);
  made.addEventListener("click", onClick);
  return made;
}

const span = (start, end) => `${preciseClock(start)} to ${preciseClock(end)}`;
const seconds = (length) => (length < 90 ? `${length.toFixed(1)} s` : preciseClock(length, 0));
const toMs = (time) => Math.round(time * 1000);

/* True for a dark theme, judged by its background: the theme may differ from that of the system. */
function isDark(root) {
  const colour = getComputedStyle(root).getPropertyValue("--st-background-color").trim() || "#ffffff";
  const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  probe.fillStyle = colour;
  probe.fillRect(0, 0, 1, 1);
  const [red, green, blue] = probe.getImageData(0, 0, 1, 1).data;
  return 0.3 * red + 0.6 * green + 0.1 * blue < 128;
}

/* Keys typed into a field are no commands. */
function isTyping(event) {
  const target = event.composedPath()[0];
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName)) && target.type !== "checkbox";
}

function remembered(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(`lpse.${name}`)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

function remember(name, value) {
  try {
    localStorage.setItem(`lpse.${name}`, JSON.stringify(value));
  } catch {
    /* a browser without storage: the choice lasts as long as the page */
  }
}
