// What a person may have the proxy do. Nothing is done without being confirmed, and nothing is
// offered to those who may not do it.

import { dialog, h, render } from "./dom.js";
import { model } from "./model.js";
import { authorization } from "./token.js";
import { count } from "./words.js";

/// For each action: its button, the question, what the button of the dialog says, and what is
/// said when it is done. `path` is asked with the parameters named in `sends`.
const ACTIONS = {
  refresh: {
    label: "Look for a new version",
    question: ({ secret }) => `The store is asked for ${secret} now.`,
    done: ({ secret }, answer) => looked(secret, answer),
    sends: ["secret"],
    harmless: true,
  },
  rotate: {
    label: "Rotate …",
    title: ({ secret }) => `Rotate ${secret}?`,
    question: () => "It gets a new password, in the store and in Postgres. Clients do not notice.",
    verb: "Rotate",
    done: ({ secret }) => `${secret} rotates.`,
    sends: ["secret"],
  },
  pause: {
    label: "Pause …",
    title: ({ database }) => `Pause ${database}?`,
    question: () => "Transactions that run are finished, then its server connections are closed. Clients stay connected and wait until you resume it.",
    verb: "Pause",
    done: ({ database }) => `${database} is paused.`,
    sends: ["database"],
  },
  resume: {
    label: "Resume",
    done: ({ database }) => `${database} is resumed.`,
    sends: ["database"],
    harmless: true,
  },
  reconnect: {
    label: "Reconnect …",
    title: ({ database }) => `Reconnect ${database}?`,
    question: () => "Each of its server connections is replaced by a new one, as soon as nobody is using it. Clients do not notice.",
    verb: "Reconnect",
    done: ({ database }) => `The server connections of ${database} are being replaced.`,
    sends: ["database"],
  },
  kill: {
    label: "End its clients …",
    title: ({ database }) => `End the clients of ${database}?`,
    question: ({ clients }) => `${count(clients, "client")} of it will be disconnected, whatever they are doing (57P01), and it is paused until you resume it.`,
    verb: "End them",
    done: ({ database }) => `The clients of ${database} were ended, and it is paused.`,
    sends: ["database"],
    harsh: true,
  },
  "kill-client": {
    label: "End …",
    path: "kill",
    title: ({ client }) => `End this session of ${client}?`,
    question: ({ id }) => `Session ${id} will be disconnected, whatever it is doing (57P01).`,
    verb: "End it",
    done: ({ id }) => `Session ${id} was ended.`,
    sends: ["id"],
    harsh: true,
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
  const start = () => (action.harmless ? perform(name, action, about) : confirm(name, action, about));
  const what = about.id ?? about.database ?? about.secret;
  return h("button", { key: name, class: action.harsh ? "harsh" : "", onclick: start },
    action.label, h("span", { class: "unseen" }, ` ${what}`));
}

function confirm(name, action, about) {
  dialog((close) => [
    h("h2", { id: "dialog-title" }, action.title(about)),
    h("p", {}, action.question(about)),
    h("div", { class: "acts" },
      h("button", { autofocus: true, onclick: close }, "Cancel"),
      h("button", {
        class: action.harsh ? "harsh" : "main",
        onclick: () => { close(); perform(name, action, about); },
      }, action.verb)),
  ]);
}

async function perform(name, action, about) {
  const sent = action.sends.map((field) => [field, about[field]]);
  const path = `${action.path ?? name}?${new URLSearchParams(sent)}`;
  say("One moment …");
  try {
    const answer = await fetch(path, { method: "POST", headers: authorization() });
    const text = await answer.text();
    if (!answer.ok) throw new Error(refusal(text) || `status ${answer.status}`);
    const said = json(text);
    say([action.done(about, said), ...(said?.notices ?? [])].join(" "));
  } catch (error) {
    say(`That did not work: ${error.message}`);
  }
}

/// What the proxy says of why not, and what else one could try.
function refusal(text) {
  const { error, hint } = json(text) ?? { error: text.trim() };
  return [error, hint].filter(Boolean).join(". ");
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
