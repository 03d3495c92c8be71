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

function poolFacts(pool) {
  const accuracy = pool.accuracy || {};
  return facts([
    ["Hit rate", percent(pool.hitRate) + " of " + percent(count(pool.targetHitRate))],
    ["Requests", `${count(pool.hits)} hits, ${count(pool.joins)} joins, ${count(pool.misses)} misses, ${count(pool.rejected)} refused`],
    ["Start-up", `${span(pool.startupTypical)} typical, ${span(pool.startupSlow)} slow, ${count(pool.failedStarts)} failed`],
    ["Shape", `${count(pool.vcpus)} vCPUs, ${short(count(pool.memoryBytes))}B`],
    ["Limits", `${count(pool.min)} to ${count(pool.max)} instances`],
    ["Reserved", String(count(pool.reserved))], ["Booked", String(count(pool.booked))],
    ["Forecast error", accuracy.wape === undefined ? "–" : `WAPE ${accuracy.wape.toFixed(2)}, 80 % interval covers ${percent(accuracy.coverage80)}`]]);
}

// What the plan would be under another objective, and the way to put it in force.
function whatIf(pool) {
  const fields = [
    field("Target hit rate", "target", { type: "number", min: "0.01", max: "0.9999", step: "any", value: String(count(pool.targetHitRate)) }),
    node("label", { class: "check" }, node("input", { type: "checkbox", name: "apply" }), "apply it")];
  return form("Ask the planner", fields, async (given) => {
    const config = await ask("/admin/shadow_config");
    const others = (config.objectives || []).filter((objective) => objective.pool !== pool.pool);
    const before = (config.objectives || []).find((objective) => objective.pool === pool.pool) || { pool: pool.pool };
    const next = { ...config, objectives: [...others, { ...before, targetHitRate: Number(given.target) }] };
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
    block("Leases and queue", allocations(held, o.asOf)),
    block("Overrides", table("overrides", heads, rows, "No override is in force for this pool."))];
}

function poolForms(o, name) {
  const pool = (o.pools || []).find((pool) => pool.pool === name);
  if (!pool) return [];
  return [node("div", { class: "pair" },
    block("What if", node("div", { class: "card" }, whatIf(pool))),
    block("Override", node("div", { class: "card" }, overrideForm(name))))];
}
