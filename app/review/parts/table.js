// A page of rows: the head sorts, keys move, a click opens a row.
export default function ({ data, parentElement, setTriggerValue }) {
  const root = rootOf(parentElement, "table");
  const again = root.dataset.rows === data.key;
  const place = again ? Number(root.dataset.place ?? 0) : 0;
  const active = root.contains(document.activeElement);
  root.dataset.rows = data.key;

  const cell = {
    name: (row) => [
      make("a", { href: row.href, class: "lpse-title" }, row.title),
      row.below ? make("span", { class: "lpse-below" }, row.below) : null,
    ],
    span: (row) => [
      make("span", { class: "lpse-number" }, row.span),
      make("span", { class: "lpse-where", "aria-hidden": "true" },
        make("span", { class: row.decision, style: `left:${100 * row.from}%;width:max(3px, ${100 * (row.to - row.from)}%)` })),
    ],
    decision: (row) => [make("span", { class: `lpse-badge ${row.decision}` },
      make("span", { class: `lpse-mark ${row.decision}`, "aria-hidden": "true" }), row.label)],
    risk: (row) => row.risk === null ? [] : [
      make("span", { class: "lpse-number" }, row.risk.toFixed(2)),
      make("span", { class: "lpse-bar", "aria-hidden": "true" }, make("span", { style: `width:${100 * row.risk}%` })),
    ],
    chips: (row, column) => row[column].map((text) => make("span", { class: "lpse-chip" }, text)),
    text: (row, column) => [row[column] ?? ""],
    shares: (row) => [make("span", { class: "lpse-shares", title: row.label },
      ...row.shares.map(([name, share]) => make("span", { class: name, style: `width:${100 * share}%` })))],
  };

  const open = (row) => setTriggerValue("open", { id: row.id, recording: row.recording, start: row.start });
  const go = (offset) => setTriggerValue("page", Math.max(0, offset));

  const head = make("tr", {}, ...data.columns.map((column) => {
    const sorted = column.sort && column.sort === data.sort;
    const order = !sorted ? null : data.descending ? "descending" : "ascending";
    if (!column.sort) return make("th", { scope: "col", class: column.kind }, column.title);
    return make("th", { scope: "col", class: column.kind, "aria-sort": order }, make("button", {
      type: "button", "data-sort": column.sort, title: `Sort by ${column.title.toLowerCase()}`,
      onclick: () => setTriggerValue("sort", { column: column.sort, descending: sorted ? !data.descending : column.falls }),
    }, column.title, make("span", { class: "lpse-arrow", "aria-hidden": "true" }, sorted ? (data.descending ? "▼" : "▲") : "")));
  }));

  const rows = data.rows.map((row, number) => make("tr", {
    tabindex: number === place ? 0 : -1, "data-place": number, "data-id": row.id, class: row.id === data.seen ? "lpse-seen" : null,
    onclick: (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;  // the browser opens the link
      if (String(getSelection())) return;  // the reviewer copies a name
      event.preventDefault();
      open(row);
    },
  }, ...data.columns.map((column) => make("td", { class: column.kind }, ...cell[column.kind.split(" ").pop()](row, column.name)))));

  const first = data.offset + 1, last = data.offset + data.rows.length;
  const step = (label, offset, possible, key) => make("button", {
    type: "button", disabled: !possible, "data-step": key, onclick: () => go(offset),
  }, label);
  const foot = make("div", { class: "lpse-foot" },
    make("span", { class: "lpse-range-shown", role: "status" }, data.total
      ? `${whole.format(first)}–${whole.format(last)} of ${whole.format(data.total)}` : `0 of ${whole.format(data.total)}`),
    make("span", { class: "lpse-steps" },
      step("First", 0, data.offset > 0, "first"), step("Previous", data.offset - data.limit, data.offset > 0, "previous"),
      step("Next", data.offset + data.limit, last < data.total, "next"),
      step("Last", Math.floor((data.total - 1) / data.limit) * data.limit, last < data.total, "last")),
    make("span", { class: "lpse-keys" }, make("kbd", {}, "↑"), make("kbd", {}, "↓"), " rows ", make("kbd", {}, "Enter"), " inspect ",
      make("kbd", {}, "←"), make("kbd", {}, "→"), " pages ", make("kbd", {}, "/"), " search"));

  root.replaceChildren(
    make("div", { class: "lpse-scroll" }, make("table", { "aria-label": data.label },
      make("thead", {}, head), make("tbody", {}, ...rows))), foot);

  const move = (number) => {
    const next = rows[Math.min(rows.length - 1, Math.max(0, number))];
    if (!next) return;
    for (const row of rows) row.tabIndex = row === next ? 0 : -1;
    root.dataset.place = next.dataset.place;
    next.focus();
  };
  root.onkeydown = (event) => {
    const row = event.target.closest("tr[data-place]");
    if (!row || event.ctrlKey || event.metaKey || event.altKey) return;
    const number = Number(row.dataset.place);
    const keys = {
      ArrowDown: () => move(number + 1), j: () => move(number + 1), ArrowUp: () => move(number - 1), k: () => move(number - 1),
      Home: () => move(0), End: () => move(rows.length - 1), Enter: () => open(data.rows[number]),
      ArrowRight: () => last < data.total && go(data.offset + data.limit),
      ArrowLeft: () => data.offset > 0 && go(data.offset - data.limit),
    };
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  };
  const slash = (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.closest?.("input, textarea, [contenteditable=true]")) return;
    const field = document.querySelector(".lpse-panel [data-key=text]");
    if (field) { event.preventDefault(); field.focus(); field.select(); }
  };
  // this function runs for every new page of rows: one listener at a time
  document.removeEventListener("keydown", root.lpseSlash);
  document.addEventListener("keydown", (root.lpseSlash = slash));
  if (active) rows[place]?.focus();
  return () => document.removeEventListener("keydown", root.lpseSlash);
}
