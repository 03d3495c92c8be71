// One pool: its level over time, what is expected, why the plan is what it is, and what to change.

const HISTORY = 1800;
const watched = new Map();

// Keeps what each poll saw, for as long as the page is open.
function watch(o) {
  (o.pools || []).forEach((pool) => {
    const seen = watched.get(pool.pool) || [];
    const sample = { at: Date.parse(o.asOf) };
    ["leased", "ready", "starting", "queued", "target"].forEach((key) => (sample[key] = count(pool[key])));
    seen.push(sample);
    watched.set(pool.pool, seen.slice(-HISTORY));
  });
}

const causes = (waits) =>
  Object.entries(waits || {}).map(([cause, times]) => `${count(times)} ${cause.replace("_", " ")}`).join(", ") || "none";

// How plans that are not carried out would fare beside the pool as it is kept, and the way to end that.
function previewed(pool) {
  const p = pool.preview;
  const share = (hits) => (count(p.requests) ? percent(count(hits) / count(p.requests)) : "–");
  return node("div", { class: "pair" }, block("Preview", node("div", { class: "card" },
    facts([
      ["Instances", `${count(p.kept)} kept, ${count(p.proposed)} would be planned`],
      ["Requests", String(count(p.requests))],
      ["Hit rate", `${share(p.keptHits)} as kept, ${share(p.hits)} as planned`],
      ["Idle instance time", `${span(p.keptIdle)} as kept, ${span(p.idle)} as planned`]]),
    form("Make it live", [], async () => {
      await ask(`/admin/pools/${encodeURIComponent(pool.pool)}/live`, {});
      return "Plans are carried out from now on.";
    }))));
}

function poolFacts(pool) {
  const accuracy = pool.accuracy || {};
  return facts([
    ["Hit rate", hitRate(pool)],
    ["Requests", `${count(pool.hits)} hits, ${count(pool.joins)} joins, ${count(pool.misses)} misses, ${count(pool.rejected)} refused`],
    ["Waits by cause", causes(pool.waits)],
    ["Start-up", `${span(pool.startupTypical)} typical, ${span(pool.startupSlow)} slow, ${count(pool.failedStarts)} failed`],
    ["Shape", `${count(pool.vcpus)} vCPUs, ${short(count(pool.memoryBytes))}B`],
    ["Limits", `${count(pool.min)} to ${count(pool.max)} instances`],
    ["Reserved", String(count(pool.reserved))], ["Booked", String(count(pool.booked))],
    ["Forecast error", accuracy.wape === undefined ? "–" : `WAPE ${accuracy.wape.toFixed(2)}, 80 % interval covers ${percent(accuracy.coverage80)}`]]);
}

// What the plan would be under another objective, and the way to put it in force.
function whatIf(pool) {
  const fields = [
    field("Target hit rate", "target", { type: "number", min: "0.01", max: "0.9999", step: "any", value: String(pool.targetHitRate || 0.95) }),
    node("label", { class: "check" }, node("input", { type: "checkbox", name: "apply" }), "apply it")];
  return form("Ask the planner", fields, async (given) => {
    const config = await ask("/admin/shadow_config");
    const others = (config.objectives || []).filter((objective) => objective.pool !== pool.pool);
    const before = (config.objectives || []).find((objective) => objective.pool === pool.pool) || { pool: pool.pool };
    const next = { ...config, objectives: [...others, { ...before, idleInstances: undefined, costs: undefined, targetHitRate: Number(given.target) }] };
    const answer = await ask("/admin/shadow_config?dry_run=" + !given.apply, next);
    const plan = (answer.plan || []).find((plan) => plan.pool === pool.pool);
    const words = plan ? `${count(plan.target)} free instances: ${(plan.reasons || [])[0] || ""}` : "no plan for this pool yet";
    return (answer.applied ? "In force. " : "Would keep ") + words;
  });
}

function overrideForm(pool, entity) {
  const fields = [
    pool ? undefined : field("Pool", "pool", { required: "" }),
    field("Instances", "count", { type: "number", min: "0", value: "1", required: "" }),
    field("For how many minutes (empty: until cleared)", "minutes", { type: "number", min: "1" }),
    field("Reason", "reason", { required: "" })];
  return form("Set the override", fields.filter(Boolean), async (given) => {
    const set = { pool: pool || given.pool, count: Number(given.count), reason: given.reason };
    if (entity) set.entityId = entity;
    if (given.minutes) set.expiresAt = new Date(Date.now() + 60000 * Number(given.minutes)).toISOString();
    const answer = await ask("/admin/shadow_override", { set });
    return `In force; ${(answer.overrides || []).length} overrides in all.`;
  });
}

function drainForm(pool) {
  return form("Drain the pool", [soft("All instances that it has now go, after use where they are held; others are started in their place.")], async () => {
    await ask(`/admin/pools/${encodeURIComponent(pool)}/drain`, {});
    return "Being drained.";
  });
}

function clearButton(name) {
  return form("Clear", [], async () => {
    await ask("/admin/shadow_override", { clear: name });
    return "Cleared.";
  });
}

// The parts that follow the server; the forms beside them are left alone while someone types.
function poolLive(o, name) {
  const pool = (o.pools || []).find((pool) => pool.pool === name);
  if (!pool) return [soft(`There is no pool named ${name}.`)];
  const held = (o.allocations || []).filter((a) => a.pool === name);
  const kept = (o.overrides || []).filter((x) => x.pool === name);
  const heads = ["Name", "For", "Kept", "Until", "Reason", ""];
  const rows = kept.map((x) => [x.name, overrideSubject(x), String(count(x.count)), x.expiresAt || "cleared", x.reason, clearButton(x.name)]);
  const model = pool.forecast ? `Requests in each step, by ${pool.forecast.model}${pool.forecast.fallback ? " (fallback)" : ""}: median and 10–90 % band.` : "";
  return [
    node("div", { class: "pair" },
      block("Instances over time", node("div", { class: "card" }, slots(pool), levels(watched.get(name) || []))),
      block("Demand expected", node("div", { class: "card" }, band(pool.forecast, "forecast of requests"), soft(model)))),
    node("div", { class: "pair" },
      block("Why " + count(pool.target) + " free instances", node("div", { class: "card" }, reasons(pool.reasons, 20))),
      block("Facts", poolFacts(pool))),
    pool.preview ? previewed(pool) : undefined,
    block("Leases and queue", allocations(held, o.asOf)),
    block("Overrides", table("overrides", heads, rows, "No override is in force for this pool."))].filter(Boolean);
}

function poolForms(o, name) {
  const pool = (o.pools || []).find((pool) => pool.pool === name);
  if (!pool) return [];
  return [node("div", { class: "pair" },
    block("What if", node("div", { class: "card" }, whatIf(pool))),
    block("Override", node("div", { class: "card" }, overrideForm(name))),
    block("Drain", node("div", { class: "card" }, drainForm(name))))];
}
