// The dialog that asks for the token.

import { dialog, h } from "./dom.js";
import { reconnect } from "./feed.js";
import { model } from "./model.js";
import * as token from "./token.js";

/// What the header offers: to give a token, or to forget the one that was given.
export function signin() {
  if (!token.has()) return h("button", { key: "in", onclick: ask }, "Give the token …");
  const leave = () => {
    token.forget();
    model.mayChange = false;
    reconnect();
  };
  return h("button", { key: "out", onclick: leave }, "Forget the token");
}

export function ask() {
  const keep = (event) => {
    event.preventDefault();
    const given = event.target.querySelector("input").value.trim();
    if (given !== "") token.keep(given);
    reconnect();
  };
  dialog((close) =>
    h("form", { onsubmit: (event) => { keep(event); close(); } },
      h("h2", { id: "dialog-title" }, "The token of this proxy"),
      h("p", {}, "Whoever has it may pause, rotate and end. It is in the file of ", h("code", {}, "[admin] token_file"),
        ", or, without that key, in ", h("code", {}, "admin.token"), " beside the audit log. This tab forgets it when it is closed."),
      h("label", {}, "Token ", h("input", { type: "password", autocomplete: "off", autofocus: true, required: true })),
      h("div", { class: "acts" },
        h("button", { type: "button", onclick: close }, "Cancel"),
        h("button", { class: "main" }, "Use it"))));
}
