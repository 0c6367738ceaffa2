/* The media element: its file, its position, and its loop. */
const POLL_MS = 500;

class Media {
  constructor(element, id, notify) {
    this.element = element;
    this.id = id;
    this.notify = notify; // receives a line of text while a copy is being made, "" once it can play
    this.loop = null; // [start, end] in seconds
    this.copy = false;
    this.wanted = 0;
    this.closed = false;
    this.eager = false; // play as soon as there is something to play
    element.preload = "auto";
    this.hush = (event) => event.detail !== this && this.pause(); // one sound at a time, whichever player it comes from
    addEventListener("lpse-plays", this.hush);
    element.addEventListener("play", () => dispatchEvent(new CustomEvent("lpse-plays", { detail: this })));
    element.addEventListener("error", () => this.failed());
    element.addEventListener("loadedmetadata", () => {
      if (Math.abs(element.currentTime - this.wanted) > 0.01) element.currentTime = this.wanted;
    });
    this.begin();
  }

  get time() { return this.element.readyState ? this.element.currentTime : this.wanted; }
  get playing() { return !this.element.paused && !this.element.ended; }

  async begin() {
    const query = this.copy ? "?copy" : "";
    while (!this.closed) {
      let state;
      try {
        const answer = await fetch(`/lpse/ready/${encodeURIComponent(this.id)}${query}`);
        if (!answer.ok) return this.notify(`This recording cannot be played: ${await answer.text()}`, true);
        state = await answer.json();
      } catch {
        return this.notify("The app does not answer. Check whether lpse review is still running.", true);
      }
      if (state.ready) break;
      this.notify(`Making a copy that your browser can play: ${Math.floor(100 * state.share)} %`);
      await new Promise((done) => setTimeout(done, POLL_MS));
    }
    if (this.closed) return;
    this.notify("");
    this.element.src = `/lpse/media/${encodeURIComponent(this.id)}${query}`;
    if (this.eager) this.play();
  }

  failed() {
    if (this.closed || !this.element.getAttribute("src")) return;
    if (this.copy) return this.notify("This browser can play neither the recording nor a copy of it.", true);
    this.copy = true;
    this.eager ||= !this.element.paused;
    this.wanted = this.time;
    this.element.removeAttribute("src");
    this.begin();
  }

  seek(time) {
    this.wanted = Math.max(time, 0);
    if (this.element.readyState) this.element.currentTime = this.wanted;
  }

  play() {
    this.eager = !this.element.getAttribute("src");
    if (!this.eager) this.element.play().catch(() => {}); // the error event handles a refusal
  }

  pause() {
    this.eager = false;
    this.element.pause();
  }

  toggle() { if (this.playing || this.eager) this.pause(); else this.play(); }

  /* Called for every drawn frame: at the end of the loop, jump to its start. */
  turn() {
    if (!this.loop || !this.playing) return;
    const [start, end] = this.loop, now = this.element.currentTime;
    if (now >= end || now < start - 0.25) this.element.currentTime = start;
  }

  close() {
    this.closed = true;
    removeEventListener("lpse-plays", this.hush);
    this.element.pause();
    this.element.removeAttribute("src");
    this.element.load();
  }
}
