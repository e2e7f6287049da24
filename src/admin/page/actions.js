// What a person may have the proxy do. Nothing is offered to those who may not do it.

import { h, render } from "./dom.js";
import { model } from "./model.js";
import { authorization } from "./token.js";

/// For each action: its button, what is said when it is done, and which parameters it sends.
const ACTIONS = {
  refresh: {
    label: "Look for a new version",
    done: ({ secret }, answer) => looked(secret, answer),
    sends: ["secret"],
  },
};

function looked(secret, answer) {
  const found = answer?.[0];
  if (found?.error) return `${secret} could not be read: ${found.error}`;
  return found?.changed ? `${secret} has a new version.` : `${secret} has no new version.`;
}

/// A button for an action, or nothing for those who may not do it.
export function button(name, about) {
  if (!model.mayChange) return null;
  const action = ACTIONS[name];
  return h("button", { key: name, onclick: () => perform(name, action, about) },
    action.label, h("span", { class: "unseen" }, ` ${about.secret}`));
}

async function perform(name, action, about) {
  const sent = action.sends.map((field) => [field, about[field]]);
  const path = `${name}?${new URLSearchParams(sent)}`;
  say("…");
  try {
    const answer = await fetch(path, { method: "POST", headers: authorization() });
    const text = await answer.text();
    if (!answer.ok) throw new Error(text.trim() || `status ${answer.status}`);
    say(action.done(about, json(text)));
  } catch (error) {
    say(`That did not work: ${error.message}`);
  }
}

function json(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

let silence;

/// Says something at the lower edge, and to screen readers, for a while.
export function say(words) {
  clearTimeout(silence);
  const place = document.getElementById("said");
  render(place, words);
  silence = setTimeout(() => render(place), 12_000);
}
