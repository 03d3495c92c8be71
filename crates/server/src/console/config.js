// The shadow configuration as text: checked as a whole, applied only if nobody changed it meanwhile.

// The configuration that the text goes on from: what others change meanwhile is found when it is sent.
const edited = { etag: "", config: undefined };

const configPage = {
  every: 0,
  title: () => "Configuration",
  enter: () => Object.assign(edited, { config: undefined }),
  async load() {
    if (edited.config === undefined) {
      const { etag, ...config } = await ask("/admin/shadow_config");
      Object.assign(edited, { etag, config });
    }
    return edited.config;
  },
  draw: (config) => {
    const text = node("textarea", { name: "config", rows: "22", spellcheck: "false", "aria-label": "configuration" });
    text.value = JSON.stringify(config, null, 2);
    const apply = node("label", { class: "check" }, node("input", { type: "checkbox", name: "apply" }), "apply it (otherwise it is only checked)");
    return [block("From version " + edited.etag, node("div", { class: "card" },
      soft("How demand is watched: tick, horizon, trigger rules, objectives. What is absent takes its default."), form("Check", [text, apply], sendConfig)))];
  },
};

async function sendConfig(given) {
  const answer = await ask("/admin/shadow_config?dry_run=" + !given.apply, parsed(given.config), { "if-match": `"${edited.etag}"` });
  if (answer.applied) edited.etag = answer.config.etag;
  const plan = (answer.plan || []).slice(0, 20).map((p) => `${p.pool}: ${count(p.target)}`).join(", ");
  const more = (answer.plan || []).length > 20 ? `, and ${answer.plan.length - 20} more pools` : "";
  return (answer.applied ? "In force. Plan: " : "Valid. It would plan ") + (plan || "nothing yet") + more;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error("This is no JSON: " + error.message);
  }
}
