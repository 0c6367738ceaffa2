/* The panels around the tracks: decision, risky moments, history and metadata. */
const KEYS = [
  ["Space, K", "play or pause"], ["J, L", "10 s back, 10 s forward"], ["← →", "2 s back or forward; with Shift 0.2 s"], ["N, P", "next, previous risky moment"],
  ["[ ]", "start of the cut, 3 s before its end"], [". ,", "next, previous cut of this recording"], ["Shift+N, Shift+P", "next, previous cut for review in the corpus"],
  ["A", "keep"], ["X", "reject"], ["T", "trim to the handles"], ["S", "send to annotators"], ["C", "comment"], ["U", "undo my last decision here"],
  ["I, O", "start, end the cut at the playhead"], ["Esc", "clear the selection or the trim"], ["G", "loop the selection or the cut"],
  ["+ − 0", "zoom in, out, whole recording"], ["Z", "zoom to the selection or the cut"], ["D", "show or hide the tracks of each detector"], ["M", "mute"], ["?", "this list"],
];

class Desk {
  constructor(app) {
    this.app = app;
    this.root = element("section", "desk", undefined, { "aria-label": "Decision" });
    this.subject = element("p", "subject", undefined, { "aria-live": "polite" });
    this.why = element("p", "why");
    this.reasons = element("div", "reasons", undefined, { role: "group", "aria-label": "Reasons" });
    this.comment = element("input", "comment", undefined, { type: "text", maxlength: "2000", placeholder: "Comment (C)", "aria-label": "Comment" });
    this.comment.addEventListener("keydown", (event) => {
      event.stopPropagation();
      if (event.key === "Enter") app.decide("open");
      if (event.key === "Escape") this.comment.blur();
    });
    this.buttons = {
      keep: this.button("keep", "Keep", "A"), reject: this.button("reject", "Reject", "X"), trim: this.button("trim", "Trim", "T"),
      ask: this.button("ask", "Ask", "S", "Send to annotators (S)"), open: this.button("open", "Comment", "", "Save only the comment"),
    };
    const onward = element("label", "onward");
    this.onward = element("input", "", undefined, { type: "checkbox" });
    this.onward.checked = remembered("onward", false);
    this.onward.addEventListener("change", () => remember("onward", this.onward.checked));
    onward.append(this.onward, " Continue with the next cut for review");
    const { keep, reject, trim, ask, open } = this.buttons;
    const row = element("div", "actions");
    row.append(keep, reject, trim, ask);
    const line = element("div", "line");
    line.append(this.comment, open);
    this.notice = element("div", "notice", undefined, { role: "alert" });
    this.root.append(this.subject, this.why, row, this.reasons, line, onward, this.notice);
  }

  button(action, text, key, title = `${text} (${key})`) {
    const made = button(`act ${action}`, text, title, () => this.app.decide(action));
    if (key) made.append(element("kbd", "", key, { "aria-hidden": "true" }));
    return made;
  }

  /* After new data: the reasons, and the notice of the server. */
  renew() {
    const { data } = this.app;
    const checked = new Set(this.checked());
    this.reasons.replaceChildren(...data.reasons.map(([name, description]) => {
      const label = element("label", "reason", undefined, { title: description }), box = element("input", "", undefined, { type: "checkbox", value: name });
      box.checked = checked.has(name);
      label.append(box, name.replaceAll("_", " "));
      return label;
    }));
    this.showNotice();
    this.update();
  }

  showNotice() {
    const { notice } = this.app.data;
    this.notice.replaceChildren();
    this.notice.hidden = !notice;
    if (!notice) return;
    this.notice.className = `notice ${notice.kind}`;
    this.notice.append(element("p", "", notice.text));
    for (const line of notice.lines ?? []) this.notice.append(element("p", "row", line));
    if (notice.kind === "clash") {
      this.notice.append(
        button("small", "Save my decision", "Save my decision in place of theirs", () => this.app.trigger({ action: "insist" })),
        button("small", "Keep theirs", "Do not save my decision", () => this.app.trigger({ action: "dismiss" })),
      );
    } else if (notice.undo) {
      this.notice.append(button("small", "Undo", "Undo (U)", () => this.app.undo(notice.undo)));
    }
  }

  checked() { return [...this.reasons.querySelectorAll("input:checked")].map((box) => box.value); }

  clear() {
    this.comment.value = "";
    for (const box of this.reasons.querySelectorAll("input")) box.checked = false;
  }

  update() {
    const { app } = this, target = app.target;
    for (const made of Object.values(this.buttons)) made.disabled = !target || app.busy;
    this.root.classList.toggle("busy", app.busy);
    this.subject.replaceChildren();
    if (!target) {
      this.subject.append("Nothing is selected. Click a cut, or drag over the tracks to select a span.");
      this.why.textContent = app.data.drops.join("; ");
      this.buttons.trim.disabled = true;
      return;
    }
    const { cut, trimmed } = target, [start, end] = trimmed ? app.trim : [target.start, target.end];
    this.subject.append(element("b", "", app.selection ? "Selected span" : "Cut"), ` ${span(target.start, target.end)}, ${seconds(target.end - target.start)}`);
    if (cut) this.subject.append(element("span", `pill ${cut.decision}`, `${LETTERS[cut.decision]} ${app.data.names[cut.decision]}`), ` risk ${cut.risk.toFixed(2)}`);
    const least = app.data.limits.min_duration, short = trimmed && toMs(end) - toMs(start) < toMs(least);
    this.why.textContent = trimmed
      ? `Trimmed to ${span(start, end)}, ${seconds(end - start)}${short ? `: too short, a cut must last ${least} s` : ""}`
      : app.selection ? "Esc clears the selection." : cut?.reasons.join(", ") ?? "";
    this.why.classList.toggle("wrong", !!short);
    this.buttons.trim.disabled = app.busy || !trimmed || short;
  }
}

