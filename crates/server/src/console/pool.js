// One pool: its level over time, what is expected, why the plan is what it is, and what to change.

const WATCHED = 900;
// What polls saw of the pool that is open, its leases, and what is asked of "what if".
const opened = { name: undefined, seen: [], leases: leaseList(), asked: undefined, answer: undefined, history: undefined, overrides: [], read: 0, lens: "" };

const poolPage = {
  every: 2000,
  title: (name) => "Pool " + name,
  hint: "It is not in the configuration of this server, or its name is written in another way.",
  enter(name) {
    Object.assign(opened, { name, seen: [], leases: leaseList(), asked: undefined, answer: undefined, history: undefined, overrides: [] });
    opened.leases.filter.pool = name;
    lensOn(name);
  },
  async load(name) {
    const [pool, leases] = await Promise.all([ask("/api/v1/pools/" + encodeURIComponent(name)), loadLeases(opened.leases)]);
    await Promise.race([renewPast(name), new Promise((go) => setTimeout(go, PATIENCE_MS))]);
    if (opened.name === name) watch(pool);
    return { pool, leases };
  },
  draw: (data) => poolView(data),
};

// The past changes slowly: it is asked for with each other span, and every ten seconds. A planner at work
// answers late; the rest of the view does not wait for it.
const PATIENCE_MS = 700;
let renewing;
function renewPast(name) {
  renewing = renewing || renewPastNow(name).catch(trouble).finally(() => { renewing = undefined; });
  return renewing;
}

async function renewPastNow(name) {
  const asked = ask("/admin/shadow_override"), span = [name, lens.span, lens.to].join();
  if (opened.history === undefined || opened.lens !== span || Date.now() - opened.read > 10000) {
    const first = opened.history === undefined, history = await loadHistory(name);
    if (opened.name !== name) return;
    Object.assign(opened, { history, lens: span, read: Date.now() });
    if (first && fitLens(history)) Object.assign(opened, { history: await loadHistory(name), lens: [name, lens.span, lens.to].join() });
  }
  const overrides = (await asked).overrides || [];
  if (opened.name !== name) return;
  opened.overrides = overrides.filter((x) => x.pool === name);
  if (shown.data && shown.page === poolPage) redraw();
}

// Keeps what each poll saw of the open pool.
function watch(pool) {
  const sample = { at: Date.now() };
  ["leased", "ready", "starting", "queued", "target"].forEach((key) => (sample[key] = count(pool[key])));
  opened.seen.push(sample);
  if (opened.seen.length > WATCHED) opened.seen.shift();
}

