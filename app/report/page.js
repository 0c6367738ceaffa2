const tip = document.getElementById("tip");

/* ---- the text about a moment ---- */

function line(className, text, over = false) {
  const row = element("p", undefined, over ? "over" : "");
  if (className) row.append(element("i", undefined, "swatch " + className));
  row.append(element("span", text));
  return row;
}

function cutLines([decision, start, end, risk, ...reasons]) {
  const head = line("fill " + decision, `${page.names[decision]} ${preciseClock(start)} to ${preciseClock(end)}, length ${clock(end - start)}`, true);
  return [head, line("", `risk ${risk.toFixed(2)}${reasons.length ? ": " + reasons.join(", ") : ""}`)];
}

function momentLines(timeline, t) {
  const rows = [line("", preciseClock(t), true)];
  for (const name of contaminants) {
    const p = timeline.value(name, t), { onset, review_threshold } = limitsOf[name];
    if (!timeline.tracks[name]) continue;
    const text = p === null ? "not scored" : p.toFixed(2) + (p >= onset ? ", above onset" : p >= review_threshold ? ", for review" : "");
    rows.push(line(name, `${name} ${text}`, p !== null && p >= review_threshold));
  }
  const loud = timeline.value("loudest", t);
  if (loud !== null) rows.push(line("", `level ${(page.floor * (1 - loud)).toFixed(0).replace("-", "−")} dBFS`));
  for (const [label, start, end, score] of timeline.data.events) {
    if (start <= t && t < end) rows.push(line(label, `${label} event ${preciseClock(start)} to ${preciseClock(end)}${score === null ? "" : ", " + score.toFixed(2)}`));
  }
  for (const cut of timeline.data.cuts) if (cut[1] <= t && t < cut[2]) rows.push(...cutLines(cut));
  return rows;
}

function showTip(rows, x, y) {
  tip.replaceChildren(...rows);
  tip.hidden = false;
  const { offsetWidth: w, offsetHeight: h } = tip;
  tip.style.left = clamp(x + 14 + w > innerWidth ? x - 14 - w : x + 14, 8, Math.max(8, innerWidth - w - 8)) + "px";
  tip.style.top = clamp(y + 16 + h > innerHeight ? y - 12 - h : y + 16, 8, Math.max(8, innerHeight - h - 8)) + "px";
}

const hideTip = () => (tip.hidden = true);

const counted = (count) => `${count} recording${count === 1 ? "" : "s"}`;

/* ---- recordings ---- */

function eventRows(article, data) {
  const table = article.querySelector(".events");
  table.hidden = !data.events.length;
  table.tBodies[0].replaceChildren(...data.events.map(([label, start, end, score]) => {
    const row = element("tr"), head = element("th");
    head.scope = "row";
    head.append(element("i", undefined, "swatch " + label), label);
    row.append(head, ...[preciseClock(start), preciseClock(end), score === null ? "" : score.toFixed(2)].map((text) => element("td", text, "number")));
    return row;
  }));
}

function start(article) {
  const data = page.recordings[+article.dataset.index];
  const timeline = new Timeline(article, data), player = new Player(article, timeline);
  players.push(player);
  const scrub = article.querySelector(".scrub");
  for (const type of ["pointermove", "pointerdown"])
    scrub.addEventListener(type, (event) => showTip(momentLines(timeline, timeline.at(event.clientX)), event.clientX, event.clientY));
  scrub.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hideTip());
  for (const button of article.querySelectorAll(".cut")) {
    const cut = data.cuts[+button.dataset.cut];
    const show = (x, y) => showTip(cutLines(cut), x, y);
    button.addEventListener("pointermove", (event) => show(event.clientX, event.clientY));
    button.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hideTip());
    button.addEventListener("focus", () => {
      if (!button.matches(":focus-visible")) return;
      const box = button.getBoundingClientRect();
      show(box.left, box.bottom - 12);
    });
    button.addEventListener("blur", hideTip);
    button.addEventListener("click", (event) => {
      if (event.detail) show(event.clientX, event.clientY);
      if (player.clips.length) player.playFrom(cut[1]);
    });
  }
  article.querySelector(".more").addEventListener("toggle", () => eventRows(article, data), { once: true });
  return timeline;
}

const articles = [...document.querySelectorAll(".recording")];
const timelines = new Map(articles.map((article) => [article, start(article)]));
const seen = new Set();

/* Drawn when they come near the window: hundreds of canvases at once would waste memory. */
const near = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (isIntersecting) seen.add(target), timelines.get(target).draw();
    else seen.delete(target);
  }
}, { rootMargin: "600px" });
articles.forEach((article) => near.observe(article));
const redraw = () => seen.forEach((article) => timelines.get(article).draw());
let waiting = 0;
addEventListener("resize", () => { cancelAnimationFrame(waiting); waiting = requestAnimationFrame(redraw); });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
addEventListener("scroll", hideTip, { passive: true });
addEventListener("keydown", (event) => event.key === "Escape" && hideTip());
addEventListener("pointerdown", (event) => event.target.closest(".track") || hideTip());

/* ---- sorting and filtering ---- */

const tools = document.querySelector(".tools"), list = document.getElementById("list");
const titleOf = (article) => article.querySelector("h3").textContent;
const titles = new Map(articles.map((article) => [article, titleOf(article).toLowerCase()]));
const by = (key, sign) => (a, b) => sign * (a.dataset[key] - b.dataset[key]) || a.dataset.index - b.dataset.index;
const orders = {
  worth: by("index", 1),
  title: (a, b) => titleOf(a).localeCompare(titleOf(b), undefined, { numeric: true }),
  yield: by("yield", -1),
  "-yield": by("yield", 1),
  risk: by("risk", -1),
  duration: by("duration", -1),
};

function arrange() {
  const wanted = tools.find.value.trim().toLowerCase(), decision = tools.decision.value;
  let shown = 0;
  for (const article of articles) {
    const fits = titles.get(article).includes(wanted) && (!decision || article.dataset.decisions.split(" ").includes(decision));
    article.hidden = !fits;
    shown += fits;
  }
  list.append(...[...articles].sort(orders[tools.order.value]));
  tools.querySelector("output").textContent = shown === articles.length ? counted(shown) : `${shown} of ${counted(articles.length)}`;
}

if (articles.length) {
  tools.hidden = false;
  tools.addEventListener("input", arrange);
  tools.addEventListener("submit", (event) => event.preventDefault());
  arrange();
}