/* The list of risky moments. */
class Moments {
  constructor(app) {
    this.app = app;
    this.root = element("section", "moments", undefined, { "aria-label": "Risky moments" });
    this.title = element("h3");
    this.list = element("ol");
    const steps = element("div", "steps");
    steps.append(button("small", "◂ P", "Previous risky moment (P)", () => app.jump(-1)), button("small", "N ▸", "Next risky moment (N)", () => app.jump(1)));
    const head = element("header");
    head.append(this.title, steps);
    this.root.append(head, this.list);
  }

  renew() {
    const { moments, all } = this.app.risky();
    this.title.textContent = moments.length ? `${moments.length} risky moment${moments.length === 1 ? "" : "s"}` : "No risky moments";
    this.title.title = all > moments.length ? `In cuts without a verdict. ${all - moments.length} more are outside cuts, or have a verdict.` : "";
    this.list.replaceChildren(...moments.map((moment) => {
      const [label, at, , , probability] = moment, line = element("li");
      const made = button("moment", undefined, `Go to ${preciseClock(at)}`, () => this.app.go(moment));
      const swatch = element("i", "swatch");
      swatch.style.background = this.app.data.colours[label] ?? "";
      made.removeAttribute("aria-label");
      made.append(element("span", "at", preciseClock(at)), swatch, element("span", "label", label), element("span", "p", probability.toFixed(2)));
      line.append(made);
      return line;
    }));
  }

  /* Mark the moment at the playhead. */
  follow(time) {
    const { moments } = this.app.risky();
    let now = -1;
    moments.forEach(([, at, start, end], i) => { if (Math.abs(at - time) < 0.3 || (start <= time && time < end)) now = i; });
    if (now === this.now) return;
    this.now = now;
    [...this.list.children].forEach((line, i) => line.classList.toggle("now", i === now));
    const line = this.list.children[now];
    if (line) this.list.scrollTop = clamp(this.list.scrollTop, line.offsetTop + line.offsetHeight - this.list.clientHeight, line.offsetTop);
  }
}

/* Below the tracks: verdicts, metadata and provenance. */
class Papers {
  constructor(app) {
    this.app = app;
    this.root = element("div", "papers");
  }

  renew() {
    const { data } = this.app;
    const decided = element("section", "history", undefined, { "aria-label": "Verdicts" });
    decided.append(element("h3", "", "Verdicts"));
    if (!data.history.length) decided.append(element("p", "soft", "No verdicts yet. The decisions over these cuts are those of the detectors."));
    const list = element("ul");
    for (const row of data.history) list.append(this.line(row));
    decided.append(list);
    const groups = data.facts.map(({ title, rows }) => {
      const group = element("section", "facts", undefined, { "aria-label": title }), names = element("dl");
      for (const [name, value] of rows) names.append(element("dt", "", name), element("dd", "", value));
      group.append(element("h3", "", title), names);
      return group;
    });
    this.root.replaceChildren(decided, ...groups);
  }

  line(row) {
    const line = element("li", row.now ? "" : "gone"), words = { ...this.app.data.names, open: row.comment ? "commented on" : "withdrew the verdict on" };
    const cut = row.excised.map(([start, end, label]) => `${label} ${span(start, end)}`);
    line.append(element("b", "", row.who), ` ${cut.length && row.excised.every(([, , label]) => label === "trimmed") ? "trimmed" : words[row.decision]} `);
    line.append(button("link", span(row.start, row.end), "Show this span", () => this.app.show(row.start, row.end)));
    const more = [row.reasons.join(", "), cut.length ? `cut away: ${cut.join("; ")}` : ""].filter(Boolean).join(" · ");
    if (more) line.append(element("div", "soft", more));
    if (row.comment) line.append(element("div", "said", row.comment));
    line.append(element("div", "soft", `${row.when} UTC · ${row.how}${row.now ? "" : " · superseded"}`));
    if (row.now) line.append(button("small undo", "Undo", "Undo with a new row", () => this.app.undo(row.id)));
    return line;
  }
}

function keyHelp(close) {
  const made = element("div", "help", undefined, { role: "dialog", "aria-label": "Keys" }), list = element("dl");
  for (const [keys, text] of KEYS) list.append(element("dt", "", keys), element("dd", "", text));
  made.append(element("h3", "", "Keys"), list, element("p", "soft", "Ctrl + wheel zooms. Shift + wheel scrolls sideways. A double click zooms to a cut."), button("small", "Close", "Close", close));
  return made;
}
