// The panel of filters: every change goes to the server, which answers with the number of cuts of each choice.
const SHOWN = 7, LOST_MS = 4000;

export default function ({ data, parentElement, setTriggerValue }) {
  const root = rootOf(parentElement, "panel");
  // in the window, not in this element: a change on its way outlives the element and the page
  const state = (window.lpsePanel ??= { asked: {}, typed: {}, more: new Set(), folded: new Set(data.folded), timer: 0, sent: null, unsent: {} });
  Object.assign(state, { data, setTriggerValue });
  // an answer to an earlier change must not undo a later one that is on its way
  if (state.sent === null || state.sent === data.answered) {
    state.asked = data.asked;
    state.sent = null;
  }
  const focus = document.activeElement && root.contains(document.activeElement) ? document.activeElement.dataset.key : null;

  const change = (name, values) => {
    delete state.unsent[name];
    const asked = { ...state.asked };
    if (values.length) asked[name] = values;
    else delete asked[name];
    send(asked);
  };

  const send = (asked) => {
    state.asked = asked;
    state.sent = Math.random().toString(36).slice(2);
    transmit();
  };

  // of two changes at once, the later may be lost: a change without an answer is sent again after a while
  const transmit = () => {
    state.setTriggerValue("asked", { name: state.sent, values: state.asked });
    clearTimeout(state.again);
    state.again = setTimeout(() => {
      if (state.sent !== null) transmit();
    }, LOST_MS);
  };

  const search = () => {
    const kept = root.querySelector("[data-key=text]");
    const field = kept ?? make("input", {
      type: "search", "data-key": "text", "aria-label": "Search", placeholder: "Search title, file, id, comment",
      maxlength: 300, autocomplete: "off", spellcheck: "false",
    });
    field.oninput = () => {
      clearTimeout(state.timer);
      state.unsent.text = field.value;
      state.timer = setTimeout(() => change("text", state.unsent.text?.trim() ? [state.unsent.text.trim()] : []), 150);
    };
    // an answer may come before the typed words are sent, and after the field has lost the focus
    if (field !== document.activeElement) field.value = state.unsent.text ?? (state.asked.text ?? [""])[0];
    return field;
  };

  const section = (name, title, body, note) => {
    const open = !state.folded.has(name);
    const heading = make("button", {
      type: "button", class: "lpse-fold", "data-key": `fold ${name}`, "aria-expanded": String(open),
      onclick: () => {
        if (open) state.folded.add(name);
        else state.folded.delete(name);
        draw(`fold ${name}`);
      },
    }, make("span", {}, title), note ? make("span", { class: "lpse-note" }, note) : null);
    const parts = [make("h3", {}, heading)];
    if (open) parts.push(...body());
    return make("section", { "aria-label": title }, ...parts);
  };

  const choices = (facet) => () => {
    const chosen = state.asked[facet.name] ?? [];
    const typed = (state.typed[facet.name] ?? "").toLowerCase();
    // a chosen value is listed even if it selects no cut now
    const values = [...facet.values, ...chosen.filter((v) => !facet.values.some((o) => o.value === v)).map((value) => ({ value, label: value, count: 0 }))];
    const fitting = values.filter((one) => one.label.toLowerCase().includes(typed));
    const all = state.more.has(facet.name) || typed;
    const listed = all ? fitting.slice(0, 60) : fitting.filter((one, place) => place < SHOWN || chosen.includes(one.value));
    const parts = [];
    if (values.length > 12) {
      parts.push(make("input", {
        type: "search", class: "lpse-narrow", "data-key": `narrow ${facet.name}`, value: state.typed[facet.name] ?? "",
        placeholder: `Find among ${whole.format(values.length)}`, "aria-label": `Find in ${facet.title}`,
        oninput: (event) => { state.typed[facet.name] = event.target.value; draw(`narrow ${facet.name}`); },
      }));
    }
    parts.push(make("ul", {}, ...listed.map((one) => {
      const box = make("input", {
        type: "checkbox", "data-key": `${facet.name} ${one.value}`, "data-facet": facet.name, "data-value": one.value,
        onchange: () => change(facet.name, chosen.includes(one.value) ? chosen.filter((v) => v !== one.value) : [...chosen, one.value]),
      });
      box.checked = chosen.includes(one.value);
      return make("li", {}, make("label", { class: one.count || box.checked ? null : "lpse-none" }, box,
        one.mark ? make("span", { class: `lpse-mark ${one.mark}`, "aria-hidden": "true" }) : null,
        make("span", { class: "lpse-name", title: one.label }, one.label),
        make("span", { class: "lpse-count" }, whole.format(one.count))));
    })));
    if (!typed && (listed.length < fitting.length || (all && fitting.length > SHOWN))) {
      parts.push(make("button", {
        type: "button", class: "lpse-link", "data-key": `more ${facet.name}`,
        onclick: () => {
          if (state.more.has(facet.name)) state.more.delete(facet.name);
          else state.more.add(facet.name);
          draw(`more ${facet.name}`);
        },
      }, all ? "Show fewer" : `Show ${whole.format(fitting.length - listed.length)} more`));
    }
    return parts;
  };

  const range = (field) => {
    const [low, high] = (state.asked[field.name]?.[0] ?? "..").split("..");
    const known = [low, high].map((value) => (Number.isFinite(parseFloat(value)) ? value : ""));
    const ends = known.map((value, end) => {
      // an answer to another change must not take away a number that is being typed, and not sent yet
      const kept = root.querySelector(`[data-key="${field.name} ${end}"]`);
      if (kept && kept === document.activeElement) return kept;
      return make("input", {
        type: "number", step: "any", "data-key": `${field.name} ${end}`, value: state.unsent[field.name]?.[end] ?? value,
        placeholder: end ? field.most ?? "any" : field.least ?? "any",
        "aria-label": `${field.title}, ${end ? "at most" : "at least"}`,
      });
    });
    for (const input of ends) {
      input.oninput = () => (state.unsent[field.name] = ends.map((one) => one.value));
      input.onchange = () => {
        const [from, to] = ends.map((one) => one.value.trim());
        const values = [from === "" ? "-inf" : from, to === "" ? "inf" : to];
        change(field.name, from === "" && to === "" ? [] : [values.join("..")]);
      };
    }
    return make("div", { class: "lpse-range" }, make("span", { class: "lpse-name", title: field.title }, field.title),
      ends[0], make("span", { "aria-hidden": "true" }, "–"), ends[1]);
  };

  function draw(focused) {
    const facets = state.data.facets.filter((facet) => facet.values.length || state.asked[facet.name])
      .map((facet) => section(facet.name, facet.title, choices(facet), (state.asked[facet.name] ?? []).length || null));
    const asked = Object.keys(state.asked).length;
    const chosen = (fields) => fields.filter((field) => state.asked[field.name]).length || null;
    root.replaceChildren(
      make("div", { class: "lpse-head" }, make("h2", {}, "Filters"), make("button", {
        type: "button", class: "lpse-link", "data-key": "clear", disabled: !asked,
        onclick: () => {
          root.querySelector("[data-key=text]").value = "";
          clearTimeout(state.timer);
          state.unsent = {};
          send({});
        },
      }, "Clear all")),
      search(), ...facets,
      section("risk", "Risk and length", () => state.data.ranges.map(range), chosen(state.data.ranges)),
      section("quality", "Signal quality", () => state.data.measures.map(range), chosen(state.data.measures)),
    );
    if (state.data.complaint) root.append(make("p", { class: "lpse-complaint", role: "alert" }, state.data.complaint));
    if (focused) root.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
  }
  const typing = focus && root.querySelector(`[data-key="${CSS.escape(focus)}"]`);
  const caret = typing && typing.type === "search" ? [typing.selectionStart, typing.selectionEnd] : null;
  draw(focus);
  if (caret) document.activeElement.setSelectionRange?.(...caret);
}
