"use strict";
const page = JSON.parse(document.getElementById("data").textContent);
const LANE = 34, AXIS = 16, STRIP = 4; // heights in CSS pixels; the names beside the lanes follow LANE
const tip = document.getElementById("tip");
const players = [];

const tone = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function clock(seconds, tenths = false) {
  const whole = tenths ? Math.floor(seconds * 10 + 1e-6) / 10 : Math.round(seconds);
  const h = Math.floor(whole / 3600), m = Math.floor(whole / 60) % 60;
  const s = tenths ? (whole % 60).toFixed(1).padStart(4, "0") : String(whole % 60).padStart(2, "0");
  return h ? `${h}:${String(m).padStart(2, "0")}:${s}` : `${m}:${s}`;
}

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text; // never as markup: names are anything at all
  if (className) made.className = className;
  return made;
}

/* ---- lanes ---- */

/* The largest byte of the columns under each of `width` pixels: a short peak stays as high as it is. */
function pooled(lane, columns, width, pick) {
  const out = new Uint8Array(width);
  for (let x = 0; x < width; x++) {
    const first = Math.floor((x * columns) / width);
    const end = Math.max(first + 1, Math.ceil(((x + 1) * columns) / width));
    let best = 0;
    for (let i = first; i < end && i < lane.length; i++) if (lane[i] && (!best || pick(lane[i], best))) best = lane[i];
    out[x] = best;
  }
  return out;
}

const share = (byte) => (byte - 1) / 254;
const higher = (a, b) => a > b, lower = (a, b) => a < b;
const contaminants = page.contaminants.map((contaminant) => contaminant.name);
const limitsOf = Object.fromEntries(page.contaminants.map((contaminant) => [contaminant.name, contaminant]));
const toLevel = (dbfs) => 1 - dbfs / page.floor;

class Timeline {
  constructor(article, data) {
    this.data = data;
    this.track = article.querySelector(".track");
    this.canvas = article.querySelector("canvas");
    this.lanes = Object.fromEntries(Object.entries(data.lanes).map(([name, text]) => [name, bytes(text)]));
    this.width = 0;
  }

  at(clientX) {
    const box = this.track.getBoundingClientRect();
    return clamp((clientX - box.left) / box.width, 0, 1) * this.data.duration;
  }

  value(name, seconds) {
    const lane = this.lanes[name];
    const byte = lane && lane[Math.min(Math.floor(seconds / this.data.column), lane.length - 1)];
    return byte ? share(byte) : null;
  }

  draw() {
    if (!this.canvas || !this.track.clientWidth) return;
    const ratio = Math.max(window.devicePixelRatio || 1, 1);
    const width = Math.round(this.track.clientWidth * ratio);
    const rows = contaminants.length + 1, height = rows * LANE + AXIS;
    this.canvas.width = width;
    this.canvas.height = Math.round(height * ratio);
    this.canvas.style.height = height + "px";
    const ctx = this.canvas.getContext("2d");
    ctx.scale(1, ratio); // x in device pixels, y in CSS pixels
    this.ctx = ctx;
    this.ratio = ratio;
    this.w = width;
    this.perSecond = width / this.data.duration;
    for (let row = 0; row < rows; row++) {
      ctx.fillStyle = tone("faint");
      ctx.fillRect(0, row * LANE + 2, width, LANE - STRIP - 4);
    }
    this.wash(rows * LANE);
    contaminants.forEach((name, row) => this.probability(name, row * LANE));
    this.level(contaminants.length * LANE);
    this.marks();
    this.edges(rows * LANE);
    this.axis(rows * LANE);
    this.canvas.dataset.drawn = width;
  }

  /* The cuts, behind the lanes; told apart by pattern too. */
  wash(height) {
    const { ctx, ratio } = this;
    for (const [decision, start, end] of this.data.cuts) {
      const x = start * this.perSecond, w = (end - start) * this.perSecond;
      ctx.save();
      ctx.beginPath();
      ctx.rect(x, 0, w, height);
      ctx.clip();
      const colour = decision === "accept" ? tone("sfx") : tone(decision);
      ctx.globalAlpha = 0.1;
      ctx.fillStyle = colour;
      ctx.fillRect(x, 0, w, height);
      if (decision !== "accept") {
        ctx.globalAlpha = 0.16;
        ctx.strokeStyle = colour;
        ctx.lineWidth = 1.5;
        ctx.beginPath();
        const step = 7 * ratio, slant = decision === "review" ? height * ratio : 0;
        for (let at = x - slant; at < x + w + slant; at += step) {
          ctx.moveTo(at, height);
          ctx.lineTo(at + slant, 0);
        }
        ctx.stroke();
      }
      ctx.restore();
    }
  }