// How plans that are not carried out would fare beside the pool as it is kept, and the way to end that.
function previewed(pool) {
  const p = pool.preview;
  const share = (hits) => (count(p.requests) ? percent(count(hits) / count(p.requests)) : "–");
  return node("div", { class: "pair", "data-key": "preview" }, block("Preview", node("div", { class: "card" },
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
  const accuracy = pool.accuracy || {}, beside = pool.beside;
  const idle = beside ? `${short(count(beside.idle))} instances lately, ${short(count(beside.staticIdle))} if static (${percent(saving(beside))} saved)` : "known when enough was asked for";
  return facts([
    ["Hit rate", hitRate(pool) + (pool.recentHitRate === undefined ? "" : `; ${percent(pool.recentHitRate)} lately`)],
    ["Requests", `${count(pool.hits)} hits, ${count(pool.joins)} joins, ${count(pool.misses)} misses, ${count(pool.rejected)} refused`],
    ["Waits by cause", causes(pool.waits)],
    ["Idle to reach it", idle], ["Kept idle since the start", span(pool.idle)],
    ["Start-up", `${span(pool.startupTypical)} typical, ${span(pool.startupSlow)} slow, ${count(pool.failedStarts)} failed`],
    ["Shape", `${count(pool.vcpus)} vCPUs, ${short(count(pool.memoryBytes))}B`],
    ["Limits", `${count(pool.min)} to ${count(pool.max)} instances`],
    ["Reserved", String(count(pool.reserved))], ["Booked", String(count(pool.booked))],
    ["Forecast error", accuracy.wape === undefined ? "–" : `WAPE ${accuracy.wape.toFixed(2)}, 80 % interval covers ${percent(accuracy.coverage80)}`]]);
}

// What the plan would be under another objective. It is put in force only once the planner has answered
// for the very values that stand there.
function whatIf(pool, history) {
  const present = { target: pool.targetHitRate === undefined ? 0.95 : pool.targetHitRate, min: count(pool.min) };
  const given = opened.asked || present, curve = history.tradeOff || [];
  const answered = opened.answer && opened.answer.of === JSON.stringify(given);
  const oninput = (event) => {
    opened.asked = { ...given, [event.target.name]: Number(event.target.value) };
    redraw();
  };
  const fields = [
    field("Target hit rate", "target", { type: "number", min: "0.01", max: "0.999", step: "any", required: "", value: present.target, oninput }),
    field("Least free instances", "min", { type: "number", min: "0", max: String(count(pool.max)), step: "1", required: "", value: present.min, oninput })];
  const marks = [["aim now", present.target], ...(given.target > 0 && given.target < 1 && given.target !== present.target ? [["asked", given.target]] : [])];
  const apply = node("button", { type: "button", disabled: !answered && "", onclick: (event) => applyAsked(pool.pool, given, event.currentTarget.form) }, "Apply");
  return [
    curve.length ? tradeOff(curve, marks) : soft("No curve yet: it is drawn from the pool's own requests once a forecast has been tried on enough of them."),
    curve.length ? soft(`On the requests of lately, ${percent(given.target)} would have needed ${idleWords(curve, given.target)}.`) : undefined,
    form("Ask the planner", fields, (values) => askPlanner(pool, { target: Number(values.target), min: Number(values.min) }), [apply]),
    soft(answered ? "The answer is for these values: they can be applied." : "Apply becomes possible once the planner has answered for the values above.")];
}

// The present configuration with another objective for the pool.
async function configWith(name, given) {
  const config = await ask("/admin/shadow_config");
  const others = (config.objectives || []).filter((objective) => objective.pool !== name);
  const own = (config.objectives || []).find((objective) => objective.pool === name) || { pool: name };
  const { idleInstances, costs, ...rest } = own;
  return { config: { ...config, etag: "", objectives: others.concat([{ ...rest, targetHitRate: given.target, min: given.min }]) }, etag: config.etag };
}

async function askPlanner(pool, given) {
  const { config, etag } = await configWith(pool.pool, given);
  const answer = await ask("/admin/shadow_config?dry_run=true", config);
  const plan = (answer.plan || []).find((plan) => plan.pool === pool.pool) || {};
  Object.assign(opened, { asked: given, answer: { of: JSON.stringify(given), config, etag } });
  redraw();
  return `The planner would keep ${count(plan.target)} free instances in the place of ${count(pool.target)}: ${(plan.reasons || [])[0] || "no reason is given"}.`;
}

// Applies what the planner has answered for, unless the configuration was changed since.
async function applyAsked(name, given, form) {
  const said = form.querySelector("output");
  try {
    const { config, etag } = opened.answer;
    const answer = await ask("/admin/shadow_config?dry_run=false", config, { "if-match": `"${etag}"` });
    const plan = (answer.plan || []).find((plan) => plan.pool === name) || {};
    [said.textContent, said.className] = [`In force: ${count(plan.target)} free instances are planned.`, "good"];
  } catch (error) {
    [said.textContent, said.className] = [error.message, "bad"];
  }
  opened.answer = undefined;
  refresh();
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
    return name + " is cleared.";
  });
}

function poolView({ pool, leases }) {
  const { overrides } = opened, history = opened.history || {};
  const heads = ["Name", "For", "Kept", "Until", "Reason", ""];
  const rows = overrides.map((x) => row(x.name, x.name, overrideSubject(x), String(count(x.count)), x.expiresAt || "cleared", x.reason, clearButton(x.name)));
  const alerts = (pool.alerts || []).map(alertPill), card = (...children) => node("div", { class: "card" }, ...children);
  return [
    alerts.length ? node("div", { class: "bar", "data-key": "alerts" }, ...alerts) : undefined,
    block("Demand, forecast and plan over time", timeline(history, pool)),
    node("div", { class: "pair" },
      block("Instances while this page is open", card(slots(pool), levels(opened.seen))),
      block("Why " + count(pool.target) + " free instances", card(reasons(pool.reasons, 20)))),
    node("div", { class: "pair" }, block("Facts", poolFacts(pool)), block("What if", card(...whatIf(pool, history)))),
    pool.preview ? previewed(pool) : undefined,
    leasesBlock("Leases and queue", opened.leases, leases, false),
    block("Overrides", table("overrides", heads, rows, "No override is in force for this pool.")),
    node("div", { class: "pair" }, block("Override", card(overrideForm(pool.pool))), block("Drain", card(drainForm(pool.pool))))].filter(Boolean);
}
