// Which view is shown, and how it stays current.

const POLL_MS = 2000;
let latest;

const route = () => location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);

function head(o) {
  const state = byId("state");
  state.textContent = o.ready ? "ready" : o.notReadyReason || "not ready";
  state.className = "pill " + (o.ready ? "good" : "bad");
  byId("facts").textContent = `version ${o.version} · ${o.durability} · ${count(o.entities)} entities · ${count(o.samples)} samples`;
}

function trouble(error) {
  byId("state").textContent = error.message;
  byId("state").className = "pill bad";
}

// Redraws what follows the server.
function follow() {
  if (!latest) return;
  const [view, name] = route();
  if (view === "pool") byId("live").replaceChildren(...poolLive(latest, name));
  else if (!view) byId("live").replaceChildren(...overviewView(latest, follow));
}

// Draws a view that was gone to; forms are drawn once.
async function enter() {
  const [view, name] = route();
  document.querySelectorAll("nav a").forEach((a) => a.setAttribute("aria-current", a.getAttribute("href") === "#/" + (view || "") ? "page" : "false"));
  document.title = [name || view, "Foreshadow"].filter(Boolean).join(" · ");
  byId("live").replaceChildren(soft("loading …"));
  byId("still").replaceChildren();
  try {
    if (view === "user") byId("live").replaceChildren(...userView(await ask(`/user/${encodeURIComponent(name)}/resource_shadow`)));
    else if (view === "models") byId("live").replaceChildren(...(await modelsView()));
    else if (view === "audit") byId("live").replaceChildren(...(await auditView()));
    else if (view === "config") byId("live").replaceChildren(...(await configView()));
    else if (view === "pool" && latest) byId("still").replaceChildren(...poolForms(latest, name));
    follow();
  } catch (error) {
    byId("live").replaceChildren(soft(error.message));
  }
}

async function poll() {
  try {
    const first = latest === undefined;
    latest = await ask("/api/v1/overview");
    head(latest);
    watch(latest);
    if (first) await enter();
    else if (!document.activeElement.closest("#live form, #live [type=search]")) follow();
  } catch (error) {
    trouble(error);
  }
  setTimeout(poll, POLL_MS);
}

byId("find").addEventListener("submit", (event) => {
  event.preventDefault();
  location.hash = "#/user/" + encodeURIComponent(new FormData(event.target).get("user"));
});
addEventListener("hashchange", enter);
poll();