  edges(height) {
    const { ctx, ratio } = this;
    for (const [decision, start, end] of this.data.cuts) {
      ctx.fillStyle = decision === "accept" ? tone("sfx") : tone(decision);
      for (const at of [start, end]) ctx.fillRect(clamp(at * this.perSecond - ratio / 2, 0, this.w - ratio), 0, ratio, height);
    }
  }

  probability(name, top) {
    const { ctx, ratio } = this, limits = limitsOf[name];
    const base = top + LANE - STRIP - 2, full = LANE - STRIP - 4;
    const columns = this.data.duration / this.data.column;
    const heights = pooled(this.lanes[name], columns, this.w, higher);
    const y = (p) => base - p * full;
    ctx.fillStyle = tone(name);
    for (let x = 0; x < this.w; x++) {
      if (!heights[x]) continue;
      const p = share(heights[x]);
      ctx.globalAlpha = p >= limits.onset ? 1 : p >= limits.doubt ? 0.7 : 0.4;
      const h = Math.max(p * full, 0.75);
      ctx.fillRect(x, base - h, 1, h);
    }
    ctx.fillStyle = tone("soft");
    ctx.globalAlpha = 0.35;
    for (let x = 0; x < this.w; x++) if (!heights[x] && Math.floor(x / (3 * ratio)) % 2) ctx.fillRect(x, top + 2, 1, base - top - 2);
    ctx.strokeStyle = tone("ink");
    ctx.lineWidth = 0.75;
    const rules = [[limits.certain, [], 0.2], [limits.onset, [5 * ratio, 5 * ratio], 0.34], [limits.doubt, [1.5 * ratio, 3.5 * ratio], 0.45]];
    for (const [p, dash, alpha] of rules) {
      ctx.globalAlpha = alpha;
      ctx.setLineDash(dash);
      ctx.beginPath();
      ctx.moveTo(0, y(p));
      ctx.lineTo(this.w, y(p));
      ctx.stroke();
    }
    ctx.setLineDash([]);
    ctx.globalAlpha = 1;
  }

  /* From the quietest to the loudest moment of each column. */
  level(top) {
    const { ctx, ratio } = this;
    const base = top + LANE - STRIP - 2, full = LANE - STRIP - 4;
    const columns = this.data.duration / this.data.column;
    const loud = pooled(this.lanes.loudest, columns, this.w, higher), quiet = pooled(this.lanes.quietest, columns, this.w, lower);
    ctx.fillStyle = tone("soft");
    for (let x = 0; x < this.w; x++) {
      if (!loud[x]) continue;
      ctx.globalAlpha = 0.3;
      ctx.fillRect(x, base - share(loud[x]) * full, 1, share(loud[x]) * full);
      ctx.globalAlpha = 0.75;
      const h = Math.max((share(loud[x]) - share(quiet[x])) * full, 1);
      ctx.fillRect(x, base - share(loud[x]) * full, 1, h);
    }
    ctx.globalAlpha = 0.34;
    ctx.strokeStyle = tone("ink");
    ctx.lineWidth = 0.75;
    ctx.setLineDash([5 * ratio, 5 * ratio]);
    const y = base - toLevel(page.silence) * full;
    ctx.beginPath();
    ctx.moveTo(0, y);
    ctx.lineTo(this.w, y);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.globalAlpha = 1;
  }

  /* Events: under the lane they were found in; silence and artifacts under the level. */
  marks() {
    const { ctx, ratio } = this;
    for (const [label, start, end] of this.data.events) {
      const row = contaminants.includes(label) ? contaminants.indexOf(label) : contaminants.length;
      const bottom = (row + 1) * LANE - 2, x = start * this.perSecond;
      const w = Math.max((end - start) * this.perSecond, 2 * ratio);
      ctx.fillStyle = tone(label);
      if (label === "artifact") ctx.fillRect(x, bottom - LANE + 4, w, LANE - 4);
      else ctx.fillRect(x, bottom - STRIP + 0.5, w, STRIP - 0.5);
    }
  }

