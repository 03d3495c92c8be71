// One user or application: its resource shadow.

const CLASSES = { CPU: "CPU", MEMORY: "Memory", STORAGE_IO: "Storage I/O", NETWORK: "Network", OTHER: "Other" };

function metricCard(metric, forecasts, accuracy) {
  const forecast = forecasts.find((forecast) => forecast.metric === metric.metric);
  const past = accuracy.find((accuracy) => accuracy.metric === metric.metric) || {};
  const quantiles = (metric.quantiles || []).map((q) => `q${q.level} ${short(count(q.value))}`).join(" · ");
  const trend = count(metric.trendPerHour);
  return node("article", { class: "card", "data-key": metric.metric },
    node("div", { class: "top" }, node("h3", {}, metric.metric), pill(CLASSES[metric.class] || "Other")),
    node("div", { class: "numbers" },
      ...[["latest", count(metric.latest)], ["mean", count(metric.mean)], ["deviation", count(metric.deviation)]].map(
        ([label, value]) => node("div", {}, node("b", {}, short(value)), node("span", {}, label)))),
    soft(`${quantiles || "no quantiles yet"} · trend ${trend >= 0 ? "+" : ""}${short(trend)} an hour · ${count(metric.samples)} samples`),
    forecast ? band(forecast, "forecast of " + metric.metric) : soft("no forecast yet"),
    past.wape === undefined ? undefined : soft(`past forecasts: WAPE ${past.wape.toFixed(2)}, 80 % interval covers ${percent(past.coverage80)}`));
}

// Metrics that are forecast but not measured, such as requests.
function otherForecasts(shadow) {
  const known = (shadow.metrics || []).map((metric) => metric.metric);
  return (shadow.forecasts || []).filter((forecast) => !known.includes(forecast.metric)).map((forecast) =>
    node("article", { class: "card" }, node("h3", {}, forecast.metric), band(forecast, "forecast of " + forecast.metric)));
}

function shadowFacts(shadow) {
  const access = shadow.access || {}, category = shadow.category;
  const why = category && (category.fromApplication ? "from its application" : percent(category.confidence) + " sure");
  return facts([
    ["Category", category ? `${category.id} ${category.label || ""} (${why})` : "none yet"],
    ["Last seen", distance(shadow.lastSeen, shadow.asOf)], ["Accesses", String(count(access.total))],
    ["Next expected", distance(access.nextExpected, shadow.asOf)]]);
}

const userPage = {
  every: 5000,
  title: (name) => name || "Users and applications",
  hint: "Users and applications are known once usage or a request of theirs has been reported; names are matched exactly.",
  load: (name) => ask(`/user/${encodeURIComponent(name || "")}/resource_shadow`),
  draw: (shadow) => userView(shadow),
};

function userView(shadow) {
  const uses = (shadow.dependencies || []).map((d) => [link(d.entityId, "user", d.entityId), percent(d.share), distance(d.lastUsed, shadow.asOf)]);
  const kept = (shadow.reservations || []).map((r) => [link(r.pool, "pool", r.pool), String(count(r.count)), r.overrideName || "trigger rule", r.until || "–", r.reason]);
  const cards = (shadow.metrics || []).map((metric) => metricCard(metric, shadow.forecasts || [], shadow.accuracy || [])).concat(otherForecasts(shadow));
  const hours = (shadow.access || {}).hourOfWeek || [];
  return [
    node("div", { class: "pair" },
      block("Who it is", shadowFacts(shadow)),
      block("When it comes", node("div", { class: "card" }, hours.length ? week(hours) : soft("not enough accesses yet")))),
    block("Resources", cards.length ? node("div", { class: "cards" }, ...cards) : soft("No metric has been reported for it.")),
    node("div", { class: "pair" },
      block("Uses", table("dependencies", ["Entity", "Share", "Last used"], uses, "No dependency is known.")),
      block("Kept ready for it", table("reservations", ["Pool", "Instances", "By", "Until", "Reason"], kept, "Nothing is reserved."))),
    block("Leases, requests and bookings", allocations(shadow.allocations || [], shadow.asOf)),
    block("Override", node("div", { class: "card" }, overrideForm("", shadow.entityId)))];
}
