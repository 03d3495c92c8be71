// Which view is shown, and how it stays current.

const POLL_MS = 2000;
// `load` asks the server, `draw` makes elements of the answer; `every` is how often, in milliseconds,
// a view follows the server: not at all if it is 0.
const VIEWS = { "": overviewPage, leases: leasesPage, pool: poolPage, user: userPage, models: modelsPage, config: configPage, audit: auditPage };
// What is shown; `turn` rises whenever another view is gone to, and `asked` with each question, so that
// late answers are left out: `drawn` is the question whose answer is shown.
const shown = { turn: 0, asked: 0, drawn: 0, page: overviewPage, name: undefined, data: undefined, at: 0 };
// The latest overview, for what stands in the head.
let latest;

function route() {
  const parts = location.hash.replace(/^#\/?/, "").split("/");
  try {
    return parts.map(decodeURIComponent);
  } catch {
    return parts;
  }
}

function head(o) {
  latest = o;
  const state = byId("state");
  state.textContent = o.ready ? "ready" : o.notReadyReason || "not ready";
  state.className = "pill " + (o.ready ? "good" : "bad");
  byId("facts").textContent = `version ${o.version} · ${o.durability} · ${count(o.entities)} entities · ${count(o.samples)} samples`;
}

function trouble(error) {
  byId("state").textContent = error.message;
  byId("state").className = "pill bad";
}

// Draws the view anew from what is known.
function redraw() {
  if (shown.data === undefined) return;
  show(byId("live"), [shown.page.title && heading(shown.page.title(shown.name)), ...shown.page.draw(shown.data, shown.name)]);
}

const heading = (text) => node("h2", { class: "title" }, text);

// Asks the server again and draws; an answer for a view that was left meanwhile, or that was overtaken
// by a later one, is thrown away.
async function refresh() {
  const { turn, page, name } = shown, asked = ++shown.asked;
  shown.at = Date.now();
  try {
    const data = await page.load(name);
    if (turn !== shown.turn || asked < shown.drawn) return;
    Object.assign(shown, { data, drawn: asked });
    redraw();
  } catch (error) {
    if (turn !== shown.turn || asked < shown.drawn) return;
    if (shown.data === undefined) show(byId("live"), failed(error, page, name));
    else trouble(error);
  }
}

function failed(error, page, name) {
  const again = node("button", { type: "button", onclick: refresh }, "Try again");
  return [page.title && heading(page.title(name)), node("div", { class: "card", role: "alert" }, node("p", {}, error.message), page.hint && soft(page.hint),
    node("p", {}, again, " ", node("a", { href: "#/" }, "Overview")))];
}

// Goes to the view that the address names.
function enter() {
  const [view, name] = route();
  Object.assign(shown, { turn: shown.turn + 1, page: VIEWS[view] || overviewPage, name, data: undefined });
  document.querySelectorAll("nav a").forEach((a) => a.setAttribute("aria-current", a.getAttribute("href") === "#/" + (view || "") ? "page" : "false"));
  document.title = [name || view, "Foreshadow"].filter(Boolean).join(" · ");
  byId("said").textContent = "";
  show(byId("live"), [soft("loading …")]);
  if (shown.page.enter) shown.page.enter(name);
  return refresh();
}

// A page that nobody looks at asks nothing.
async function poll() {
  if (!document.hidden) {
    const { page, at } = shown;
    if (page !== overviewPage) await ask("/api/v1/overview?maxPools=1").then(head, trouble);
    if (page === shown.page && page.every > 0 && Date.now() - at >= page.every - POLL_MS / 2) await refresh();
  }
  setTimeout(poll, POLL_MS);
}

byId("find").onsubmit = (event) => {
  event.preventDefault();
  location.hash = "#/user/" + encodeURIComponent(new FormData(event.target).get("user").trim());
};
addEventListener("hashchange", enter);
addEventListener("resize", redraw);
enter().then(poll);
