// The first view: the service at a glance, and the pools that need a look.

const FIRST_POOLS = 60, MOST_POOLS = 500;
const wanted = { search: "", most: FIRST_POOLS };

const ALERTS = {
  STARTS_FAIL: ["starts fail", "bad"], WAITING: ["requests wait", "bad"], BELOW_TARGET: ["fewer free than planned", "wait"],
  HIT_RATE_LOW: ["hit rate below its aim", "wait"], PLAN_STALE: ["plan is stale", "bad"], DRIFTED: ["demand has drifted", "wait"],
};
const alertPill = (alert) => pill(...(ALERTS[alert] || [alert, "wait"]));

const overviewPage = {
  every: 2000,
  async load() {
    const o = await ask("/api/v1/overview?" + new URLSearchParams({ search: wanted.search, maxPools: wanted.most }));
    head(o);
    return o;
  },
  draw: (o) => [
    tiles(o), troubles(o), poolsBlock(o),
    node("div", { class: "pair" }, block("Forecasts and models", models(o)), block("Overrides", overrides(o.overrides || [], count((o.totals || {}).overrides))))],
};

const saving = (beside) => (beside && count(beside.staticIdle) > 0 ? 1 - count(beside.idle) / beside.staticIdle : undefined);

function tiles(o) {
  const t = o.totals || {}, beside = t.beside;
  const waited = count(t.joins) + count(t.misses), asked = count(t.hits) + waited + count(t.rejected);
  const tile = (label, value, kind, title) => node("div", { class: "tile", title }, node("b", { class: kind || "" }, value), node("span", {}, label));
  const told = beside ? `lately, of ${count(t.besidePools)} pools of which it is known` : "known when enough was asked for";
  return node("section", { class: "tiles", "aria-label": "at a glance" },
    tile("requests", short(asked)), tile("found warm", asked ? percent(count(t.hits) / asked) : "–", "ready"),
    tile("waited", short(waited), waited ? "starting" : "", causes(t.waits)), tile("refused", short(count(t.rejected)), count(t.rejected) ? "worse" : ""),
    tile("in the queue", short(count(t.queued)), count(t.queued) ? "worse" : ""), tile("leased", short(count(t.leased)), "leased"),
    tile("warm and free", short(count(t.ready)), "ready"), tile("starting", short(count(t.starting)), "starting"),
    tile("idle instances needed", beside ? short(beside.idle || 0) : "–", "", told), tile("needed if static", beside ? short(beside.staticIdle || 0) : "–", "", told),
    tile("saved against static", percent(saving(beside)), count(saving(beside)) >= 0 ? "ready" : "worse", told),
    tile("kept idle since the start", span(t.idle)), tile("median answer", span(o.replyP50)));
}

// One line for each kind of trouble, with the first pools that have it.
function troubles(o) {
  const found = (o.totals && o.totals.troubles) || [];
  if (found.length === 0) return block("Alerts", soft("No pool needs a look."));
  const lines = found.map(({ alert, pools }) => {
    const named = (o.pools || []).filter((pool) => (pool.alerts || []).includes(alert)).slice(0, 5);
    const links = named.flatMap((pool) => [" ", link(pool.pool, "pool", pool.pool)]);
    const rest = count(pools) - named.length;
    return node("li", { "data-key": alert }, alertPill(alert), ` ${count(pools)} ${count(pools) === 1 ? "pool" : "pools"}:`, ...links, rest > 0 ? ` and ${rest} more` : "");
  });
  return block("Alerts", node("ul", { class: "alerts" }, ...lines));
}

let searching;
function poolsBlock(o) {
  const pools = o.pools || [], matching = count(o.matching), all = count((o.totals || {}).pools);
  const search = node("input", { type: "search", id: "search-pools", placeholder: "find a pool", "aria-label": "find a pool", value: wanted.search, oninput: (event) => {
    Object.assign(wanted, { search: event.target.value, most: FIRST_POOLS });
    clearTimeout(searching);
    searching = setTimeout(refresh, 150);
  } });
  const more = matching > pools.length && wanted.most < MOST_POOLS
    ? node("button", { type: "button", onclick: () => { wanted.most = Math.min(wanted.most + FIRST_POOLS, MOST_POOLS); refresh(); } }, "Show more") : undefined;
  const none = all ? "No pool of this name." : "No pool. Add a [[pool]] to the configuration file.";
  return block("Pools", node("div", { class: "bar" }, search, soft(`${pools.length} of ${matching}${matching < all ? ` that match, ${all} in all` : ""}, those that need a look first`)),
    pools.length ? node("div", { class: "cards" }, ...pools.map(poolCard)) : soft(none), more);
}

function poolCard(pool) {
  const number = (label, value, kind) => node("div", {}, node("b", { class: kind || "" }, String(count(value))), node("span", {}, label));
  const enough = !(pool.alerts || []).includes("HIT_RATE_LOW");
  const hit = "hit rate " + hitRate(pool) + (pool.preview ? ", in preview" : "");
  const alerts = (pool.alerts || []).map(alertPill);
  return node("article", { class: "card", "data-key": pool.pool },
    node("div", { class: "top" }, node("h3", {}, link(pool.pool, "pool", pool.pool)), pill(hit, enough ? "good" : "wait")),
    alerts.length ? node("div", { class: "bar" }, ...alerts) : undefined,
    slots(pool),
    node("div", { class: "numbers" },
      number("target", pool.target), number("ready", pool.ready, "ready"), number("starting", pool.starting, "starting"),
      number("leased", pool.leased, "leased"), number("queued", pool.queued)),
    reasons(pool.reasons, 3));
}

function reasons(list, most) {
  return node("ul", { class: "reasons" }, ...(list || []).slice(0, most).map((reason) => node("li", {}, reason)));
}

const causes = (waits) =>
  Object.entries(waits || {}).map(([cause, times]) => `${count(times)} ${cause.replace("_", " ")}`).join(", ") || "none";

const overrideSubject = (x) => (x.entityId ? link(x.entityId, "user", x.entityId) : "anyone");

function overrides(list, all) {
  const heads = ["Name", "Pool", "For", "Kept", "Until", "Reason"];
  const rows = list.map((x) => row(x.name, x.name, link(x.pool, "pool", x.pool), overrideSubject(x), String(count(x.count)), x.expiresAt || "cleared", x.reason));
  const shownRows = table("overrides", heads, rows, "No override is in force.");
  return all > list.length ? node("div", {}, shownRows, soft(`${all} in all.`)) : shownRows;
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
