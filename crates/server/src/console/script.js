"use strict";
// All text from the server goes through textContent, never into markup.
const POLL_MS = 2000;
const SVG = "http://www.w3.org/2000/svg";
const byId = (id) => document.getElementById(id);

function node(name, attributes, ...children) {
  const element = document.createElement(name);
  Object.entries(attributes || {}).forEach(([key, value]) => element.setAttribute(key, value));
  element.append(...children);
  return element;
}

function drawn(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
  if (text !== undefined) element.textContent = text;
  return element;
}

const count = (value) => Number(value || 0);
const percent = (value) => (value === undefined ? "–" : (100 * value).toFixed(1) + " %");
const seconds = (text) => (text ? parseFloat(text) : 0);

function span(text) {
  if (!text) return "–";
  const s = seconds(text);
  if (s === 0) return "0 s";
  if (s < 0.001) return (s * 1e6).toFixed(0) + " µs";
  if (s < 1) return (s * 1e3).toFixed(1) + " ms";
  if (s < 120) return s.toFixed(1) + " s";
  if (s < 7200) return (s / 60).toFixed(0) + " min";
  return (s / 3600).toFixed(1) + " h";
}

function until(time, now) {
  if (!time) return "–";
  const left = (Date.parse(time) - Date.parse(now)) / 1000;
  return left > 0 ? "in " + span(left + "s") : "now";
}

// One square an instance, coloured by its state; large pools are drawn to scale.
function slots(pool) {
  const parts = [["leased", count(pool.leased)], ["ready", count(pool.ready)], ["starting", count(pool.starting)]];
  const total = Math.max(count(pool.max), 1);
  const cells = Math.min(total, 40);
  const svg = drawn("svg", { viewBox: "0 0 400 12", class: "slots", role: "img", "aria-label": "instances by state" });
  const states = parts.flatMap(([state, n]) => Array(Math.ceil((n * cells) / total)).fill(state));
  for (let i = 0; i < cells; i++) {
    const width = 400 / cells;
    svg.append(drawn("rect", { x: i * width + 0.5, y: 0, width: Math.max(width - 1.5, 0.5), height: 12, rx: 2, class: states[i] || "" }));
  }
  return svg;
}

// The 10–90 % band and the median of what is expected in each step.
function band(forecast) {
  const steps = (forecast && forecast.steps) || [];
  const svg = drawn("svg", { viewBox: "0 0 400 90", role: "img", "aria-label": "forecast of requests" });
  const quantiles = steps.map((step) => step.quantiles || []).filter((q) => q.length >= 3);
  if (quantiles.length === 0) {
    svg.append(drawn("text", { x: 200, y: 48, "text-anchor": "middle", class: "mark" }, "no forecast yet"));
    return svg;
  }
  const top = Math.max(1e-9, ...quantiles.map((q) => q[q.length - 1]));
  const x = (i) => 30 + (360 * i) / Math.max(quantiles.length - 1, 1);
  const y = (value) => 76 - (66 * Math.max(value, 0)) / top;
  const line = (pick) => quantiles.map((q, i) => x(i).toFixed(1) + "," + y(pick(q)).toFixed(1));
  const middle = (q) => q[(q.length - 1) >> 1];
  const edge = line((q) => q[q.length - 1]).concat(line((q) => q[0]).reverse());
  svg.append(drawn("line", { x1: 30, x2: 390, y1: 76, y2: 76, class: "axis" }));
  svg.append(drawn("polygon", { points: edge.join(" "), class: "band" }));
  svg.append(drawn("polyline", { points: line(middle).join(" "), class: "median" }));
  svg.append(drawn("text", { x: 2, y: 14, class: "mark" }, top.toPrecision(2)));
  svg.append(drawn("text", { x: 2, y: 78, class: "mark" }, "0"));
  svg.append(drawn("text", { x: 30, y: 88, class: "mark" }, "now"));
  const reach = quantiles.length * seconds(forecast.step);
  svg.append(drawn("text", { x: 390, y: 88, "text-anchor": "end", class: "mark" }, "+" + span(reach + "s")));
  return svg;
}

