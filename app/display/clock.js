/* Times as text, as app/display/text.py writes them. 75.26 s is 1:15, or 1:15.3 with one digit. */
function preciseClock(seconds, digits = 1) {
  const scale = 10 ** digits, whole = Math.round(Math.max(seconds, 0) * scale);
  const hours = Math.floor(whole / scale / 3600), minutes = Math.floor(whole / scale / 60) % 60;
  const rest = ((whole / scale) % 60).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

const clock = (seconds) => preciseClock(seconds, 0);

/* h:mm:ss always, for totals. */
function longClock(seconds) {
  const whole = Math.round(seconds), two = (number) => String(number).padStart(2, "0");
  return `${Math.floor(whole / 3600).toLocaleString("en")}:${two(Math.floor(whole / 60) % 60)}:${two(whole % 60)}`;
}