  axis(top) {
    const { ctx, ratio } = this, duration = this.data.duration;
    const room = (this.w / ratio) / 72;
    const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400];
    const step = steps.find((s) => duration / s <= room) || 28800;
    ctx.fillStyle = tone("left");
    ctx.fillRect(0, top, this.w, 1);
    ctx.save();
    ctx.scale(ratio, 1);
    ctx.fillStyle = tone("soft");
    ctx.font = "11px " + getComputedStyle(document.body).fontFamily;
    ctx.textBaseline = "alphabetic";
    const width = this.w / ratio;
    for (let t = 0; t <= duration; t += step) {
      const x = (t / duration) * width, text = clock(t), w = ctx.measureText(text).width;
      ctx.fillRect(Math.min(x, width - 1), top, 1, 4);
      if (x + w / 2 <= width || !t) ctx.fillText(text, clamp(x - w / 2, 0, width - w), top + 14);
    }
    ctx.restore();
  }
}

/* ---- what is said of a moment ---- */

function line(className, text, over = false) {
  const row = element("p", undefined, over ? "over" : "");
  if (className) row.append(element("i", undefined, "swatch " + className));
  row.append(element("span", text));
  return row;
}

function cutLines([decision, start, end, risk, ...reasons]) {
  const head = line("fill " + decision, `${decision} ${clock(start, true)} to ${clock(end, true)}, ${clock(end - start)} long`, true);
  return [head, line("", `risk ${risk.toFixed(2)}${reasons.length ? ": " + reasons.join(", ") : ""}`)];
}

