/* Audio of two systems for one video, switched at the same instant; the names show after the rating. */
const SIDES = ["a", "b"];
const WORST_TO_BEST = { semantic_relevance: ["does not fit", "fits exactly"], quality: ["bad", "excellent"] };
const JUMP = 5, BEFORE_JOIN = 2; // seconds
const shown = new WeakMap();

export default function ({ data, parentElement, setTriggerValue }) {
  const known = shown.get(parentElement);
  clearTimeout(known?.leaving);
  let trial = known;
  if (known && known.data.trial !== data.trial) {
    known.close();
    trial = undefined;
  }
  if (!trial) shown.set(parentElement, (trial = new Trial(parentElement, data)));
  trial.send = (value) => setTriggerValue("rated", value);
  trial.show(data);
  return () => { trial.leaving = setTimeout(() => { trial.close(); shown.delete(parentElement); }, 300); };
}

class Trial {
  constructor(parent, data) {
    this.data = data;
    this.side = 0;
    this.root = element("div", "compare");
    this.sounds = SIDES.map(() => element("audio"));
    const stage = element("div", "stage"), screen = element("div", "screen"), cards = element("div", "cards");
    this.status = element("p", "said", "", { role: "status" });
    screen.append(this.status);
    if (data.video) {
      this.video = element("video", "", undefined, { playsinline: "" });
      this.video.muted = true;
      this.media = new Media(this.video, data.recording_id, (text) => { this.status.textContent = text; });
      this.media.wanted = data.start;
      screen.prepend(this.video);
    }
    this.cards = SIDES.map((side, number) => this.card(side, number));
    cards.append(...this.cards.map((card) => card.root));
    stage.append(screen, cards);
    this.root.append(stage, this.line(), this.foot(), ...this.sounds);
    parent.append(this.root);
    this.onKey = (event) => this.key(event);
    addEventListener("keydown", this.onKey, true);
    this.load();
    this.turn();
  }

  /* Both are loaded whole, so that switching has no gap. */
  async load() {
    try {
      await Promise.all(this.sounds.map(async (sound, number) => {
        const answer = await fetch(`/lpse/trial/${this.data.trial}/${SIDES[number]}`);
        if (!answer.ok) throw new Error(await answer.text());
        sound.src = URL.createObjectURL(await answer.blob());
      }));
    } catch (error) {
      this.status.textContent = `The audio cannot be played: ${error.message}`;
    }
  }

  card(side, number) {
    const root = element("section", `card ${side}`, undefined, { "aria-label": `Sound ${side.toUpperCase()}` });
    const listen = button("listen", "", `Play ${side.toUpperCase()}`, () => this.choose(number, true));
    listen.dataset.side = side.toUpperCase();
    const system = element("span", "system", "");
    listen.append(system);
    const field = element("fieldset"), question = element("legend", "", this.data.question_text);
    field.append(question);
    const scores = [1, 2, 3, 4, 5].map((score) => {
      const label = element("label", "score");
      const input = element("input", "", undefined, { type: "radio", name: `score-${side}-${this.data.trial}`, value: score });
      input.addEventListener("change", () => this.rated());
      label.append(input, element("span", "", String(score)));
      field.append(label);
      return input;
    });
    const ends = element("div", "ends");
    ends.append(...WORST_TO_BEST[this.data.question].map((text) => element("span", "", text)));
    const better = element("label", "better"), best = element("input", "", undefined, { type: "checkbox" });
    best.addEventListener("change", () => {
      if (best.checked) this.cards[1 - number].best.checked = false;
    });
    better.append(best, element("span", "", "Preferred"));
    root.append(listen, field, ends, better);
    return { root, listen, system, scores, best };
  }

  line() {
    const line = element("div", "line"), track = element("div", "track");
    this.play = button("play", "", "Play", () => this.toggle());
    this.range = element("input", "", undefined, { type: "range", min: 0, max: this.data.seconds, step: "0.01", "aria-label": "Time" });
    this.range.value = 0;
    this.range.addEventListener("input", () => this.seek(+this.range.value));
    this.marks = element("div", "marks");
    this.face = element("span", "clock", "");
    track.append(this.range, this.marks);
    line.append(this.play, track, this.face);
    return line;
  }

  foot() {
    const foot = element("div", "foot");
    this.comment = element("input", "comment", undefined, { type: "text", maxlength: "500", placeholder: "Comment (optional)", "aria-label": "Comment" });
    this.done = button("send", "Save rating", "Save the rating (Enter)", () => this.keep());
    const keys = element("p", "soft");
    for (const [name, does] of [["Space", "play"], ["A", "play A"], ["B", "play B"], ["1–5", "score"], ["←→", "5 s"], ["Enter", "save"]]) keys.append(element("kbd", "", name), ` ${does}  `);
    foot.append(this.comment, this.done, keys);
    return foot;
  }

