/* The tracks on the page: names beside them, one playhead over all, click to seek, drag to select, handles to trim. */
const DRAG_PX = 4;

class Timeline {
  constructor(app) {
    this.app = app;
    this.root = element("div", "timeline");
    this.map = element("canvas", "map", undefined, { "aria-hidden": "true" });
    this.names = element("div", "names");
    this.track = element("div", "track", undefined, {
      role: "slider", tabindex: "0", "aria-label": "Time in the recording", "aria-valuemin": "0", "aria-valuemax": Math.round(app.data.recording.duration),
    });
    this.canvas = element("canvas");
    this.loopBox = element("div", "loop");
    this.marks = element("div", "marks");
    this.head = element("div", "head");
    this.handles = ["start", "end"].map((edge) => this.handle(edge));
    this.kept = element("div", "kept");
    this.tip = element("div", "tip", undefined, { role: "status" });
    this.track.append(this.canvas, this.loopBox, this.kept, this.marks, ...this.handles, this.head, this.tip);
    this.root.append(element("div", "corner"), this.map, this.names, this.track);
    this.view = new View(app.data.recording.duration, () => this.redraw());
    this.sight = new Sight(app.data.recording.id, () => this.redraw());
    this.listen();
    this.observer = new ResizeObserver(() => this.redraw());
    this.observer.observe(this.track);
  }

  close() { this.observer.disconnect(); clearTimeout(this.sight.waiting); cancelAnimationFrame(this.drawing); }

  redraw() {
    cancelAnimationFrame(this.drawing);
    this.drawing = requestAnimationFrame(() => this.draw());
  }

  draw() {
    const { data, scores } = this.app, width = this.track.clientWidth;
    if (!width) return;
    this.view.width = width;
    this.rows = layout(data, scores, this.app.withDetectors);
    const height = this.rows.at(-1).top + this.rows.at(-1).height, ratio = Math.max(devicePixelRatio || 1, 1);
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.track.style.height = this.canvas.style.height = `${height}px`;
    const dark = isDark(this.app.root);
    this.app.root.dataset.theme = dark ? "dark" : "light";
    const painter = new Painter(this.canvas.getContext("2d"), this.view, data, scores, dark);
    painter.paint(this.rows, this.sight);
    this.sight.want(this.view);
    this.name();
    this.drawMap(painter, ratio);
    this.place();
    this.canvas.dataset.drawn = "yes";
  }

  /* The whole recording in a strip: cuts, risky moments, and the visible span. */
  drawMap(painter, ratio) {
    const width = this.map.clientWidth, height = this.map.clientHeight, { data } = this.app;
    this.map.width = Math.round(width * ratio);
    this.map.height = Math.round(height * ratio);
    const ctx = this.map.getContext("2d"), x = (time) => (time / this.view.duration) * width;
    ctx.scale(ratio, ratio);
    ctx.fillStyle = painter.tones.faint;
    ctx.fillRect(0, 0, width, height);
    for (const cut of data.cuts) {
      ctx.fillStyle = painter.tones[cut.decision];
      ctx.globalAlpha = 0.5;
      ctx.fillRect(x(cut.start), height - 6, Math.max(x(cut.end) - x(cut.start) - 1, 1), 6);
    }
    ctx.globalAlpha = 1;
    for (const [label, at] of data.moments) {
      ctx.fillStyle = painter.tone(label);
      ctx.fillRect(x(at) - 0.75, 2, 1.5, height - 9);
    }
    ctx.strokeStyle = painter.tones.select;
    ctx.lineWidth = 2;
    ctx.strokeRect(x(this.view.from) + 1, 1, Math.max(x(this.view.to) - x(this.view.from) - 2, 3), height - 2);
    this.mapHead = [ctx, x];
  }

