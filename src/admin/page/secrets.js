// The view of the secrets: the version in force, how old it is, when it rotates next.

import { button } from "./actions.js";
import { fact, h } from "./dom.js";
import { timeline } from "./figures.js";
import { model, troubles } from "./model.js";
import { age, clock, count, finds, list, short, until } from "./words.js";

const view = { wanted: "" };

export function show(secret) {
  view.wanted = secret;
}

export function secrets(redraw) {
  const all = model.status.secrets;
  const found = all.filter((s) => finds(view.wanted, [s.secret, s.user, s.version]));
  return [
    h("div", { class: "tools" },
      h("label", {}, "Find a secret, user or version ",
        h("input", {
          type: "search", value: view.wanted,
          oninput: (event) => { view.wanted = event.target.value; redraw(); },
        })),
      h("span", { class: "quiet" }, found.length === all.length
        ? count(all.length, "secret")
        : `${found.length} of ${count(all.length, "secret")}`)),
    found.length ? null : h("p", {}, "No secret, user or version is called that."),
    h("ul", { class: "rows" }, found.map(row)),
  ];
}

function row(secret) {
  const wrong = troubles((t) => t.secret === secret.secret && !t.database);
  const used = model.status.databases.filter((d) => d.secret === secret.secret).map((d) => d.name);
  const failed = secret.candidates_tried;
  return h("li", { key: secret.secret, class: wrong.length ? "wrong" : "" },
    h("div", { class: "secret" },
      h("div", { class: "name" },
        h("h2", {}, secret.secret),
        h("div", { class: "quiet" }, used.length > 4 ? count(used.length, "database") : `for ${list(used) || "no database"}`)),
      h("dl", {},
        fact("Version in force", secret.version ? [h("code", {}, short(secret.version)), ` ${secret.stages.join(", ") || "no label"}`] : "none yet"),
        fact("User", secret.user ?? "–"),
        fact("In force for", secret.adopted_at ? age(secret.adopted_at) : "–", secret.adopted_at && clock(secret.adopted_at)),
        fact("Next rotation", secret.next_rotation ? until(secret.next_rotation) : "not by pgvalet"),
        fact("Confirmed", secret.confirmed_at ? `${age(secret.confirmed_at)} ago` : "not yet"))),
    timeline(model.versions[secret.secret] ?? [], failed),
    wrong.map((trouble) => h("p", { class: "why" }, trouble.sentence)),
    !wrong.length && secret.last_error ? h("p", { class: "why" }, secret.last_error) : null,
    failed.map((f) => h("p", { class: "why", key: `${f.version} ${f.at}` },
      `Version ${short(f.version)} (${f.as}) was tried ${age(f.at)} ago: ${f.why}`)),
    h("div", { class: "acts" },
      button("refresh", { secret: secret.secret }),
      button("rotate", { secret: secret.secret })));
}
