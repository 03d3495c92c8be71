"use strict";
// Elements and words. All text from the server goes through text nodes, never into markup.

const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);

// Functions among the attributes are handlers: they are set as properties, so that `patch` can renew them.
function node(name, attributes, ...children) {
  const element = document.createElement(name);
  Object.entries(attributes || {}).forEach(([key, value]) => put(element, key, value));
  element.append(...children.filter((child) => child !== undefined && child !== null));
  return element;
}

function put(element, key, value) {
  if (typeof value === "function") element[key] = value;
  else if (value !== undefined && value !== false) element.setAttribute(key, value);
}

function drawn(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  Object.entries(attributes).forEach(([key, value]) => put(element, key, value));
  if (text !== undefined) element.textContent = text;
  return element;
}

const count = (value) => Number(value || 0);
const percent = (value) => (value === undefined || value === null ? "–" : (100 * value).toFixed(1) + " %");
const hitRate = (pool) => percent(pool.hitRate) + (pool.targetHitRate === undefined ? "" : " of " + percent(pool.targetHitRate));
const seconds = (text) => (text ? parseFloat(text) : 0);

function span(text) {
  if (!text) return "–";
  const s = seconds(text);
  if (s === 0) return "0 s";
  if (s < 0.001) return (s * 1e6).toFixed(0) + " µs";
  if (s < 1) return (s * 1e3).toFixed(1) + " ms";
  if (s < 120) return s.toFixed(1) + " s";
  if (s < 7200) return (s / 60).toFixed(0) + " min";
  if (s < 172800) return (s / 3600).toFixed(1) + " h";
  return (s / 86400).toFixed(1) + " days";
}

function distance(time, now) {
  if (!time) return "–";
  const left = (Date.parse(time) - (now ? Date.parse(now) : Date.now())) / 1000;
  return left > 0 ? "in " + span(left + "s") : span(-left + "s") + " ago";
}

const UNITS = [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]];
function short(value) {
  const unit = UNITS.find(([size]) => Math.abs(value) >= size);
  return unit ? (value / unit[0]).toPrecision(3) + " " + unit[1] : String(Number(Number(value).toPrecision(3)));
}

const soft = (text) => node("p", { class: "soft" }, text);
const pill = (text, kind) => node("span", { class: "pill " + (kind || "") }, text);
const link = (text, ...path) => node("a", { href: "#/" + path.map(encodeURIComponent).join("/") }, text);

// A titled block of a view.
const block = (title, ...children) => node("section", {}, node("h2", {}, title), ...children);

function facts(pairs) {
  const shown = pairs.flatMap(([key, value]) => [node("dt", {}, key), node("dd", {}, value === undefined || value === "" ? "–" : value)]);
  return node("dl", {}, ...shown);
}

// Cells of a row that is known again by its key.
const row = (key, ...cells) => Object.assign(cells, { key });

// Rows are arrays of texts or elements; `none` is said where there is no row.
function table(caption, heads, rows, none) {
  if (rows.length === 0) return soft(none);
  const head = node("tr", {}, ...heads.map((text) => node("th", { scope: "col" }, text)));
  const body = rows.map((cells) => node("tr", { "data-key": cells.key }, ...cells.map((cell) => node("td", {}, cell || "–"))));
  return node("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    node("table", {}, node("thead", {}, head), node("tbody", {}, ...body)));
}

function field(label, name, attributes) {
  return node("label", {}, label, node("input", { name, ...attributes }));
}

// A form that says beside its button what became of it, or for all to hear where its row may go.
// `send` gets the fields and gives a text. The handler works on whatever form is in the page.
function form(label, fields, send, more) {
  const onsubmit = async (event) => {
    event.preventDefault();
    const whole = event.currentTarget, said = whole.querySelector("output");
    [said.textContent, said.className] = ["…", ""];
    const tell = (text, kind) => {
      const gone = !whole.isConnected || whole.closest("td");
      (gone && kind === "good" ? byId("said") : said).textContent = text;
      if (gone && kind === "good") said.textContent = "";
      else said.className = kind;
    };
    try {
      tell(await send(Object.fromEntries(new FormData(whole))), "good");
      refresh();
    } catch (error) {
      tell(error.message, "bad");
    }
  };
  return node("form", { onsubmit, "aria-label": label }, ...fields, node("button", {}, label), ...(more || []), node("output", { "aria-live": "polite" }));
}

// Asks the server; a refusal becomes an error with the server's own words.
async function ask(path, body, headers) {
  const options = { cache: "no-store", headers: headers || {} };
  if (body !== undefined) {
    options.method = "POST";
    options.body = JSON.stringify(body);
    options.headers["content-type"] = "application/json";
  }
  const answer = await fetch(path, options).catch(() => {
    throw new Error("the server does not answer");
  });
  const said = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(said.message || "the server answered " + answer.status);
  return said;
}
