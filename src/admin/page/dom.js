// Describes elements, and brings the document in line with the description. Text only ever
// becomes text: names on this page are other people's input.

const SVG = "http://www.w3.org/2000/svg";
const IN_SVG = new Set(["svg", "path"]);
// Set as properties: the attribute of the same name says what they were at first.
const PROPERTIES = new Set(["value", "checked", "disabled", "hidden", "selected"]);

/// Shows the dialog with what `contents(close)` describes. Nothing of it stays when it is closed.
export function dialog(contents) {
  const box = document.getElementById("dialog");
  render(box, contents(() => box.close()));
  // The event comes late: by then, the dialog may ask something else.
  box.onclose = () => box.open || render(box);
  box.showModal();
}

const flat = (children) =>
  children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);

/// Describes an element. An attribute that is false, null or undefined is left out; `key` tells
/// it apart from its siblings when they change their order.
export function h(tag, attributes, ...children) {
  return { tag, attributes: attributes ?? {}, children: flat(children) };
}

/// A term and what it is, of a description list.
export const fact = (term, what, title) => h("div", { title }, h("dt", {}, term), h("dd", {}, what));

/// Makes the children of `parent` be as described. Elements that are there already stay, with
/// the focus and what was typed into them.
export function render(parent, ...children) {
  const focused = document.activeElement;
  reconcile(parent, flat(children));
  if (focused !== document.activeElement && focused?.isConnected) focused.focus();
}

function reconcile(parent, wanted) {
  const keyed = new Map();
  for (const node of parent.childNodes) {
    if (node.key !== undefined) keyed.set(node.key, node);
  }
  const keys = new Set(wanted.map((item) => item.attributes?.key));
  let place = parent.firstChild;
  for (const item of wanted) {
    while (place?.key !== undefined && !keys.has(place.key)) place = removed(place);
    const node = item.tag ? element(item, place, keyed) : text(item, place);
    if (node !== place) parent.insertBefore(node, place);
    // The same description as last time, not merely an equal one: nothing has changed in it.
    if (item.tag && node.item !== item) reconcile(node, item.children);
    node.item = item;
    place = node.nextSibling;
  }
  while (place) place = removed(place);
}

function removed(node) {
  const next = node.nextSibling;
  node.remove();
  return next;
}

function text(item, place) {
  const words = String(item);
  if (place?.nodeType !== Node.TEXT_NODE) return document.createTextNode(words);
  if (place.data !== words) place.data = words;
  return place;
}

function element({ tag, attributes }, place, keyed) {
  const { key } = attributes;
  const fits = (node) => node?.localName === tag && node.key === key;
  let node = key === undefined ? place : keyed.get(key);
  if (!fits(node)) {
    node = IN_SVG.has(tag) ? document.createElementNS(SVG, tag) : document.createElement(tag);
    node.key = key;
    node.given = {};
  }
  if (node.given === attributes) return node;
  for (const name of Object.keys(node.given ?? {})) {
    if (!(name in attributes)) set(node, name, null);
  }
  for (const [name, value] of Object.entries(attributes)) {
    if (name !== "key") set(node, name, value);
  }
  node.given = attributes;
  return node;
}

function set(node, name, value) {
  if (name.startsWith("on")) {
    node[name] = value ?? null;
  } else if (name === "style") {
    for (const [property, text] of Object.entries(value ?? {})) {
      if (node.style.getPropertyValue(property) !== text) node.style.setProperty(property, text);
    }
  } else if (PROPERTIES.has(name)) {
    if (node[name] !== (value ?? "")) node[name] = value ?? "";
  } else if (value === null || value === undefined || value === false) {
    node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) {
    node.setAttribute(name, String(value));
  }
}
