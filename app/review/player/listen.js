/* A small player of one span of a recording. */
const listeners = new WeakMap();

export default function ({ data, parentElement }) {
  const known = listeners.get(parentElement);
  clearTimeout(known?.leaving);
  if (known && JSON.stringify(known.data) !== JSON.stringify(data)) known.close();
  let small = listeners.get(parentElement);
  if (!small) listeners.set(parentElement, (small = begin(parentElement, data, () => listeners.delete(parentElement))));
  return () => { small.leaving = setTimeout(small.close, 300); };
}

function begin(parent, data, forget) {
  const root = element("div", "listen"), audio = element("audio"), status = element("span", "status", "", { role: "status" });
  const play = button("play", "", "Play", () => {
    if (media.time >= data.end - 0.02 || media.time < data.start) media.seek(data.start);
    media.toggle();
  });
  const line = element("input", "", undefined, { type: "range", min: data.start, max: data.end, step: "0.01", "aria-label": "Time" });
  const face = element("span", "clock", "");
  root.append(play, line, face, status, audio);
  parent.append(root);
  const media = new Media(audio, data.id, (text) => { status.textContent = text; });
  media.wanted = data.start;
  line.value = data.start;
  line.addEventListener("input", () => media.seek(+line.value));
  for (const name of ["play", "pause"]) audio.addEventListener(name, () => {
    play.classList.toggle("on", media.playing);
    play.setAttribute("aria-label", media.playing ? "Pause" : "Play");
  });
  let frame = 0;
  const turn = () => {
    if (media.playing && media.time >= data.end) { media.pause(); media.seek(data.start); }
    line.value = media.time;
    line.setAttribute("aria-valuetext", preciseClock(media.time));
    face.textContent = `${preciseClock(media.time)} in ${span(data.start, data.end)}`;
    frame = requestAnimationFrame(turn);
  };
  turn();
  const close = () => { cancelAnimationFrame(frame); media.close(); root.remove(); forget(); };
  return { data, close };
}
