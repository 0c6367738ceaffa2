/* One recording on the page: the parts above, put together, and the keys. */
class App {
  constructor(parent, data) {
    this.root = element("div", "player");
    this.busy = false;
    this.parent = parent;
    parent.append(this.root);
    this.withDetectors = remembered("detectors", true);
    this.onKey = (event) => this.key(event);
    addEventListener("keydown", this.onKey, true);
    this.themes = new MutationObserver(() => this.timeline?.redraw());
    this.themes.observe(document.documentElement, { attributes: true, attributeFilter: ["style", "class"] });
    this.begin(data);
  }

  /* Show another recording: everything of the previous one is removed. */
  begin(data) {
    this.end();
    this.data = data;
    this.scores = null;
    this.cut = null;
    this.trim = null;
    this.selection = null;
    this.looping = false;
    const { recording } = data;
    this.root.replaceChildren();
    this.status = element("p", "status", undefined, { role: "status" });
    const screen = element("div", `screen${recording.video ? "" : " blind"}`), screenMedia = element(recording.video ? "video" : "audio", "film", undefined, { playsinline: "" });
    screenMedia.addEventListener("click", () => this.media.toggle());
    screen.append(screenMedia);
    if (!recording.video) screen.append(element("p", "soft", "Audio only"));
    screen.append(this.status);
    this.media = new Media(screenMedia, recording.id, (text, wrong) => this.say(text, wrong));
    this.timeline = new Timeline(this);
    this.desk = new Desk(this);
    this.moments = new Moments(this);
    this.papers = new Papers(this);
    const left = element("div", "left"), top = element("div", "top");
    left.append(screen, this.transport());
    top.append(left, this.desk.root, this.moments.root);
    this.root.append(top, this.bar(), this.timeline.root, this.papers.root);
    this.help = null;
    this.media.wanted = data.at;
    this.select(this.cutAt(data.at) ?? data.cuts.find((cut) => cut.decision === "review") ?? data.cuts[0] ?? null);
    this.renew();
    if (data.missing) this.say(data.missing, true);
    fetchTracks(recording.id, data.recipe)
      .then((scores) => {
        if (this.data.recording.id !== recording.id) return;
        this.scores = scores;
        this.timeline.redraw();
        this.lastTime = null; // the next frame shows the scores
      })
      .catch((error) => this.say(`The tracks are missing: ${error.message}`, true));
    const turn = () => {
      if (this.closed) return;
      this.media.turn();
      if (this.media.time !== this.lastTime) {
        this.lastTime = this.media.time;
        this.tick();
      }
      this.frame = requestAnimationFrame(turn);
    };
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(turn);
  }

  /* New data of the same recording: playback and view stay. */
  update(data, triggers) {
    this.triggers = triggers;
    if (data.recording.id !== this.data.recording.id || data.recipe !== this.data.recipe) return this.begin(data);
    const visited = data.visit !== this.data.visit, before = this.cut;
    this.data = data;
    this.busy = false;
    clearTimeout(this.patience);
    this.desk.update();
    if (visited) {
      this.setSelection();
      this.seek(data.at);
      this.timeline.view.follow(data.at);
      this.select(this.cutAt(data.at));
    } else if (before) {
      const same = data.cuts.find((cut) => cut.id === before.id);
      if (!same || JSON.stringify(same) !== JSON.stringify(before)) this.select(same ?? data.cuts.find((cut) => cut.start < before.end && before.start < cut.end) ?? null);
    }
    if (data.notice?.kind === "done") { this.desk.clear(); this.selection = null; }
    this.renew();
  }

  renew() {
    this.desk.renew();
    this.moments.renew();
    this.papers.renew();
    this.timeline.redraw();
  }

  end() {
    this.timeline?.close();
    this.media?.close();
  }

  close() {
    this.closed = true;
    cancelAnimationFrame(this.frame);
    removeEventListener("keydown", this.onKey, true);
    this.themes.disconnect();
    this.end();
    this.root.remove();
  }

  say(text, wrong = false) {
    this.status.textContent = text;
    this.status.hidden = !text;
    this.status.classList.toggle("wrong", wrong);
  }

  transport() {
    const made = element("div", "transport");
    this.playButton = button("play", "", "Play or pause (Space)", () => this.media.toggle());
    this.time = element("output", "time", "0:00.0", { "aria-label": "Playhead" });
    this.total = element("span", "total", ` / ${preciseClock(this.data.recording.duration)}`);
    this.loopButton = button("small loop-button", "Loop", "Loop the selection or the cut (G)", () => this.toggleLoop());
    this.loopButton.setAttribute("aria-pressed", "false");
    const speed = element("select", "speed", undefined, { "aria-label": "Speed" });
    for (const rate of [0.5, 0.75, 1, 1.25, 1.5, 2]) speed.append(element("option", "", `${rate}×`, { value: rate, ...(rate === 1 ? { selected: "" } : {}) }));
    speed.addEventListener("change", () => { this.media.element.playbackRate = +speed.value; });
    const volume = element("input", "volume", undefined, { type: "range", min: "0", max: "1", step: "0.05", "aria-label": "Volume" });
    volume.value = this.media.element.volume = remembered("volume", 1);
    volume.addEventListener("input", () => { this.media.element.volume = +volume.value; remember("volume", +volume.value); });
    for (const name of ["play", "pause", "ended"]) this.media.element.addEventListener(name, () => {
      this.playButton.classList.toggle("on", this.media.playing);
      this.playButton.setAttribute("aria-label", this.media.playing ? "Pause" : "Play");
    });
    const clockFace = element("span", "clock");
    clockFace.append(this.time, this.total);
    made.append(this.playButton, clockFace, this.loopButton, speed, volume);
    return made;
  }