  name() {
    const made = this.rows.map((row) => {
      const line = element("div", `name ${row.kind}`);
      line.style.top = `${row.top}px`;
      line.style.height = `${row.height}px`;
      if (row.label) {
        const swatch = element("i", "swatch");
        swatch.style.background = this.app.data.colours[row.label] ?? "";
        line.append(swatch);
      }
      line.append(element("span", "", row.name));
      if (row.value) line.append(element("output", "", ""));
      return line;
    });
    this.names.replaceChildren(...made);
  }

  /* Update what depends on the playhead and the selection, without drawing the tracks again. */
  place() {
    if (!this.rows) return;
    const { app, view } = this, time = app.media.time;
    this.head.style.transform = `translateX(${view.x(time)}px)`;
    this.head.hidden = time < view.from || time > view.to;
    this.track.setAttribute("aria-valuenow", Math.round(time));
    this.track.setAttribute("aria-valuetext", preciseClock(time));
    this.put(this.loopBox, app.selection);
    const cut = app.cut, cutRow = this.rows.find((row) => row.kind === "cuts");
    this.put(this.kept, cut && app.trim);
    for (const [i, handle] of this.handles.entries()) {
      handle.hidden = !cut;
      if (!cut) continue;
      handle.style.left = `${view.x(app.trim[i])}px`;
      handle.style.top = `${cutRow.top - 3}px`;
      handle.setAttribute("aria-valuenow", app.trim[i].toFixed(3));
      handle.setAttribute("aria-valuetext", preciseClock(app.trim[i]));
      handle.hidden = app.trim[i] < view.from - 1e-6 || app.trim[i] > view.to + 1e-6;
    }
    this.kept.style.top = `${cutRow.top - 2}px`;
    this.kept.style.height = `${cutRow.height + 4}px`;
    for (const [i, line] of [...this.names.children].entries()) {
      const row = this.rows[i], out = row.value && line.querySelector("output");
      if (!out) continue;
      const value = valueAt(app.scores, row.value, time);
      out.textContent = value === null ? "–" : row.value === "level" ? `${Math.round(app.data.limits.floor * (1 - value))}` : value.toFixed(2).replace("0.", ".");
      out.classList.toggle("over", row.kind === "fused" && value >= app.data.limits.contaminants[row.label][0]);
    }
  }

  put(box, stretch) {
    box.hidden = !stretch;
    if (!stretch) return;
    const [start, end] = stretch.map((time) => this.view.x(time));
    box.style.left = `${start}px`;
    box.style.width = `${Math.max(end - start, 1)}px`;
  }