function poolCard(pool) {
  const number = (label, value, kind) => node("div", {}, node("b", { class: kind || "" }, String(count(value))), node("span", {}, label));
  const enough = pool.hitRate === undefined || pool.hitRate >= count(pool.targetHitRate);
  const hit = "hit rate " + percent(pool.hitRate) + " of " + percent(count(pool.targetHitRate));
  const card = node("div", { class: "card" },
    node("div", { class: "top" }, node("h3", {}, pool.pool), node("span", { class: "pill " + (enough ? "good" : "wait") }, hit)),
    slots(pool),
    node("div", { class: "numbers" },
      number("target", pool.target), number("ready", pool.ready, "ready"), number("starting", pool.starting, "starting"),
      number("leased", pool.leased, "leased"), number("queued", pool.queued)),
    node("div", { class: "soft" }, `${count(pool.hits)} hits · ${count(pool.joins)} joins · ${count(pool.misses)} misses · ${count(pool.rejected)} refused · ${count(pool.failedStarts)} failed starts · start ${span(pool.startupTypical)} (slow ${span(pool.startupSlow)}) · at most ${count(pool.max)}`),
    band(pool.forecast));
  if (pool.forecast) {
    const note = "requests a step by " + pool.forecast.model + (pool.forecast.fallback ? " (fallback)" : "") + ", 10–90 % band";
    card.append(node("div", { class: "soft" }, note));
  }
  const reasons = node("ul", { class: "reasons" });
  (pool.reasons || []).slice(0, 5).forEach((reason) => reasons.append(node("li", {}, reason)));
  card.append(reasons);
  return card;
}

function row(cells) {
  const line = node("tr");
  cells.forEach((cell) => line.append(node("td", {}, cell || "–")));
  return line;
}

function served(a) {
  return [a.warm ? "warm" : "", a.merged ? "merged" : ""].filter(Boolean).join(", ");
}

function allocationRow(a, now) {
  const waits = a.state === "QUEUED" ? `place ${count(a.queuePosition)}, about ${span(a.estimatedWait)}`
    : a.state === "BOOKED" ? until(a.availabilityTime, now)
    : a.state === "JOINED" ? "about " + span(a.estimatedWait) : until(a.leaseExpiresAt, now);
  const kind = a.state === "GRANTED" ? "good" : "wait";
  const instance = a.instance ? a.instance.id + (a.instance.address ? " " + a.instance.address : "") : "";
  return row([a.allocationId, a.pool, node("span", { class: "pill " + kind }, a.state || ""), a.userId, a.applicationId, instance, served(a), waits]);
}

function show(o) {
  const state = byId("state");
  state.textContent = o.ready ? "ready" : o.notReadyReason || "not ready";
  state.className = "pill " + (o.ready ? "good" : "bad");
  byId("facts").textContent = `version ${o.version} · ${o.durability} · answers ${span(o.replyP50)} median, ${span(o.replyP99)} p99 · ${count(o.entities)} entities · ${count(o.samples)} samples`;
  const pools = (o.pools || []).map(poolCard);
  byId("pools").replaceChildren(...(pools.length ? pools : [node("p", { class: "soft" }, "No pools are configured.")]));
  byId("allocations").replaceChildren(...(o.allocations || []).map((a) => allocationRow(a, o.asOf)));
  const f = o.forecasting || {}, r = o.retraining || {};
  const facts = [
    ["Model in use", f.model], ["Series in the latest batch", count(f.series)], ["Batch", span(f.batchP50) + " median"],
    ["Ticks", count(f.ticks)], ["Fallbacks", count(f.fallbacks)], ["Active triggers", count(f.triggersActive)], ["Age of the plan", span(f.planAge)],
    ["Retrainings", `${count(r.started)} started, ${count(r.promoted)} promoted, ${count(r.rejected)} kept aside, ${count(r.failed)} failed`],
    ["Latest retraining", r.latest]];
  byId("models").replaceChildren(...facts.flatMap(([key, value]) => [node("dt", {}, key), node("dd", {}, String(value || (value === 0 ? 0 : "–")))]));
  byId("overrides").replaceChildren(...(o.overrides || []).map((x) => row([x.name, x.pool, x.entityId || "anyone", String(count(x.count)), x.expiresAt || "cleared", x.reason])));
}

async function poll() {
  try {
    const answer = await fetch("/api/v1/overview", { cache: "no-store" });
    if (!answer.ok) throw new Error("the server answered " + answer.status);
    show(await answer.json());
  } catch (error) {
    byId("state").textContent = error.message;
    byId("state").className = "pill bad";
  }
  setTimeout(poll, POLL_MS);
}
poll();
