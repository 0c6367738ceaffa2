/* What all parts of the player use. Whatever a corpus says becomes text, never markup. */
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

/* 75.26 is 1:15.3 with one digit, 1:15 with none. */
function clock(seconds, digits = 1) {
  const scale = 10 ** digits;
  const whole = Math.round(Math.max(seconds, 0) * scale);
  const hours = Math.floor(whole / scale / 3600), minutes = Math.floor(whole / scale / 60) % 60;
  const rest = ((whole / scale) % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

const span = (start, end) => `${clock(start)} to ${clock(end)}`;
const seconds = (length) => (length < 90 ? `${length.toFixed(1)} s` : `${clock(length, 0)} min`);
const toMs = (time) => Math.round(time * 1000);

/* The theme that is shown, told by its background: it may differ from the system's. */
function isDark(root) {
  const colour = getComputedStyle(root).getPropertyValue("--st-background-color").trim() || "#ffffff";
  const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  probe.fillStyle = colour;
  probe.fillRect(0, 0, 1, 1);
  const [red, green, blue] = probe.getImageData(0, 0, 1, 1).data;
  return 0.3 * red + 0.6 * green + 0.1 * blue < 128;
}

/* What is typed into a field is no command. */
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
    /* a browser that keeps nothing: the choice lasts as long as the page */
  }
}
