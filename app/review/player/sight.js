/* Wave and spectrum: fetched for the visible span, drawn in the colours of the theme. */
const SIGHT_WAIT_MS = 120, SIGHT_AGAIN_MS = 700;

/* From the colour of the paper to that of the ink, in one hue: brightness is the level. */
const RAMPS = {
  light: [[255, 255, 255], [214, 226, 240], [120, 158, 205], [43, 84, 150], [12, 22, 60]],
  dark: [[14, 17, 23], [26, 44, 78], [52, 98, 160], [132, 178, 224], [246, 250, 255]],
};

function ramp(dark) {
  const stops = RAMPS[dark ? "dark" : "light"], table = new Uint8Array(256 * 3);
  for (let level = 0; level < 256; level++) {
    const at = clamp((level / 255 - 0.22) / 0.66, 0, 1) * (stops.length - 1), i = Math.min(Math.floor(at), stops.length - 2);
    for (let c = 0; c < 3; c++) table[level * 3 + c] = stops[i][c] + (stops[i + 1][c] - stops[i][c]) * (at - i);
  }
  return table;
}

class Sight {
  constructor(id, onChange) {
    this.id = id;
    this.onChange = onChange;
    this.parts = []; // the last ones fetched
    this.waiting = 0;
    this.note = "Reading the audio…";
  }

  /* Fetch the visible span and a margin, once the view rests. */
  want(view) {
    clearTimeout(this.waiting);
    this.waiting = setTimeout(() => this.fetch(view), SIGHT_WAIT_MS);
  }

  async fetch(view) {
    const beside = view.length * 0.25;
    const from = Math.max(0, view.from - beside), to = Math.min(view.duration, view.to + beside);
    const columns = Math.round(clamp(((to - from) / view.length) * view.width, 64, 4096));
    const fine = (to - from) / columns;
    if (this.parts.some((one) => one.from <= view.from + 1e-3 && one.to >= view.to - 1e-3 && one.wanted <= fine * 1.3)) return;
    this.request?.abort();
    this.request = new AbortController();
    try {
      const query = `start_ms=${toMs(from)}&end_ms=${Math.max(toMs(to), toMs(from) + 1)}&columns=${columns}`;
      const answer = await fetch(`/lpse/sight/${encodeURIComponent(this.id)}?${query}`, { signal: this.request.signal });
      if (answer.status === 202) {
        this.note = `Reading the audio: ${Math.floor(100 * (await answer.json()).share)} %`;
        this.waiting = setTimeout(() => this.fetch(view), SIGHT_AGAIN_MS);
      } else if (!answer.ok) {
        this.note = await answer.text();
      } else {
        const column = +answer.headers.get("x-column-seconds"), rows = +answer.headers.get("x-rows");
        const bytes = new Uint8Array(await answer.arrayBuffer()), start = +answer.headers.get("x-start");
        this.parts = [{ from, to, start, column, rows, wanted: fine, bytes, count: bytes.length / rows }, ...this.parts].slice(0, 6);
        this.note = "";
      }
      this.onChange();
    } catch (error) {
      if (error.name !== "AbortError") this.note = "The app does not answer. Check whether lpse review is still running.";
    }
  }

  /* The finest part that covers the visible span, else the part that covers most of it. */
  best(view) {
    const part = (one) => Math.min(one.to, view.to) - Math.max(one.from, view.from);
    return [...this.parts].sort((a, b) => part(b) - part(a) || a.column - b.column)[0];
  }

  draw(ctx, view, wave, spectrum, dark, ink) {
    const found = this.best(view);
    if (!found || !found.count) return false;
    const ratio = ctx.canvas.width / view.width, width = ctx.canvas.width;
    const bands = found.rows - 2, height = Math.round(spectrum.height * ratio), table = ramp(dark);
    const image = ctx.createImageData(width, height);
    const rows = Array.from({ length: height }, (_, y) => 2 + clamp(Math.floor((1 - (y + 0.5) / height) * bands), 0, bands - 1));
    ctx.fillStyle = ink;
    const middle = (wave.top + wave.height / 2) * ratio, half = (wave.height / 2 - 1) * ratio;
    for (let x = 0; x < width; x++) {
      const left = (view.from + (x / width) * view.length - found.start) / found.column;
      const right = Math.max(left + view.length / width / found.column, left + 1e-9);
      const first = Math.floor(left), last = Math.min(Math.max(Math.ceil(right), first + 1), found.count);
      if (first < 0 || first >= found.count) continue;
      let low = 255, high = 1;
      for (let i = first; i < last; i++) {
        const at = i * found.rows;
        if (found.bytes[at] < low) low = found.bytes[at];
        if (found.bytes[at + 1] > high) high = found.bytes[at + 1];
      }
      const top = middle - ((high - 128) / 127) * half, bottom = middle - ((low - 128) / 127) * half;
      ctx.fillRect(x, top, 1, Math.max(bottom - top, ratio));
      for (let y = 0; y < height; y++) {
        let level = 0;
        for (let i = first; i < last; i++) level = Math.max(level, found.bytes[i * found.rows + rows[y]]);
        const at = (y * width + x) * 4;
        image.data[at] = table[level * 3];
        image.data[at + 1] = table[level * 3 + 1];
        image.data[at + 2] = table[level * 3 + 2];
        image.data[at + 3] = 255;
      }
    }
    ctx.putImageData(image, 0, Math.round(spectrum.top * ratio));
    return true;
  }
}
