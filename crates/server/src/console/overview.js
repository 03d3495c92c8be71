// The first view: all pools at a glance, who holds and waits, the model, the overrides.

// Cards drawn at a time: a filter narrows thousands of pools down.
const MOST_CARDS = 60;
const typed = { pools: "", allocations: "" };

function search(label, key, redraw) {
  const input = node("input", { type: "search", placeholder: label, "aria-label": label, id: "search-" + key });
  input.value = typed[key];
  input.addEventListener("input", () => {
    typed[key] = input.value;
    redraw();
    const again = byId("search-" + key);
    again.focus();
    again.setSelectionRange(again.value.length, again.value.length);
  });
  return input;
}

function tiles(o) {
  const sum = (key) => (o.pools || []).reduce((total, pool) => total + count(pool[key]), 0);
  const asked = sum("hits") + sum("joins") + sum("misses") + sum("rejected");
  const tile = (label, value, kind) => node("div", { class: "tile" }, node("b", { class: kind || "" }, value), node("span", {}, label));
  return node("div", { class: "tiles" },
    tile("requests", String(asked)), tile("found warm", asked ? percent(sum("hits") / asked) : "–", "ready"),
    tile("warm and free", String(sum("ready")), "ready"), tile("starting", String(sum("starting")), "starting"),
    tile("leased", String(sum("leased")), "leased"), tile("queued", String(sum("queued"))),
    tile("median answer", span(o.replyP50)));
}

function poolCard(pool) {
  const number = (label, value, kind) => node("div", {}, node("b", { class: kind || "" }, String(count(value))), node("span", {}, label));
  const enough = pool.hitRate === undefined || pool.hitRate >= count(pool.targetHitRate);
  const hit = "hit rate " + hitRate(pool) + (pool.preview ? ", in preview" : "");
  return node("article", { class: "card" },
    node("div", { class: "top" }, node("h3", {}, link(pool.pool, "pool", pool.pool)), pill(hit, enough ? "good" : "wait")),
    slots(pool),
    node("div", { class: "numbers" },
      number("target", pool.target), number("ready", pool.ready, "ready"), number("starting", pool.starting, "starting"),
      number("leased", pool.leased, "leased"), number("queued", pool.queued)),
    band(pool.forecast, "forecast of requests"),
    reasons(pool.reasons, 3));
}

function reasons(list, most) {
  return node("ul", { class: "reasons" }, ...(list || []).slice(0, most).map((reason) => node("li", {}, reason)));
}

function waits(a, now) {
  if (a.state === "QUEUED") return `place ${count(a.queuePosition)}, about ${span(a.estimatedWait)}`;
  if (a.state === "JOINED") return "about " + span(a.estimatedWait);
  return distance(a.state === "BOOKED" ? a.availabilityTime : a.leaseExpiresAt, now);
}

// Gives a lease back in its holder's place, or takes a request back.
function endButton(a) {
  const path = `/api/v1/allocations/${encodeURIComponent(a.allocationId)}/`;
  if (a.state === "GRANTED")
    return form("Release", [], () => ask(path + "release", { fencingToken: a.fencingToken }).then(() => "Released."));
  return form("Cancel", [], () => ask(path + "cancel", {}).then(() => "Cancelled."));
}

function allocations(list, now) {
  const heads = ["Allocation", "Pool", "State", "User", "Application", "Instance", "Served", "Ends or waits", ""];
  const rows = list.map((a) => [
    a.allocationId, link(a.pool, "pool", a.pool), pill(a.state || "", a.state === "GRANTED" ? "good" : "wait"),
    a.userId ? link(a.userId, "user", a.userId) : "", a.applicationId,
    a.instance ? [a.instance.id, a.instance.address].filter(Boolean).join(" ") : "",
    [a.warm ? "warm" : "", a.merged ? "merged" : ""].filter(Boolean).join(", "), waits(a, now), endButton(a)]);
  return table("leases and queue", heads, rows, "Nobody holds or waits for an instance.");
}

const overrideSubject = (x) => (x.entityId ? link(x.entityId, "user", x.entityId) : "anyone");

function overrides(list) {
  const heads = ["Name", "Pool", "For", "Kept", "Until", "Reason"];
  const rows = list.map((x) => [x.name, link(x.pool, "pool", x.pool), overrideSubject(x), String(count(x.count)), x.expiresAt || "cleared", x.reason]);
  return table("overrides", heads, rows, "No override is in force.");
}

function models(o) {
  const f = o.forecasting || {}, r = o.retraining || {};
  return facts([
    ["Model in use", f.model], ["Series in the latest batch", String(count(f.series))], ["Batch", span(f.batchP50) + " median"],
    ["Ticks", String(count(f.ticks))], ["Fallbacks", String(count(f.fallbacks))], ["Active triggers", String(count(f.triggersActive))],
    ["Age of the plan", span(f.planAge)],
    ["Retrainings", `${count(r.started)} started, ${count(r.promoted)} promoted, ${count(r.rejected)} kept aside, ${count(r.failed)} failed`],
    ["Latest retraining", r.latest]]);
}

function overviewView(o, redraw) {
  const holds = (a, text) => [a.allocationId, a.pool, a.userId, a.applicationId, a.state].some((part) => (part || "").toLowerCase().includes(text));
  const pools = (o.pools || []).filter((pool) => pool.pool.includes(typed.pools));
  const held = (o.allocations || []).filter((a) => holds(a, typed.allocations.toLowerCase()));
  const more = pools.length > MOST_CARDS ? soft(`${pools.length - MOST_CARDS} more: narrow the search.`) : undefined;
  const cards = pools.length ? node("div", { class: "cards" }, ...pools.slice(0, MOST_CARDS).map(poolCard)) : soft("No pool. Add a [[pool]] to the configuration file.");
  return [
    tiles(o),
    block("Pools", search("find a pool", "pools", redraw), cards, more),
    block("Leases and queue", search("find a lease", "allocations", redraw), allocations(held, o.asOf)),
    node("div", { class: "pair" }, block("Forecasts and models", models(o)), block("Overrides", overrides(o.overrides || [])))];
}