  get sound() { return this.sounds[this.side]; }
  get playing() { return !this.sound.paused && !this.sound.ended; }
  get ready() { return this.sounds.every((sound) => sound.readyState > 0); }

  choose(number, play = false) {
    const now = this.sound.currentTime, went = this.playing || play;
    this.sounds[1 - number].pause();
    this.side = number;
    if (Math.abs(this.sound.currentTime - now) > 0.02) this.sound.currentTime = now;
    if (went) this.start();
  }

  start() {
    if (this.sound.ended || this.sound.currentTime >= this.data.seconds - 0.05) this.seek(0);
    this.sound.play().catch(() => {});
  }

  toggle() { if (this.playing) this.sound.pause(); else this.start(); }

  seek(time) {
    for (const sound of this.sounds) if (sound.readyState) sound.currentTime = clamp(time, 0, this.data.seconds);
    this.media?.seek(this.data.start + time);
  }

  turn() {
    const time = this.sound.currentTime;
    this.range.value = time;
    this.range.setAttribute("aria-valuetext", preciseClock(time));
    this.face.textContent = `${preciseClock(time)} / ${preciseClock(this.data.seconds)}`;
    this.play.classList.toggle("on", this.playing);
    this.play.setAttribute("aria-label", this.playing ? "Pause" : "Play");
    this.play.disabled = !this.ready;
    this.root.dataset.theme = isDark(this.root) ? "dark" : "light";
    this.cards.forEach((card, number) => {
      card.root.classList.toggle("on", number === this.side);
      card.listen.setAttribute("aria-pressed", String(number === this.side));
    });
    if (this.video?.readyState) this.follow(this.data.start + time);
    this.frame = requestAnimationFrame(() => this.turn());
  }

  /* The video follows the audio; small differences are ignored, because a jump is visible. */
  follow(time) {
    const apart = Math.abs(this.video.currentTime - time);
    if (apart > (this.playing ? 0.15 : 0.02) && !this.video.seeking) this.media.seek(time);
    if (this.playing && this.video.paused) this.media.play();
    if (!this.playing && !this.video.paused) this.media.pause();
  }

  rated() { this.done.disabled = this.data.revealed || !this.cards.every((card) => card.scores.some((score) => score.checked)); }

  keep() {
    if (this.done.disabled) return;
    const scores = this.cards.map((card) => +card.scores.find((score) => score.checked).value);
    const preferred = this.cards.findIndex((card) => card.best.checked);
    this.done.disabled = true;
    this.send({ trial: this.data.trial, scores, preferred: preferred < 0 ? null : preferred, comment: this.comment.value.trim() });
  }

  show(data) {
    this.data = data;
    const { revealed } = data;
    this.cards.forEach((card, number) => {
      card.system.textContent = revealed ? revealed[number].system : `Sound ${SIDES[number].toUpperCase()}`;
      for (const score of card.scores) {
        score.disabled = Boolean(revealed);
        if (revealed) score.checked = +score.value === revealed[number].score;
      }
      card.best.disabled = Boolean(revealed);
      if (revealed) card.best.checked = revealed[number].preferred;
    });
    this.comment.hidden = this.done.hidden = Boolean(revealed);
    this.marks.replaceChildren();
    const times = new Map();
    for (const [number, one] of (revealed ?? []).entries()) for (const time of one.joins ?? []) times.set(time, [...(times.get(time) ?? []), SIDES[number].toUpperCase()]);
    for (const [time, sides] of times) {
      if (time >= data.seconds) continue;
      const mark = button("mark", sides.join(""), `Join of ${sides.join(" and ")} at ${preciseClock(time)}: play it`, () => { this.seek(Math.max(time - BEFORE_JOIN, 0)); this.start(); });
      mark.style.left = `${(100 * time) / data.seconds}%`;
      this.marks.append(mark);
    }
    this.rated();
  }

  key(event) {
    if (event.composedPath()[0] === this.comment) { if (event.key === "Enter") this.keep(); return; }
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const target = event.composedPath()[0], ours = event.composedPath().includes(this.root) || target === document.body;
    if (!ours) return;
    const key = event.key.toLowerCase();
    if (key === " " && target.tagName !== "BUTTON") this.toggle();
    else if (key === "a" || key === "b") this.choose(SIDES.indexOf(key), true);
    else if (/^[1-5]$/.test(key) && !this.data.revealed) { this.cards[this.side].scores[+key - 1].checked = true; this.rated(); }
    else if (key === "arrowleft" || key === "arrowright") this.seek(this.sound.currentTime + (key === "arrowleft" ? -JUMP : JUMP));
    else if (key === "enter" && target.tagName !== "BUTTON") this.keep();
    else return;
    event.preventDefault();
  }

  close() {
    cancelAnimationFrame(this.frame);
    removeEventListener("keydown", this.onKey, true);
    for (const sound of this.sounds) {
      sound.pause();
      if (sound.src) URL.revokeObjectURL(sound.src);
    }
    this.media?.close();
    this.root.remove();
  }
}
