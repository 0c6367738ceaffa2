/* Plays the previews of one recording: the clip under the playhead, only one recording at a time. */

const players = [];

class Player {
  constructor(article, timeline) {
    this.timeline = timeline;
    this.duration = timeline.data.duration;
    this.button = article.querySelector(".play");
    this.head = article.querySelector(".head");
    this.scrub = article.querySelector(".scrub");
    this.clips = [...article.querySelectorAll("audio")].map((audio) => ({ audio, start: +audio.dataset.start, end: +audio.dataset.end }));
    this.clip = null;
    this.button.hidden = false;
    if (!this.clips.length) return;
    article.querySelector(".clips").hidden = true; // the timeline and the button take over
    for (const clip of this.clips) {
      for (const event of ["play", "pause", "ended", "seeked"]) clip.audio.addEventListener(event, () => this.follow());
      clip.audio.addEventListener("error", () => this.failed(clip.audio.error));
    }
    this.button.addEventListener("click", () => this.toggle());
    this.scrub.addEventListener("click", (event) => this.playFrom(timeline.at(event.clientX)));
    this.scrub.addEventListener("keydown", (event) => this.key(event));
  }

  get playing() { return this.clip !== null && !this.clip.audio.paused; }
  get time() { return this.clip ? clamp(this.clip.start + this.clip.audio.currentTime, 0, this.duration) : 0; }

  /* The clip that contains `t`, else the next one, else the last. */
  choose(t) {
    return this.clips.find((clip) => t < clip.end - 0.05) || this.clips[this.clips.length - 1];
  }

  playFrom(t) {
    for (const other of players) if (other !== this) other.pause();
    const clip = this.choose(t);
    if (this.clip && this.clip !== clip) this.clip.audio.pause();
    this.clip = clip;
    const offset = clamp(t - clip.start, 0, Math.max(clip.end - clip.start - 0.05, 0));
    const begin = () => {
      clip.audio.currentTime = offset;
      clip.audio.play().catch(() => {}); // the error event handles a refusal
    };
    if (clip.audio.readyState) begin();
    else {
      clip.audio.addEventListener("loadedmetadata", begin, { once: true });
      clip.audio.preload = "auto";
      clip.audio.load();
    }
  }

  pause() { if (this.playing) this.clip.audio.pause(); }

  toggle() {
    if (this.playing) this.pause();
    else this.playFrom(this.clip && !this.clip.audio.ended ? this.time : this.clips[0].start);
  }

  key(event) {
    const steps = { ArrowLeft: -5, ArrowRight: 5, PageDown: -30, PageUp: 30 };
    if (event.key in steps) this.playFrom(clamp(this.time + steps[event.key], 0, this.duration));
    else if (event.key === "Home") this.playFrom(0);
    else if (event.key === " " || event.key === "Enter") this.toggle();
    else return;
    event.preventDefault();
  }

  follow() {
    this.button.classList.toggle("on", this.playing);
    this.button.setAttribute("aria-label", this.playing ? "Pause" : "Play");
    const t = this.time;
    this.head.hidden = this.clip === null;
    this.head.style.left = (100 * t) / this.duration + "%";
    this.scrub.setAttribute("aria-valuenow", Math.round(t));
    this.scrub.setAttribute("aria-valuetext", clock(t));
    cancelAnimationFrame(this.frame);
    if (this.playing) this.frame = requestAnimationFrame(() => this.follow());
  }

  failed(error) {
    if (!error || error.code !== MediaError.MEDIA_ERR_SRC_NOT_SUPPORTED) return;
    this.button.disabled = true;
    this.button.title = "This browser cannot play the preview";
  }
}

