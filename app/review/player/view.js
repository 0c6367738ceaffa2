/* The visible span of time in seconds, and its conversion to pixels and back. */
const CLOSEST = 0.5; // seconds, at most magnified

class View {
  constructor(duration, onChange) {
    this.duration = Math.max(duration, 0.001);
    this.onChange = onChange;
    this.from = 0;
    this.to = this.duration;
    this.width = 1;
  }

  get length() { return this.to - this.from; }
  get whole() { return this.length > this.duration - 1e-6; }
  x(time) { return ((time - this.from) / this.length) * this.width; }
  time(x) { return clamp(this.from + (x / this.width) * this.length, 0, this.duration); }

  show(from, length) {
    const wanted = clamp(length, Math.min(CLOSEST, this.duration), this.duration);
    this.from = clamp(from, 0, this.duration - wanted);
    this.to = this.from + wanted;
    this.onChange();
  }

  zoom(factor, around) {
    const length = clamp(this.length * factor, Math.min(CLOSEST, this.duration), this.duration);
    this.show(around - ((around - this.from) / this.length) * length, length);
  }

  /* Move the visible span when the playhead leaves it. */
  follow(time) {
    if (time < this.from || time > this.to) this.show(time - this.length * 0.1, this.length);
  }

  /* Show a span with a margin. */
  frame(start, end) {
    const margin = Math.max((end - start) * 0.15, 0.5);
    this.show(start - margin, end - start + 2 * margin);
  }
}