function momentLines(timeline, t) {
  const rows = [line("", clock(t, true), true)];
  for (const name of contaminants) {
    const p = timeline.value(name, t), { onset, doubt } = limitsOf[name];
    if (!timeline.lanes[name]) continue;
    const said = p === null ? "not scored" : p.toFixed(2) + (p >= onset ? ", above onset" : p >= doubt ? ", doubtful" : "");
    rows.push(line(name, `${name} ${said}`, p >= doubt));
  }
  const loud = timeline.value("loudest", t);
  if (loud !== null) rows.push(line("", `level ${(page.floor * (1 - loud)).toFixed(0).replace("-", "−")} dBFS`));
  for (const [label, start, end, score] of timeline.data.events) {
    if (start <= t && t < end) rows.push(line(label, `${label} event ${clock(start, true)} to ${clock(end, true)}${score === null ? "" : ", " + score.toFixed(2)}`));
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

/* ---- playing ---- */

class Player {
  constructor(article, timeline) {
    this.timeline = timeline;
    this.duration = timeline.data.duration;
    this.button = article.querySelector(".play");
    this.head = article.querySelector(".head");
    this.scrub = article.querySelector(".scrub");
    this.clips = [...article.querySelectorAll("audio")].map((audio) => ({ audio, start: +audio.dataset.start, end: +audio.dataset.end }));
    this.clip = null;
    this.button.hidden = false;
    if (!this.clips.length) return;
    article.querySelector(".clips").hidden = true; // the timeline and the button take over
    for (const clip of this.clips) {
      for (const event of ["play", "pause", "ended", "seeked"]) clip.audio.addEventListener(event, () => this.follow());
      clip.audio.addEventListener("error", () => this.failed());
    }
    this.button.addEventListener("click", () => this.toggle());
    this.scrub.addEventListener("click", (event) => this.playFrom(timeline.at(event.clientX)));
    this.scrub.addEventListener("keydown", (event) => this.key(event));
  }

  get playing() { return this.clip !== null && !this.clip.audio.paused; }
  get time() { return this.clip ? clamp(this.clip.start + this.clip.audio.currentTime, 0, this.duration) : 0; }

  /* The clip that holds `t`, or the next one, or the last. */
  choose(t) {
    return this.clips.find((clip) => t < clip.end - 0.05) || this.clips[this.clips.length - 1];
  }

  playFrom(t) {
    for (const other of players) if (other !== this) other.pause();
    const clip = this.choose(t);
    if (this.clip && this.clip !== clip) this.clip.audio.pause();
    this.clip = clip;
    const offset = clamp(t - clip.start, 0, Math.max(clip.end - clip.start - 0.05, 0));
    const begin = () => {
      clip.audio.currentTime = offset;
      clip.audio.play().catch(() => {}); // a refusal is told by the error event
    };
    if (clip.audio.readyState) begin();
    else {
      clip.audio.addEventListener("loadedmetadata", begin, { once: true });
      clip.audio.preload = "auto";
      clip.audio.load();
    }
  }

  pause() { if (this.playing) this.clip.audio.pause(); }

  toggle() {
    if (this.playing) this.pause();
    else this.playFrom(this.clip && !this.clip.audio.ended ? this.time : this.clips[0].start);
  }

  key(event) {
    const steps = { ArrowLeft: -5, ArrowRight: 5, PageDown: -30, PageUp: 30 };
    if (event.key in steps) this.playFrom(clamp(this.time + steps[event.key], 0, this.duration));
    else if (event.key === "Home") this.playFrom(0);
    else if (event.key === " " || event.key === "Enter") this.toggle();
    else return;
    event.preventDefault();
  }

  follow() {
    this.button.classList.toggle("on", this.playing);
    this.button.setAttribute("aria-label", this.playing ? "Pause" : "Play");
    const t = this.time;
    this.head.hidden = this.clip === null;
    this.head.style.left = (100 * t) / this.duration + "%";
    this.scrub.setAttribute("aria-valuenow", Math.round(t));
    this.scrub.setAttribute("aria-valuetext", clock(t));
    cancelAnimationFrame(this.frame);
    if (this.playing) this.frame = requestAnimationFrame(() => this.follow());
  }

  failed() {
    this.button.disabled = true;
    this.button.title = "This browser cannot play it";
  }
}

/* ---- recordings ---- */

function eventRows(article, data) {
  const table = article.querySelector(".events");
  table.hidden = !data.events.length;
  table.tBodies[0].replaceChildren(...data.events.map(([label, start, end, score]) => {
    const row = element("tr"), head = element("th");
    head.scope = "row";
    head.append(element("i", undefined, "swatch " + label), label);
    row.append(head, ...[clock(start, true), clock(end, true), score === null ? "" : score.toFixed(2)].map((text) => element("td", text, "number")));
    return row;
  }));
}

function bring(article) {
  const data = page.recordings[+article.dataset.index];
  const timeline = new Timeline(article, data), player = new Player(article, timeline);
  players.push(player);
  const scrub = article.querySelector(".scrub");
  for (const type of ["pointermove", "pointerdown"])
    scrub.addEventListener(type, (event) => showTip(momentLines(timeline, timeline.at(event.clientX)), event.clientX, event.clientY));
  scrub.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hideTip());
  for (const button of article.querySelectorAll(".cut")) {
    const cut = data.cuts[+button.dataset.cut];
    const tell = (x, y) => showTip(cutLines(cut), x, y);
    button.addEventListener("pointermove", (event) => tell(event.clientX, event.clientY));
    button.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hideTip());
    button.addEventListener("focus", () => {
      if (!button.matches(":focus-visible")) return;
      const box = button.getBoundingClientRect();
      tell(box.left, box.bottom - 12);
    });
    button.addEventListener("blur", hideTip);
    button.addEventListener("click", (event) => {
      if (event.detail) tell(event.clientX, event.clientY);
      if (player.clips.length) player.playFrom(cut[1]);
    });
  }
  article.querySelector(".more").addEventListener("toggle", () => eventRows(article, data), { once: true });
  return timeline;
}

const articles = [...document.querySelectorAll(".recording")];
const timelines = new Map(articles.map((article) => [article, bring(article)]));
const seen = new Set();

/* Drawn when they come near the window: hundreds of canvases at once would take memory for nothing. */
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
  tools.querySelector("output").textContent = shown === articles.length ? `${shown} recordings` : `${shown} of ${articles.length} recordings`;
}

if (articles.length) {
  tools.hidden = false;
  tools.addEventListener("input", arrange);
  tools.addEventListener("submit", (event) => event.preventDefault());
  arrange();
}
