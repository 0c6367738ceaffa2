/* The tracks: their order, height and drawing. A name is beside every track, so that no meaning depends on colour alone. */
const LETTERS = { accept: "A", review: "?", reject: "R", keep: "A", unsure: "?" };
const PALETTES = {
  light: { accept: "#00855f", review: "#7450c0", reject: "#6b737c", keep: "#00855f", unsure: "#7450c0", ink: "#1c2024", soft: "#59626c", line: "#d9dde1", faint: "#f3f4f6", paper: "#ffffff", select: "#0b62c4" },
  dark: { accept: "#2fc79a", review: "#b59cf5", reject: "#98a1aa", keep: "#2fc79a", unsure: "#b59cf5", ink: "#e7e9eb", soft: "#a0a9b2", line: "#343a42", faint: "#191d24", paper: "#0e1117", select: "#78b4ff" },
};
const share = (byte) => (byte - 1) / 254;

async function fetchTracks(id, recipe) {
  const answer = await fetch(`/lpse/tracks/${encodeURIComponent(id)}?recipe=${encodeURIComponent(recipe)}`);
  if (!answer.ok) throw new Error(await answer.text());
  const bytes = new Uint8Array(await answer.arrayBuffer());
  const length = new DataView(bytes.buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  const values = {};
  header.tracks.forEach((name, i) => (values[name] = bytes.subarray(4 + length + i * header.columns, 4 + length + (i + 1) * header.columns)));
  return { ...header, values };
}

/* The value of a track at a time, 0 to 1; null where unscored. */
function valueAt(scores, name, time) {
  const track = scores?.values[name];
  const byte = track?.[clamp(Math.floor(time / scores.column), 0, track.length - 1)];
  return byte ? share(byte) : null;
}

/* The largest (smallest) byte under each pixel: a short peak keeps its height at every zoom. */
function pooled(scores, name, view, width, smallest = false) {
  const track = scores.values[name], out = new Uint8Array(width);
  for (let x = 0; x < width; x++) {
    const first = Math.floor((view.from + (x / width) * view.length) / scores.column);
    const last = Math.max(first + 1, Math.ceil((view.from + ((x + 1) / width) * view.length) / scores.column));
    let best = 0;
    for (let i = first; i < last && i < track.length; i++) if (track[i] && (!best || (smallest ? track[i] < best : track[i] > best))) best = track[i];
    out[x] = best;
  }
  return out;
}

/* The brightness of a colour "#rrggbb": 0 is black, 1 is white. */
const brightness = (hex = "#ffffff") => [1, 3, 5].reduce((sum, at, i) => sum + [0.3, 0.59, 0.11][i] * parseInt(hex.slice(at, at + 2), 16), 0) / 255;

/* The tracks from top to bottom. */
function layout(data, scores, withDetectors) {
  const rows = [{ kind: "axis", name: "", height: 18 }, { kind: "cuts", name: "cuts", height: 26 }];
  if (data.decided.length) rows.push({ kind: "decided", name: "verdicts", height: 16 });
  const people = [...new Set(data.regions.map((region) => region[3]))];
  for (const who of people) rows.push({ kind: "regions", who, name: who, height: 14 });
  rows.push({ kind: "events", name: "events", height: 14 });
  for (const label of Object.keys(scores?.values.level ? data.limits.contaminants : {})) {
    rows.push({ kind: "fused", label, name: label, height: 30, value: label });
    if (withDetectors) for (const name of scores.tracks) if (name.endsWith(`.${label}`)) rows.push({ kind: "detector", label, name: name.split(".")[0], value: name, height: 10 });
  }
  if (scores?.values.level) {
    rows.push({ kind: "level", name: "level, silence", height: 26, value: "level" });
    if (withDetectors) for (const name of scores.tracks) if (name.endsWith(".silence")) rows.push({ kind: "detector", label: "silence", name: name.split(".")[0], value: name, height: 10 });
  }
  if (data.recording.sound) rows.push({ kind: "wave", name: "waveform", height: 42 }, { kind: "spectrum", name: "spectrogram", height: 96 });
  let top = 0;
  for (const row of rows) { row.top = top; top += row.height + 2; }
  return rows;
}

class Painter {
  constructor(ctx, view, data, scores, dark) {
    Object.assign(this, { ctx, view, data, scores, dark });
    this.ratio = ctx.canvas.width / view.width;
    this.tones = PALETTES[dark ? "dark" : "light"];
  }

  /* A label's colour, lighter on dark ground. */
  tone(label) {
    const colour = this.data.colours[label] ?? this.tones.soft;
    return this.dark ? `color-mix(in srgb, ${colour} 72%, white)` : colour;
  }

  box(start, end, top, height, least = 2) {
    const x = this.view.x(start);
    return [x, top, Math.max(this.view.x(end) - x, least), height];
  }

  /* A cut or a decision: its colour, its pattern, and its letter. */
  patch([x, y, w, h], decision, text) {
    const { ctx } = this, colour = this.tones[decision];
    ctx.save();
    ctx.beginPath();
    ctx.rect(x, y, w, h);
    ctx.clip();
    ctx.globalAlpha = this.dark ? 0.3 : 0.2;
    ctx.fillStyle = colour;
    ctx.fillRect(x, y, w, h);
    ctx.globalAlpha = 0.5;
    ctx.strokeStyle = colour;
    ctx.lineWidth = 1.5;
    ctx.beginPath();
    const from = Math.max(x, -20), to = Math.min(x + w, this.view.width + 20);
    const slant = { review: h, unsure: h, reject: 0 }[decision], step = decision === "reject" ? 6 : 9;
    if (slant !== undefined) for (let at = from - (from % step) - h; at < to + h; at += step) { ctx.moveTo(at, y + h); ctx.lineTo(at + slant, y); }
    ctx.stroke();
    ctx.globalAlpha = 1;
    ctx.lineWidth = 3;
    ctx.strokeRect(x, y, w, h);
    const left = Math.max(x, 0) + (h > 20 ? 18 : 6); // beside the handle
    if (x + w - left > 9 && h > 12) {
      ctx.font = `600 ${h > 20 ? 12 : 10.5}px ${this.font}`;
      ctx.textBaseline = "middle";
      const room = Math.min(x + w, this.view.width) - left - 5;
      const shown = ctx.measureText(text).width < room ? text : text[0];
      const width = ctx.measureText(shown).width;
      ctx.fillStyle = this.tones.paper;
      ctx.globalAlpha = 0.75;
      ctx.fillRect(left - 3, y + 3, width + 6, h - 6);
      ctx.globalAlpha = 1;
      ctx.fillStyle = this.tones.ink;
      ctx.fillText(shown, left, y + h / 2 + 0.5);
    }
    ctx.restore();
  }

  cuts(row) {
    for (const cut of this.data.cuts) {
      const word = this.data.names[cut.decision];
      this.patch(this.box(cut.start, cut.end, row.top, row.height, 3), cut.decision, `${LETTERS[cut.decision]} ${word}${cut.parent ? ", trimmed" : ""}`);
    }
  }

  decided(row) {
    for (const [decision, start, end, who, excised] of this.data.decided) {
      const word = this.data.names[decision];
      this.patch(this.box(start, end, row.top, row.height, 3), decision, `${LETTERS[decision]} ${word} by ${who}`);
      for (const [a, b, label] of excised) this.mark(a, b, label, row.top + row.height - 5, 5);
    }
  }

  mark(start, end, label, top, height) {
    const box = this.box(start, end, top, height);
    if (box[0] > this.view.width || box[0] + box[2] < 0) return;
    this.ctx.fillStyle = this.tone(label);
    this.ctx.fillRect(...box);
    const left = Math.max(box[0], 0);
    this.ctx.font = `10px ${this.font}`;
    if (height > 10 && Math.min(box[0] + box[2], this.view.width) - left > this.ctx.measureText(label).width + 8) {
      this.ctx.textBaseline = "middle";
      this.ctx.fillStyle = this.dark || brightness(this.data.colours[label]) > 0.42 ? "#000000" : "#ffffff";
      this.ctx.fillText(label, left + 4, top + height / 2 + 0.5);
    }
  }

  events(row) { for (const [label, start, end, source] of this.data.events) if (!source.startsWith("annotator:")) this.mark(start, end, label, row.top + 1, row.height - 2); }
  regions(row) { for (const [label, start, end, who] of this.data.regions) if (who === row.who) this.mark(start, end, label, row.top + 1, row.height - 2); }

  fused(row) {
    const { ctx, ratio } = this, width = ctx.canvas.width, heights = pooled(this.scores, row.value, this.view, width);
    const [review, onset] = this.data.limits.contaminants[row.label];
    ctx.fillStyle = this.tone(row.label);
    for (let x = 0; x < width; x++) {
      if (!heights[x]) continue;
      const p = share(heights[x]);
      ctx.globalAlpha = p >= onset ? 1 : p >= review ? 0.75 : 0.4;
      ctx.fillRect(x / ratio, row.top + row.height - Math.max(p * row.height, 1), 1 / ratio, Math.max(p * row.height, 1));
    }
    ctx.globalAlpha = 0.6;
    this.rule(row.top + row.height * (1 - onset), [5, 4]);
    this.rule(row.top + row.height * (1 - review), [1.5, 3]);
    ctx.globalAlpha = 1;
  }

  detector(row) {
    const { ctx, ratio } = this, width = ctx.canvas.width, heights = pooled(this.scores, row.value, this.view, width);
    ctx.fillStyle = this.tone(row.label);
    for (let x = 0; x < width; x++) {
      if (!heights[x]) continue;
      const h = Math.max(share(heights[x]) * row.height, 0.5);
      ctx.globalAlpha = 0.85;
      ctx.fillRect(x / ratio, row.top + row.height - h, 1 / ratio, h);
    }
    ctx.globalAlpha = 1;
  }

  level(row) {
    const { ctx, ratio } = this, width = ctx.canvas.width;
    const loud = pooled(this.scores, "level", this.view, width), quiet = pooled(this.scores, "level", this.view, width, true);
    ctx.fillStyle = this.tones.soft;
    for (let x = 0; x < width; x++) {
      if (!loud[x]) continue;
      const top = share(loud[x]) * row.height, low = share(quiet[x]) * row.height;
      ctx.globalAlpha = 0.3;
      ctx.fillRect(x / ratio, row.top + row.height - low, 1 / ratio, low);
      ctx.globalAlpha = 0.8;
      ctx.fillRect(x / ratio, row.top + row.height - top, 1 / ratio, Math.max(top - low, 1));
    }
    ctx.globalAlpha = 0.6;
    this.rule(row.top + row.height * (this.data.limits.silence / this.data.limits.floor), [5, 4]);
    ctx.globalAlpha = 1;
  }

  rule(y, dash) {
    const { ctx } = this;
    ctx.strokeStyle = this.tones.ink;
    ctx.lineWidth = 0.75;
    ctx.setLineDash(dash);
    ctx.beginPath();
    ctx.moveTo(0, y);
    ctx.lineTo(this.view.width, y);
    ctx.stroke();
    ctx.setLineDash([]);
  }

  axis(row) {
    const { ctx, view } = this, room = view.width / 84;
    const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200].find((one) => view.length / one <= room) ?? 14400;
    ctx.fillStyle = this.tones.soft;
    ctx.font = `11px ${this.font}`;
    ctx.textBaseline = "middle";
    for (let i = Math.ceil(view.from / step); i * step <= view.to; i++) {
      const x = view.x(i * step), text = preciseClock(i * step, step < 1 ? 1 : 0), width = ctx.measureText(text).width;
      ctx.fillRect(Math.min(x, view.width - 1), row.top + row.height - 4, 1, 4);
      ctx.fillText(text, clamp(x - width / 2, 0, view.width - width), row.top + 7);
    }
  }

  paint(rows, sight) {
    const { ctx } = this;
    this.font = getComputedStyle(ctx.canvas).fontFamily;
    ctx.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    ctx.clearRect(0, 0, this.view.width, ctx.canvas.height);
    for (const row of rows) if (row.kind !== "axis") { ctx.fillStyle = this.tones.faint; ctx.fillRect(0, row.top, this.view.width, row.height); }
    for (const row of rows) this[row.kind]?.(row);
    const wave = rows.find((row) => row.kind === "wave"), spectrum = rows.find((row) => row.kind === "spectrum");
    if (!wave) return;
    ctx.setTransform(1, 0, 0, 1, 0, 0);
    const drawn = sight.draw(ctx, this.view, wave, spectrum, this.dark, this.tones.soft);
    ctx.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    ctx.fillStyle = this.tones.soft;
    ctx.font = `11.5px ${this.font}`;
    ctx.textBaseline = "middle";
    if (!drawn && sight.note) ctx.fillText(sight.note, 12, spectrum.top + spectrum.height / 2);
    if (drawn) this.hertz(spectrum);
  }

  /* Labels at 1, 4 and 10 kHz: the bands are even on the mel scale from 40 Hz to 16 kHz. */
  hertz(row) {
    const { ctx } = this, mel = (hertz) => 2595 * Math.log10(1 + hertz / 700);
    ctx.font = `600 9.5px ${this.font}`;
    for (const khz of [1, 4, 10]) {
      const y = row.top + row.height * (1 - (mel(khz * 1000) - mel(40)) / (mel(16000) - mel(40)));
      ctx.fillStyle = this.tones.paper;
      ctx.globalAlpha = 0.65;
      ctx.fillRect(0, y - 6, 34, 12);
      ctx.globalAlpha = 1;
      ctx.fillStyle = this.tones.ink;
      ctx.fillText(`${khz} kHz`, 3, y + 0.5);
    }
  }
}
