"use strict";
const page = JSON.parse(document.getElementById("data").textContent);
const ROW = 34, AXIS = 16, STRIP = 4; // heights in CSS pixels; the names beside the tracks use ROW too

const tone = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

function element(tag, text, className) {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text; // never as markup: names may hold any character
  if (className) made.className = className;
  return made;
}

/* The largest byte of the columns under each of `width` pixels: short peaks keep their height. */
function pooled(track, columns, width, pick) {
  const out = new Uint8Array(width);
  for (let x = 0; x < width; x++) {
    const first = Math.floor((x * columns) / width);
    const end = Math.max(first + 1, Math.ceil(((x + 1) * columns) / width));
    let best = 0;
    for (let i = first; i < end && i < track.length; i++) if (track[i] && (!best || pick(track[i], best))) best = track[i];
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
    this.clips = [...article.querySelectorAll("audio")].map((audio) => [+audio.dataset.start, +audio.dataset.end]);
    this.tracks = Object.fromEntries(Object.entries(data.tracks).map(([name, text]) => [name, bytes(text)]));
    this.width = 0;
  }

  at(clientX) {
    const box = this.track.getBoundingClientRect();
    return clamp((clientX - box.left) / box.width, 0, 1) * this.data.duration;
  }

  value(name, seconds) {
    const track = this.tracks[name];
    const byte = track && track[Math.min(Math.floor(seconds / this.data.column), track.length - 1)];
    return byte ? share(byte) : null;
  }

  draw() {
    if (!this.canvas || !this.track.clientWidth) return;
    const ratio = Math.max(window.devicePixelRatio || 1, 1);
    const width = Math.round(this.track.clientWidth * ratio);
    const rows = contaminants.length + 1, height = rows * ROW + AXIS;
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
      ctx.fillRect(0, row * ROW + 2, width, ROW - STRIP - 4);
    }
    this.wash(rows * ROW);
    contaminants.forEach((name, row) => this.probability(name, row * ROW));
    this.level(contaminants.length * ROW);
    this.marks();
    this.edges(rows * ROW);
    this.axis(rows * ROW);
    this.canvas.dataset.drawn = width;
  }

  /* The cuts, behind the tracks; patterns distinguish them too. */
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
    const base = top + ROW - STRIP - 2, full = ROW - STRIP - 4;
    const columns = this.data.duration / this.data.column;
    const heights = pooled(this.tracks[name], columns, this.w, higher);
    const y = (p) => base - p * full;
    ctx.fillStyle = tone(name);
    for (let x = 0; x < this.w; x++) {
      if (!heights[x]) continue;
      const p = share(heights[x]);
      ctx.globalAlpha = p >= limits.onset ? 1 : p >= limits.review_threshold ? 0.7 : 0.4;
      const h = Math.max(p * full, 0.75);
      ctx.fillRect(x, base - h, 1, h);
    }
    ctx.fillStyle = tone("soft");
    ctx.globalAlpha = 0.35;
    for (let x = 0; x < this.w; x++) if (!heights[x] && Math.floor(x / (3 * ratio)) % 2) ctx.fillRect(x, top + 2, 1, base - top - 2);
    ctx.strokeStyle = tone("ink");
    ctx.lineWidth = 0.75;
    const rules = [[limits.reject_threshold, [], 0.2], [limits.onset, [5 * ratio, 5 * ratio], 0.34], [limits.review_threshold, [1.5 * ratio, 3.5 * ratio], 0.45]];
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
    const base = top + ROW - STRIP - 2, full = ROW - STRIP - 4;
    const columns = this.data.duration / this.data.column;
    const loud = pooled(this.tracks.loudest, columns, this.w, higher), quiet = pooled(this.tracks.quietest, columns, this.w, lower);
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

  /* Events: under the track of their label; silence and artifacts under the level. */
  marks() {
    const { ctx, ratio } = this;
    for (const [label, start, end] of this.data.events) {
      const row = contaminants.includes(label) ? contaminants.indexOf(label) : contaminants.length;
      const bottom = (row + 1) * ROW - 2, x = start * this.perSecond;
      const w = Math.max((end - start) * this.perSecond, 2 * ratio);
      ctx.fillStyle = tone(label);
      if (label === "artifact") ctx.fillRect(x, bottom - ROW + 4, w, ROW - 4);
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
    if (this.clips.length > 1 || this.clips.some(([start, end]) => end - start < duration - 1)) {
      ctx.fillStyle = tone("focus"); // the spans with a preview, unless all have one
      for (const [start, end] of this.clips) ctx.fillRect(start * this.perSecond, top, Math.max((end - start) * this.perSecond, 2 * ratio), 3);
    }
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

