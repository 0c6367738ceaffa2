// Elements made of data: text never becomes markup.
const SVG = "http://www.w3.org/2000/svg";

function make(tag, attributes = {}, ...children) {
  const drawn = ["svg", "g", "rect", "path", "line", "circle", "text", "title", "pattern", "defs"].includes(tag);
  const element = drawn ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

// The root element of this component, made once.
function rootOf(parent, name) {
  let root = parent.querySelector(`:scope > .lpse-${name}`);
  if (!root) {
    root = make("div", { class: `lpse lpse-${name}` });
    parent.append(root);
  }
  // light or dark as the page: some colours differ
  const [red, green, blue] = getComputedStyle(document.querySelector(".stApp")).backgroundColor.match(/\d+/g) ?? [255, 255, 255];
  root.dataset.scheme = 0.3 * red + 0.6 * green + 0.1 * blue < 128 ? "dark" : "light";
  return root;
}

const whole = new Intl.NumberFormat("en");
