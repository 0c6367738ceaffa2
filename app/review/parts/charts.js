// The charts of the overview: time by outcome, yield against risk, distributions of measures.
// Shapes stretch with their place; text does not.
const draw = {
  // {rows: [{name, label, share, value, percent, note}]}: one bar over all, and a line per part
  outcomes(chart) {
    return [
      make("div", { class: "lpse-stack", role: "img", "aria-label": chart.rows.map((row) => `${row.label} ${row.value}`).join(", ") },
        ...chart.rows.map((row) => make("span", { class: row.name, style: `width:${100 * row.share}%`, title: `${row.label}: ${row.value}` }))),
      make("table", { class: "lpse-parts" }, make("tbody", {}, ...chart.rows.map((row) => make("tr", {},
        make("th", { scope: "row" }, make("span", { class: `lpse-mark ${row.name}`, "aria-hidden": "true" }), row.label),
        make("td", {}, row.value), make("td", { class: "lpse-soft" }, row.percent), make("td", { class: "lpse-soft" }, row.note ?? ""))))),
    ];
  },

  // {rows: [{label, share, value, note}]}: a bar per row, the longest fills its place
  bars(chart) {
    return [make("table", { class: "lpse-bars" }, make("tbody", {}, ...chart.rows.map((row) => make("tr", {},
      make("th", { scope: "row", title: row.label }, row.label),
      make("td", { class: "lpse-track" }, make("span", { class: row.name ?? "plain", style: `width:${100 * row.share}%` })),
      make("td", {}, row.value), make("td", { class: "lpse-soft" }, row.note ?? "")))))];
  },

  // {points: [[x, y]], most: y at the top, chosen: {x, y, label} | null, y: labels}
  curve(chart) {
    const at = ([x, y]) => `${(100 * x).toFixed(3)},${(100 - 100 * y / chart.most).toFixed(3)}`;
    let path = "M0,100", high = 0;
    for (const [x, y] of chart.points) {
      path += `L${at([x, high])}L${at([x, y])}`;
      high = y;
    }
    path += `L100,${at([1, high]).split(",")[1]}`;
    const area = make("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none", "aria-hidden": "true" },
      ...[25, 50, 75].map((y) => make("line", { x1: 0, x2: 100, y1: y, y2: y, class: "lpse-grid" })),
      make("path", { d: `${path}L100,100Z`, class: "lpse-area" }), make("path", { d: path, class: "lpse-line" }),
      chart.chosen ? make("line", { x1: 100 * chart.chosen.x, x2: 100 * chart.chosen.x, y1: 0, y2: 100, class: "lpse-bound" }) : null);
    const readout = make("output", { class: "lpse-readout" });
    const hair = make("span", { class: "lpse-hair", hidden: true });
    const plot = make("div", { class: "lpse-plot", tabindex: 0, role: "slider", "aria-label": chart.title,
      "aria-valuemin": 0, "aria-valuemax": 1, "aria-valuenow": chart.chosen?.x ?? 0 }, area, hair, readout);
    let reading = chart.chosen?.x ?? 0.5;
    const read = (x) => {
      reading = Math.min(1, Math.max(0, x));
      const under = chart.points.filter(([risk]) => risk <= reading + 1e-9);
      const kept = under.length ? under[under.length - 1][1] : 0;
      readout.textContent = `risk up to ${reading.toFixed(2)}: ${longClock(kept)}`;
      hair.hidden = false;
      hair.style.left = `${100 * reading}%`;
      plot.setAttribute("aria-valuenow", reading.toFixed(2));
      plot.setAttribute("aria-valuetext", readout.textContent);
    };
    plot.addEventListener("pointermove", (event) => {
      const box = plot.getBoundingClientRect();
      read((event.clientX - box.left) / box.width);
    });
    plot.addEventListener("pointerleave", () => { hair.hidden = true; readout.textContent = ""; });
    plot.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 0.01, ArrowUp: 0.01, ArrowLeft: -0.01, ArrowDown: -0.01 }[event.key];
      if (!step) return;
      event.preventDefault();
      read(reading + step);
    });
    if (chart.chosen) {
      plot.append(make("span", { class: "lpse-dot", "aria-hidden": "true",
        style: `left:${100 * chart.chosen.x}%;top:${100 - 100 * chart.chosen.y / chart.most}%` }));
    }
    return [
      make("div", { class: "lpse-axes" }, make("div", { class: "lpse-y" }, ...chart.y.map((text) => make("span", {}, text))), plot),
      make("div", { class: "lpse-x" }, ...["0", "0.25", "0.5", "0.75", "1"].map((text) => make("span", {}, text))),
      chart.chosen ? make("p", { class: "lpse-soft" }, make("span", { class: "lpse-dot lpse-still", "aria-hidden": "true" }), chart.chosen.label) : null,
    ];
  },

  // {bins: [{parts: [[decision, cuts]], label}], most, low, high, bounds: [{at}], label}
  histogram(chart) {
    return [
      make("div", { class: "lpse-plot lpse-low", role: "img", "aria-label": `${chart.title}: ${chart.label}` },
        ...chart.bins.map((bin) => make("span", { class: "lpse-bin", title: bin.label },
          ...bin.parts.map(([decision, count]) => make("span", { class: decision, style: `height:max(1px, ${100 * count / chart.most}%)` })))),
        ...chart.bounds.map((bound) => make("span", { class: "lpse-edge", style: `left:${bound.at}%` }))),
      make("div", { class: "lpse-x" }, make("span", {}, chart.low), make("span", {}, chart.high)),
      make("p", { class: "lpse-soft" }, chart.label),
    ];
  },
};

export default function ({ data, parentElement }) {
  const root = rootOf(parentElement, "charts");
  root.replaceChildren(...data.charts.map((chart) => make("figure", { class: chart.wide ? "lpse-wide" : null },
    make("figcaption", {}, make("h2", {}, chart.title), chart.note ? make("p", { class: "lpse-soft" }, chart.note) : null),
    ...draw[chart.kind](chart))));
}
