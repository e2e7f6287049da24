// Times and numbers in words, the same as pgvalet's on the command line.

/// A space at which no line ends: a time is not torn apart.
const TIED = "\u00a0";
const UNITS = [["d", 86400], ["h", 3600], ["m", 60], ["s", 1]];

/// "1 server", "2 servers".
export const count = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;

export const number = (n) => n.toLocaleString("en");

/// "450 ms", "8 s", "1 m 22 s", "3 d 4 h": two units at most.
export function span(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 1) return `${Math.max(0, Math.round(seconds * 1000))}${TIED}ms`;
  let rest = Math.floor(seconds);
  const first = UNITS.findIndex(([, size]) => rest >= size);
  const parts = [];
  for (const [unit, size] of UNITS.slice(first, first + 2)) {
    if (rest >= size) parts.push(`${Math.floor(rest / size)}${TIED}${unit}`);
    rest %= size;
  }
  return parts.join(TIED);
}

/// A short time, as precise as it is short.
export function brief(seconds) {
  const ms = seconds * 1000;
  if (ms < 10) return `${ms.toFixed(1)}${TIED}ms`;
  if (ms < 1000) return `${Math.round(ms)}${TIED}ms`;
  return seconds < 10 ? `${seconds.toFixed(1)}${TIED}s` : span(seconds);
}

/// How long ago a moment (RFC 3339) was. Clocks of two machines may differ a little.
export const age = (moment) => span(Math.max(1, (Date.now() - Date.parse(moment)) / 1000));

/// "in 3 d 4 h", or that it is late.
export function until(moment) {
  const seconds = (Date.parse(moment) - Date.now()) / 1000;
  return seconds >= 1 ? `in ${span(seconds)}` : `due ${span(Math.max(1, -seconds))} ago`;
}

/// The time of day, with the date if it is not today's.
export function clock(moment) {
  const at = new Date(moment);
  const pad = (n) => String(n).padStart(2, "0");
  const time = `${pad(at.getHours())}:${pad(at.getMinutes())}:${pad(at.getSeconds())}`;
  if (at.toDateString() === new Date().toDateString()) return time;
  return `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} ${time}`;
}

/// The beginning of a version's id, which tells it apart from the others.
export const short = (version) => version.slice(0, 8);

/// "a", "a and b", "a, b and c".
export function list(words) {
  if (words.length < 2) return words.join("");
  return `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

/// Whether any of the texts contains what somebody looks for.
export function finds(wanted, texts) {
  const word = wanted.trim().toLowerCase();
  return word === "" || texts.some((text) => text && String(text).toLowerCase().includes(word));
}
