// What the proxy sends: /events, read with fetch because EventSource cannot send a token.

import { authorization } from "./token.js";

/// Without a word for so long, the proxy counts as gone. It sends something every five seconds.
const SILENCE = 15_000;
const LONGEST_PAUSE = 10_000;

let current = null;
let wake = null;
let again = false;

/// Calls `take(event, data)` with each event, and `link(state, why)` when the connection comes
/// and goes: "live", "lost", "locked" (a token is needed). Never ends.
export async function watch(take, link) {
  let pause = 1000;
  for (;;) {
    try {
      await listen((event, data) => {
        pause = 1000;
        if (event === "bye") throw new Error(data.why);
        take(event, data);
      }, link);
    } catch (error) {
      if (!again) link(error instanceof Locked ? "locked" : "lost", error.message);
    }
    if (!again) {
      await new Promise((resolve) => {
        wake = resolve;
        setTimeout(resolve, pause);
      });
      pause = Math.min(pause * 2, LONGEST_PAUSE);
    }
    again = false;
  }
}

/// Connects anew at once: there is another token, or the network is back.
export function reconnect() {
  again = true;
  current?.abort();
  wake?.();
}

class Locked extends Error {}

async function listen(take, link) {
  const abort = new AbortController();
  current = abort;
  let silence;
  const heard = () => {
    clearTimeout(silence);
    silence = setTimeout(() => abort.abort(), SILENCE);
  };
  heard();
  try {
    const answer = await fetch("events", {
      headers: authorization(),
      cache: "no-store",
      signal: abort.signal,
    });
    // 403: under this name, the proxy answers only those who have the token.
    if ([401, 403].includes(answer.status)) throw new Locked((await answer.text()).trim());
    if (!answer.ok) throw new Error((await answer.text()).trim() || `status ${answer.status}`);
    link("live");
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) throw new Error("the connection has ended");
      heard();
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      events.forEach((text) => deliver(text, take));
    }
  } catch (error) {
    if (error.name === "AbortError") throw new Error("no answer");
    if (error instanceof TypeError) throw new Error("it cannot be reached");
    throw error;
  } finally {
    clearTimeout(silence);
    abort.abort();
  }
}

function deliver(text, take) {
  const [event, data] = ["event: ", "data: "].map((field) => {
    const line = text.split("\n").find((l) => l.startsWith(field));
    return line?.slice(field.length);
  });
  if (event && data) take(event, JSON.parse(data));
}
