// The shadow configuration as text: checked as a whole, applied only if nobody changed it meanwhile.

async function configView() {
  const config = await ask("/admin/shadow_config");
  const etag = config.etag;
  delete config.etag;
  const text = node("textarea", { name: "config", rows: "22", spellcheck: "false", "aria-label": "configuration" });
  text.value = JSON.stringify(config, null, 2);
  const apply = node("label", { class: "check" }, node("input", { type: "checkbox", name: "apply" }), "apply it (otherwise it is only checked)");
  const send = form("Check", [text, apply], async (given) => {
    const next = JSON.parse(given.config);
    const answer = await ask("/admin/shadow_config?dry_run=" + !given.apply, next, { "if-match": `"${etag}"` });
    const plan = (answer.plan || []).map((p) => `${p.pool}: ${count(p.target)}`).join(", ");
    return (answer.applied ? "In force. Plan: " : "Valid. It would plan ") + (plan || "nothing yet");
  });
  return [block("Configuration " + etag, node("div", { class: "card" },
    soft("How demand is watched: tick, horizon, trigger rules, objectives. What is absent takes its default."), send))];
}