  bar() {
    const made = element("div", "bar"), { view } = this.timeline;
    const title = element("h2", "title", this.data.recording.title, { title: this.data.recording.place });
    const middle = () => clamp(this.media.time, view.from, view.to);
    this.tags = element("span", "tags", "", { "aria-live": "off" });
    const zoom = element("div", "zoom", undefined, { role: "group", "aria-label": "Zoom" });
    zoom.append(
      button("small", "−", "Zoom out (−)", () => view.zoom(2, middle())), button("small", "+", "Zoom in (+)", () => view.zoom(0.5, middle())),
      button("small", "Cut", "Zoom to the selection or the cut (Z)", () => this.frameTarget()), button("small", "All", "The whole recording (0)", () => view.show(0, view.duration)),
      button("small", "Detectors", "Show or hide the tracks of each detector (D)", () => this.toggleDetectors()), button("small", "? Keys", "Keys (?)", () => this.toggleHelp()),
    );
    made.append(title, this.tags, zoom);
    return made;
  }

  tick() {
    const time = this.media.time;
    this.time.textContent = preciseClock(time);
    if (this.media.playing) this.timeline.view.follow(time);
    this.timeline.place();
    this.moments.follow(time);
    const tags = this.scores?.tags[Math.floor(time / (this.scores.tag_hop || 1))];
    this.tags.textContent = tags?.length ? `Tags: ${tags.map(([name, score]) => `${name} ${score.toFixed(2)}`).join(" · ")}` : "";
  }

  /* ---- position and selection ---- */

  cutAt(time) { return this.data.cuts.find((cut) => cut.start <= time && time < cut.end) ?? null; }
  seek(time) {
    const at = clamp(time, 0, this.data.recording.duration);
    this.media.seek(at);
    this.timeline.view.follow(at);
    this.tick();
  }

  select(cut) {
    this.cut = cut;
    this.trim = cut && [cut.start, cut.end];
    this.renewLoop();
    this.desk?.update();
    this.timeline?.place();
  }

  setSelection(from = null, to = null) {
    this.selection = from === null ? null : [Math.min(from, to), Math.max(from, to)];
    this.renewLoop();
    this.desk.update();
    this.timeline.place();
  }

  /* The ends of the cut are exact; all other times are whole milliseconds. */
  setTrim(index, time) {
    if (!this.cut) return;
    const wanted = Math.round(clamp(time, this.cut.start, this.cut.end) * 1000) / 1000;
    this.trim[index] = index ? Math.max(wanted, this.trim[0] + 0.1) : Math.min(wanted, this.trim[1] - 0.1);
    this.renewLoop();
    this.desk.update();
    this.timeline.place();
  }

  get target() {
    if (this.selection) return { start: this.selection[0], end: this.selection[1], cut: null, trimmed: false };
    if (!this.cut) return null;
    const { start, end } = this.cut;
    return { start, end, cut: this.cut, trimmed: toMs(this.trim[0]) !== toMs(start) || toMs(this.trim[1]) !== toMs(end) };
  }

  renewLoop() { this.media.loop = !this.looping ? null : this.selection ?? this.trim; }
  toggleLoop() {
    this.looping = !this.looping;
    this.loopButton.setAttribute("aria-pressed", this.looping);
    this.renewLoop();
  }

  frameTarget() { if (this.target) this.timeline.view.frame(this.target.start, this.target.end); }
  toggleDetectors() {
    this.withDetectors = !this.withDetectors;
    remember("detectors", this.withDetectors);
    this.timeline.redraw();
  }

  toggleHelp() {
    if (this.help) { this.help.remove(); this.help = null; return; }
    this.help = keyHelp(() => this.toggleHelp());
    this.root.append(this.help);
    this.help.querySelector("button").focus();
  }

  /* The risky moments in cuts without a verdict; in a recording without cuts, all of them. */
  risky() {
    const { moments, cuts, decided } = this.data;
    if (this.riskyOf !== this.data) {
      const settled = (at) => decided.some(([decision, start, end]) => decision !== "unsure" && start <= at && at < end);
      const inside = moments.filter(([, at]) => cuts.some((cut) => cut.start <= at && at < cut.end) && !settled(at));
      this.riskyOf = this.data;
      this.riskyNow = { moments: inside.length || cuts.length ? inside : moments, all: moments.length };
    }
    return this.riskyNow;
  }

  go([, at]) {
    const cut = this.cutAt(at);
    if (cut && cut !== this.cut) this.select(cut);
    this.seek(at);
    this.timeline.view.follow(at);
  }