  handle(edge) {
    const made = element("div", `handle ${edge}`, undefined, {
      role: "slider", tabindex: "0", "aria-label": edge === "start" ? "Start of the cut" : "End of the cut", "aria-valuemin": "0",
      "aria-valuemax": Math.round(this.app.data.recording.duration), title: "Drag to trim. Arrow keys move by 0.1 s, with Shift by 1 s.",
    });
    const index = edge === "start" ? 0 : 1;
    made.addEventListener("pointerdown", (event) => {
      event.stopPropagation();
      made.setPointerCapture(event.pointerId);
      made.focus();
    });
    made.addEventListener("pointermove", (event) => {
      if (made.hasPointerCapture(event.pointerId)) this.app.setTrim(index, this.at(event));
    });
    made.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -0.1, ArrowRight: 0.1 }[event.key];
      if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
      this.app.setTrim(index, this.app.trim[index] + step * (event.shiftKey ? 10 : 1));
      event.preventDefault();
      event.stopPropagation();
    });
    return made;
  }

  at(event) { return this.view.time(event.clientX - this.track.getBoundingClientRect().left); }
  row(event) {
    const y = event.clientY - this.track.getBoundingClientRect().top;
    return this.rows?.find((row) => y >= row.top && y < row.top + row.height + 2);
  }

  listen() {
    const { track, map, app } = this;
    let down = null;
    track.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      down = { x: event.clientX, time: this.at(event), moved: false };
      track.setPointerCapture(event.pointerId);
    });
    track.addEventListener("pointermove", (event) => {
      this.hint(event);
      if (!down) return;
      down.moved ||= Math.abs(event.clientX - down.x) > DRAG_PX;
      if (down.moved) app.setSelection(down.time, this.at(event));
    });
    track.addEventListener("pointerup", (event) => {
      if (!down) return;
      const { moved, time } = down;
      down = null;
      if (moved) return app.seek(app.selection[0]);
      const row = this.row(event);
      if (row?.kind === "cuts") app.select(app.cutAt(time));
      app.seek(time);
    });
    track.addEventListener("pointercancel", () => (down = null));
    track.addEventListener("pointerleave", () => (this.tip.hidden = true));
    track.addEventListener("dblclick", (event) => {
      const cut = app.cutAt(this.at(event));
      if (cut) this.view.frame(cut.start, cut.end);
    });
    track.addEventListener("wheel", (event) => {
      const sideways = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
      if (event.ctrlKey || event.metaKey) this.view.zoom(1.0015 ** clamp(event.deltaY, -400, 400), this.at(event));
      else if (Math.abs(sideways) > Math.abs(event.shiftKey ? 0 : event.deltaY)) this.view.show(this.view.from + (sideways / this.view.width) * this.view.length, this.view.length);
      else return; // the page scrolls
      event.preventDefault();
    }, { passive: false });
    const move = (event) => {
      const box = map.getBoundingClientRect(), time = clamp((event.clientX - box.left) / box.width, 0, 1) * this.view.duration;
      if (this.view.whole) app.seek(time);
      else this.view.show(time - this.view.length / 2, this.view.length);
    };
    map.addEventListener("pointerdown", (event) => { map.setPointerCapture(event.pointerId); move(event); });
    map.addEventListener("pointermove", (event) => map.hasPointerCapture(event.pointerId) && move(event));
  }

  /* The text about the time under the pointer. */
  hint(event) {
    const time = this.at(event), row = this.row(event), { data, scores } = this.app;
    const lines = [preciseClock(time)];
    const inside = ([, start, end]) => start <= time && time < end;
    if (row?.kind === "cuts") {
      const cut = this.app.cutAt(time);
      if (cut) lines.push(`${data.names[cut.decision]}: ${span(cut.start, cut.end)}, risk ${cut.risk.toFixed(2)}`, ...cut.reasons);
    } else if (row?.kind === "events") {
      for (const [label, start, end, source, score] of data.events.filter(inside)) lines.push(`${label}, ${span(start, end)}, by ${source}${score === null ? "" : ` (${score.toFixed(2)})`}`);
    } else if (row?.kind === "regions") {
      for (const [label, start, end, who, text] of data.regions.filter(inside)) if (who === row.who) lines.push(`${label}, ${span(start, end)}${text ? `: ${text}` : ""}`);
    } else if (row?.kind === "decided") {
      for (const [decision, start, end, who, excised] of data.decided.filter(inside)) lines.push(`${data.names[decision]} by ${who}, ${span(start, end)}`, ...excised.map(([a, b, label]) => `${label} cut away: ${span(a, b)}`));
    } else if (row?.value) {
      const value = valueAt(scores, row.value, time);
      if (value !== null) lines.push(row.value === "level" ? `${Math.round(data.limits.floor * (1 - value))} dBFS` : `${row.name} ${row.kind === "detector" ? `(${row.label}) ` : ""}${value.toFixed(2)}`);
    }
    const tags = scores?.tags[Math.floor(time / (scores.tag_hop || 1))];
    if (tags?.length) lines.push(`tags: ${tags.map(([name, score]) => `${name} ${score.toFixed(2)}`).join(", ")}`);
    this.tip.replaceChildren(...lines.map((text) => element("div", "", text)));
    this.tip.hidden = false;
    const box = this.track.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    this.tip.style.left = `${x + 16 + this.tip.offsetWidth > box.width ? x - 12 - this.tip.offsetWidth : x + 16}px`;
    this.tip.style.top = `${Math.max(y - this.tip.offsetHeight - 10, 0)}px`;
  }
}