  jump(step) {
    const { moments } = this.risky(), now = this.media.time;
    const next = step > 0 ? moments.find(([, at]) => at > now + 0.05) : moments.findLast(([, at]) => at < now - 0.05);
    if (next) this.go(next);
  }

  step(step) {
    const { cuts } = this.data, i = this.cut ? cuts.indexOf(this.cut) : step > 0 ? -1 : cuts.length;
    const next = cuts[i + step];
    if (next) { this.setSelection(); this.select(next); this.seek(next.start); this.timeline.view.follow(next.start); }
  }

  show(start, end) {
    this.setSelection();
    this.select(this.data.cuts.find((cut) => Math.abs(cut.start - start) < 1e-3 && Math.abs(cut.end - end) < 1e-3) ?? this.cut);
    if (!this.cut || this.cut.start > start || this.cut.end < end) this.setSelection(start, end);
    this.seek(start);
    this.timeline.view.follow(start);
  }

  /* ---- to Python ---- */

  trigger(payload) {
    if (this.busy) return;
    this.busy = true;
    this.desk.update();
    clearTimeout(this.patience);
    this.patience = setTimeout(() => { this.busy = false; this.desk.update(); }, 20_000); // no answer: the app may have stopped
    this.triggers.setTriggerValue("decide", { ...payload, recording_id: this.data.recording.id });
  }

  decide(action) {
    const { target } = this;
    if (!target || (action === "trim" && this.desk.buttons.trim.disabled)) return;
    if (action === "open" && !this.desk.comment.value.trim()) return this.desk.comment.focus();
    this.trigger({
      action,
      start_ms: toMs(target.start),
      end_ms: toMs(target.end),
      keep: action === "trim" ? this.trim.map(toMs) : null,
      reasons: this.desk.checked(),
      comment: this.desk.comment.value,
      go: this.desk.onward.checked && action !== "open",
    });
  }

  undo(verdict_id) { this.trigger({ action: "undo", verdict_id }); }
  undoLast() {
    const mine = this.data.history.find((row) => row.now && row.decision !== "open" && row.mine);
    if (mine) this.undo(mine.id);
  }

  /* ---- keys ---- */

  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event) || !this.root.isConnected) return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key, { media, timeline } = this, { view } = timeline;
    const inside = event.composedPath().includes(this.root), on = event.composedPath()[0];
    // outside the player, Space, Enter and arrows belong to the focused element
    if (!inside && on !== document.body && /^(Arrow|Enter| |Escape)/.test(key)) return;
    if (on.classList?.contains("handle") && /^Arrow/.test(key)) return; // the handle moves itself
    if (inside && on instanceof HTMLButtonElement && (key === " " || key === "Enter")) return;
    const edge = (index) => this.cut && this.seek(index ? Math.max(this.trim[1] - 3, this.trim[0]) : this.trim[0]);
    const does = {
      " ": () => media.toggle(), k: () => media.toggle(), j: () => this.seek(media.time - 10), l: () => this.seek(media.time + 10),
      ArrowLeft: () => this.seek(media.time - (event.shiftKey ? 0.2 : 2)), ArrowRight: () => this.seek(media.time + (event.shiftKey ? 0.2 : 2)),
      n: () => (event.shiftKey ? this.triggers.setTriggerValue("go", 1) : this.jump(1)), p: () => (event.shiftKey ? this.triggers.setTriggerValue("go", -1) : this.jump(-1)),
      "[": () => edge(0), "]": () => edge(1), ".": () => this.step(1), ",": () => this.step(-1),
      a: () => this.decide("keep"), x: () => this.decide("reject"), t: () => this.decide("trim"), s: () => this.decide("ask"),
      c: () => this.desk.comment.focus(), u: () => this.undoLast(), i: () => this.setTrim(0, media.time), o: () => this.setTrim(1, media.time),
      Escape: () => (this.help ? this.toggleHelp() : this.selection ? this.setSelection() : this.select(this.cut)),
      g: () => this.toggleLoop(), "+": () => view.zoom(0.5, media.time), "=": () => view.zoom(0.5, media.time), "-": () => view.zoom(2, media.time),
      0: () => view.show(0, view.duration), z: () => this.frameTarget(), d: () => this.toggleDetectors(), m: () => (media.element.muted = !media.element.muted), "?": () => this.toggleHelp(),
    }[key];
    if (!does || (event.repeat && !/^(Arrow|[jl+=-])/.test(key))) return;
    does();
    event.preventDefault();
    event.stopImmediatePropagation(); // some of these are Streamlit's own keys
  }
}

const apps = new WeakMap();

export default function ({ data, parentElement, setTriggerValue }) {
  let app = apps.get(parentElement);
  if (!app) {
    app = new App(parentElement, data);
    app.triggers = { setTriggerValue };
    apps.set(parentElement, app);
  } else {
    clearTimeout(app.leaving);
    app.update(data, { setTriggerValue });
  }
  return () => {
    // Streamlit may only be drawing it again: playback goes on then
    app.leaving = setTimeout(() => { app.close(); apps.delete(parentElement); }, 300);
  };
}
